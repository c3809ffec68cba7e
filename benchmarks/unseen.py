"""What frozen features tell of people that they were not learned from, and how sure that is.

Of every figure a row keeps its value and what it would be without each person. From these come 95 % intervals over people, means
over seeds, and paired differences between networks, whenever they are asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from harness.challenge import EXPR, UNITS
from harness.evaluation.intervals import Jackknife, difference_interval, jackknife, score_interval
from harness.kinds.f1 import ratio
from harness.studies import probing
from harness.studies.features import Features

NEUTRAL, HAPPINESS = EXPR.class_names.index("Neutral"), EXPR.class_names.index("Happiness")
JUDGED = 10
"""A class with no more frames than this is not judged by itself."""
LINEAR_ITERATIONS = 300
SMALLEST = -1e6
"""Log probability of a class that no frame to learn from shows."""
PLACES = 7
"""Decimals that rows keep."""

Floats = NDArray[np.float64]


def happiness_and_macro_area(features: Features, fold_of: Mapping[str, int]) -> Jackknife:
    """Two areas under the ROC curve by logistic regression on folds of people, and both without each person.

    The first is of Happiness against Neutral, among the frames of these two; the second the mean over the classes with more than
    JUDGED frames of each against all other frames. `fold_of` gives the fold of each person (the features' recordings), the order
    of `without` is that of their sorted names.
    """
    scores = out_of_fold(features, fold_of)
    order = np.argsort(np.argsort(features.recordings))
    person, people = order[features.groups], len(order)
    labels = features.labels
    two = np.isin(labels, (NEUTRAL, HAPPINESS))
    happy = scores[two, HAPPINESS] - scores[two, NEUTRAL]
    areas = [area_and_without(happy, labels[two] == HAPPINESS, person[two], people)]
    each = [area_and_without(scores[:, label], labels == label, person, people) for label in judged_classes(labels)]
    areas.append((float(np.mean([area for area, _ in each])), np.mean([without for _, without in each], axis=0)))
    return Jackknife(np.array([area for area, _ in areas]), np.stack([without for _, without in areas], axis=1))


def judged_classes(labels: NDArray[np.integer]) -> list[int]:
    """The classes with more than JUDGED frames."""
    return [label for label in range(len(EXPR.class_names)) if int((labels == label).sum()) > JUDGED]


def area_and_without(
    score: Floats, positive: NDArray[np.bool_], person: NDArray[np.integer], people: int
) -> tuple[float, Floats]:
    """The area under the ROC curve of scores (N,), and (people,) what it is without the frames of each person.

    The area is the share of the pairs of a positive and a negative frame in which the positive one scores higher, ties half. What
    a person takes away are the pairs of their positives and all negatives, of their negatives and all positives, less those of
    both, which were taken twice.
    """
    wins = np.where(positive, _beaten(score, score[~positive]), (positive.sum() - _beaten(score, score[positive])))
    positives, negatives = (np.bincount(person[rows], minlength=people) for rows in (positive, ~positive))
    taken = np.bincount(person, wins, people)
    for both in np.flatnonzero((positives > 0) & (negatives > 0)):
        own = person == both
        taken[both] -= _beaten(score[own & positive], score[own & ~positive]).sum()
    won, pairs = wins[positive].sum(), int(positives.sum()) * int(negatives.sum())
    left = pairs - positives * negatives.sum() - negatives * positives.sum() + positives * negatives
    return float(won / pairs), (won - taken) / left


def _beaten(scores: Floats, others: Floats) -> Floats:
    """How many of `others` are below each of `scores`, ties half."""
    ascending = np.sort(others)
    below: Floats = (np.searchsorted(ascending, scores, "left") + np.searchsorted(ascending, scores, "right")) / 2
    return below


def out_of_fold(features: Features, fold_of: Mapping[str, int]) -> Floats:
    """Log probabilities (N, 8) of every frame by a logistic regression that learned from the people of the other folds.

    Its strength is chosen by the macro area on folds within the people learned from.
    """
    scores = np.empty((len(features.labels), len(EXPR.class_names)))
    for division in probing.divide(features.groups, [fold_of[name] for name in features.recordings]):
        fit = division.fit
        strength = _best_strength(features.values[fit], features.labels[fit], features.groups[fit])
        scores[division.test] = _log_probabilities(features.values, features.labels, fit, division.test, strength)
    return scores


def _best_strength(values: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> float:
    areas = []
    for strength in probing.STRENGTHS:
        scores = np.empty((len(labels), len(EXPR.class_names)))
        for fit, test in GroupKFold(probing.INNER_FOLDS).split(values, labels, groups):
            scores[test] = _log_probabilities(values, labels, fit, test, strength)
        areas.append(float(np.mean([roc_auc_score(labels == label, scores[:, label]) for label in judged_classes(labels)])))
    return probing.STRENGTHS[int(np.argmax(areas))]


def _log_probabilities(
    values: NDArray[np.float32], labels: NDArray[np.int64], fit: NDArray[Any], test: NDArray[Any], strength: float
) -> Floats:
    scaler = StandardScaler().fit(values[fit])
    model = LogisticRegression(C=strength, max_iter=LINEAR_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(values[fit]), labels[fit])
    found = np.full((len(test), len(EXPR.class_names)), SMALLEST)
    logits = model.decision_function(scaler.transform(values[test]))
    # Not the logarithm of probabilities, which are 0 of what a sure model excludes.
    found[:, model.classes_] = log_softmax(logits if logits.ndim == 2 else np.stack([0 * logits, logits], axis=1), axis=1)
    return found


def unit_f1(training: Features, test: Features) -> Jackknife:
    """Mean F1 of the units of test people by logistic regressions on other people's features, and without each test person."""
    said = np.stack([_unit_answers(training, test.values, unit) for unit in range(len(UNITS))], axis=1)
    truth = test.labels == 1
    counts = np.stack([truth & said, truth, said], axis=1).astype(float)  # (N, 3, units)
    order = np.argsort(test.recordings)
    sums = np.stack([counts[test.groups == person].sum(axis=0) for person in order])
    return jackknife(sums, lambda sums: ratio(2 * sums[..., 0, :], sums[..., 1, :] + sums[..., 2, :]).mean(axis=-1))


def _unit_answers(training: Features, others: NDArray[np.float32], unit: int) -> NDArray[np.bool_]:
    """Whether a unit is active in others' frames; a unit that all frames learned from show, or none, is so in all."""
    active = training.labels[:, unit] == 1
    if active.all() or not active.any():
        return np.full(len(others), active[0])
    scores = []
    for strength in probing.STRENGTHS:
        said = np.zeros(len(active), bool)
        for fit, test in GroupKFold(probing.INNER_FOLDS).split(training.values, active, training.groups):
            said[test] = _is_active(training.values[fit], active[fit], training.values[test], strength)
        scores.append(f1_score(active, said, zero_division=0))
    return _is_active(training.values, active, others, probing.STRENGTHS[int(np.argmax(scores))])


def _is_active(
    values: NDArray[np.float32], active: NDArray[np.bool_], others: NDArray[np.float32], strength: float
) -> NDArray[np.bool_]:
    if active.all() or not active.any():
        return np.full(len(others), active[0])
    scaler = StandardScaler().fit(values)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=LINEAR_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(values), active)
    said: NDArray[np.bool_] = model.predict(scaler.transform(others)).astype(bool)
    return said


def as_row(names: Sequence[str], result: Jackknife) -> dict[str, Any]:
    """What a row keeps of figures: each value by its name, the number of people, and the values without each person."""
    values, without = np.atleast_1d(result.estimate), result.without.reshape(len(result.without), -1)
    return {
        **{name: round(float(value), PLACES) for name, value in zip(names, values, strict=True)},
        "people": len(without),
        "without": {name: [round(float(value), PLACES) for value in without[:, place]] for place, name in enumerate(names)},
    }


def over_seeds(rows: Sequence[Mapping[str, Any]], figure: str) -> Jackknife:
    """The mean of a figure over the rows of some seeds, of the same people."""
    values, without = [row[figure] for row in rows], [row["without"][figure] for row in rows]
    return Jackknife(np.array(values).mean(axis=0), np.array(without).mean(axis=0))


def difference(first: Jackknife, second: Jackknife) -> Jackknife:
    """The first figure minus the second, of the same people."""
    return Jackknife(first.estimate - second.estimate, first.without - second.without)


def bounds_of(result: Jackknife, *, is_difference: bool) -> tuple[float, float]:
    """The 95 % interval over people of a figure in 0..1, or of a difference of two."""
    interval = difference_interval(result) if is_difference else score_interval(result)
    return float(interval.low), float(interval.high)


def written(result: Jackknife, *, is_difference: bool = False) -> str:
    """A figure or a difference with its interval, as tables have it."""
    low, high = bounds_of(result, is_difference=is_difference)
    sign = "+" if is_difference else ""
    return f"{float(result.estimate):{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
