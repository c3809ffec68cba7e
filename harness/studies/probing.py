"""What frozen features are worth: a linear classifier, nearest neighbours and retrieval, always on recordings not learned from.

Arrays: features (N, D) float, labels (N,) integers, groups (N,) the number of each row's recording. NumPy and scikit-learn only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from harness.kinds.confusion import confusion, supported_classes
from harness.kinds.f1 import class_f1

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse regularisation strengths of the linear classifier that are tried."""
INNER_FOLDS = 3
"""Folds over the recordings learned from, on which the strength is chosen."""
LINEAR_ITERATIONS = 1000
NEIGHBOURS = 20
NEIGHBOUR_TEMPERATURE = 0.07
"""Twenty neighbours weighted by exp(cosine / 0.07), as is usual for self-supervised features (Wu et al., CVPR 2018, section 3.4;
Caron et al., ICCV 2021, section 4.1)."""
RANKS = (1, 5, 10)
"""Numbers of retrieved images among which one of the right class is looked for."""
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Division:
    """Rows to learn from and rows to answer for."""

    fit: Integers
    test: Integers


def divide(groups: Integers, fold_of: Sequence[int]) -> Iterator[Division]:
    """One division per fold: answers for a fold's groups are learned from all other groups."""
    folds = np.asarray(fold_of)[groups]
    for fold in sorted(set(folds.tolist())):
        yield Division(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))


def linear_predictions(features: Floats, labels: Integers, groups: Integers, division: Division) -> Integers:
    """Classes of the test rows by logistic regression on standardised features, every class weighing the same.

    The regularisation is chosen by macro-F1 of the supported classes on folds within the rows learned from.
    """
    fit = division.fit
    strength = _best_strength(features[fit], labels[fit], groups[fit])
    predicted: Integers = _linear(features[fit], labels[fit], features[division.test], strength)
    return predicted


def _best_strength(features: Floats, labels: Integers, groups: Integers) -> float:
    if len(set(groups.tolist())) < INNER_FOLDS:
        return STRENGTHS[len(STRENGTHS) // 2]
    classes = int(labels.max()) + 1
    scores = []
    for strength in STRENGTHS:
        counts = np.zeros((classes, classes), dtype=np.int64)
        for fit, test in GroupKFold(INNER_FOLDS).split(features, labels, groups):
            counts += confusion(labels[test], _linear(features[fit], labels[fit], features[test], strength), classes)
        scores.append(float(class_f1(counts)[supported_classes(counts)].mean()))
    return STRENGTHS[int(np.argmax(scores))]


def _linear(features: Floats, labels: Integers, others: Floats, strength: float) -> Integers:
    if len(set(labels.tolist())) == 1:
        return np.full(len(others), labels[0])
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=LINEAR_ITERATIONS)
    model.fit(scaler.transform(features), labels)
    predicted: Integers = model.predict(scaler.transform(others))
    return predicted


def neighbour_predictions(features: Floats, labels: Integers, division: Division, classes: int) -> Integers:
    """Classes of the test rows by a weighted vote of their nearest rows to learn from, by cosine."""
    normal = _normalised(features)
    gallery, gallery_labels = normal[division.fit], labels[division.fit]
    count = min(NEIGHBOURS, len(gallery))
    predicted = np.empty(len(division.test), dtype=np.int64)
    for start in range(0, len(division.test), ROWS_AT_ONCE):
        rows = division.test[start : start + ROWS_AT_ONCE]
        similarity = normal[rows] @ gallery.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
        weights = np.exp((np.take_along_axis(similarity, nearest, axis=1) - 1) / NEIGHBOUR_TEMPERATURE)
        votes = np.zeros((len(rows), classes))
        np.add.at(votes, (np.arange(len(rows))[:, None], gallery_labels[nearest]), weights)
        predicted[start : start + len(rows)] = votes.argmax(axis=1)
    return predicted


def retrieval_recall(features: Floats, labels: Integers, groups: Integers) -> dict[int, float]:
    """For each of RANKS the share of rows with one of their class among so many nearest rows of other recordings, by cosine.

    Each class weighs the same. Rows whose class no other recording shows are left out.
    """
    normal = _normalised(features)
    hits = np.zeros((len(labels), len(RANKS)), dtype=bool)
    possible = np.zeros(len(labels), dtype=bool)
    for start in range(0, len(labels), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        similarity = normal[rows] @ normal.T
        own = groups[rows, None] == groups[None, :]
        similarity[own] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : max(RANKS)]
        same = (labels[nearest] == labels[rows, None]) & np.isfinite(np.take_along_axis(similarity, nearest, axis=1))
        possible[rows] = ((labels[rows, None] == labels[None, :]) & ~own).any(axis=1)
        for index, rank in enumerate(RANKS):
            hits[rows, index] = same[:, :rank].any(axis=1)
    judged = sorted(set(labels[possible].tolist()))
    if not judged:
        return dict.fromkeys(RANKS, float("nan"))
    shares = np.stack([hits[possible & (labels == label)].mean(axis=0) for label in judged]).mean(axis=0)
    return {rank: float(share) for rank, share in zip(RANKS, shares, strict=True)}


def _normalised(features: Floats) -> NDArray[np.float64]:
    wide = features.astype(np.float64)
    normal: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return normal
