"""Macro-F1 and its parts, from confusion matrices. Leading axes of a matrix are batches: (..., C, C)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Scores of each class (..., C) float64; where a denominator is zero the score is 0."""

    precision: Floats
    recall: Floats
    f1: Floats


def macro_f1(confusion: ArrayLike) -> Floats:
    """Mean F1 over all classes of (..., C, C), a class without label and prediction counting 0.

    The score of EXPR since edition 3. Equal to scikit-learn's f1_score(labels=range(C), average="macro", zero_division=0).
    """
    mean: Floats = class_f1(confusion).mean(axis=-1)
    return mean


def class_f1(confusion: ArrayLike) -> Floats:
    """F1 (..., C) of each class: twice its correct frames over its labels plus its predictions."""
    counts = np.asarray(confusion, dtype=np.float64)
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    return ratio(2.0 * correct, counts.sum(axis=-1) + counts.sum(axis=-2))


def class_scores(confusion: ArrayLike) -> ClassScores:
    """Precision, recall and F1 of each class of (..., C, C)."""
    counts = np.asarray(confusion, dtype=np.float64)
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    return ClassScores(
        precision=ratio(correct, counts.sum(axis=-2)), recall=ratio(correct, counts.sum(axis=-1)), f1=class_f1(confusion)
    )


def accuracy(confusion: ArrayLike) -> Floats:
    """Share of correct frames of (..., C, C); 0 without any frame."""
    counts = np.asarray(confusion, dtype=np.float64)
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """One over the other, element by element; 0 where the denominator is."""
    above, below = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(above.shape, below.shape)), where=below != 0)
