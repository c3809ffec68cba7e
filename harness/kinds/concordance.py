"""The concordance correlation coefficient and its relatives, from sums over frames.

The sums of labels y and answers x are, in this order: the number of frames n, Σy, Σx, Σy², Σx², Σyx, Σ|y - x|, and the number of
frames whose signs agree. All frames of all recordings are pooled and moments divide by n, as the organisers define CCC (papers of
the 5th and 6th edition; Lin 1989, A Concordance Correlation Coefficient to Evaluate Reproducibility). Leading axes are batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.kinds.f1 import ratio
from harness.kinds.part import Floats

SIZE = 8

# A variance below this is rounding: values in -1..1 whose spread is a millionth say the same of every frame.
LEAST_VARIANCE = 1e-12


def moment_sums(labels: Floats, answers: Floats) -> Floats:
    """The sums (8,) of labels and answers (n,).

    NumPy adds pairwise, so the rounding of half a million frames stays at some 1e-15 of a sum.
    """
    y, x = labels, answers
    agree = np.count_nonzero(np.sign(y) == np.sign(x))
    terms = (y, x, y * y, x * x, y * x, np.abs(y - x))
    return np.array([len(y), *(term.sum() for term in terms), agree], dtype=np.float64)


def means(sums: NDArray) -> tuple[Floats, Floats]:
    """Means (...) of labels and of answers; 0 without frames."""
    return ratio(sums[..., 1], sums[..., 0]), ratio(sums[..., 2], sums[..., 0])


def standard_deviations(sums: NDArray) -> tuple[Floats, Floats]:
    """Population standard deviations (...) of labels and of answers; 0 where the numbers are all the same."""
    labels, answers, _ = _variances(sums)
    return np.sqrt(labels), np.sqrt(answers)


def concordance(sums: NDArray) -> Floats:
    """CCC (...): twice the covariance over the sum of both variances and the squared difference of the means.

    Written with the covariance, not with the correlation, so that a constant answer has the CCC 0 instead of 0/0; constant labels
    have it too.
    """
    labels, answers, covariance = _variances(sums)
    mean, own_mean = means(sums)
    return np.clip(ratio(2.0 * covariance, labels + answers + (mean - own_mean) ** 2), -1.0, 1.0)


def pearson(sums: NDArray) -> Floats:
    """Pearson's correlation (...); 0 where labels or answers are all the same."""
    labels, answers, covariance = _variances(sums)
    return np.clip(ratio(covariance, np.sqrt(labels * answers)), -1.0, 1.0)


def root_mean_square_error(sums: NDArray) -> Floats:
    """Root of the mean squared difference (...)."""
    squares = sums[..., 3] + sums[..., 4] - 2.0 * sums[..., 5]
    return np.sqrt(np.maximum(ratio(squares, sums[..., 0]), 0.0))


def mean_absolute_error(sums: NDArray) -> Floats:
    """Mean absolute difference (...)."""
    return ratio(sums[..., 6], sums[..., 0])


def sign_agreement(sums: NDArray) -> Floats:
    """The share of frames whose label and answer have the same sign (...), 0 being a sign of its own.

    Nicolaou, Gunes and Pantic 2011, Continuous Prediction of Spontaneous Affect from Multiple Cues and Modalities (SAGR).
    """
    return ratio(sums[..., 7], sums[..., 0])


def _variances(sums: NDArray) -> tuple[Floats, Floats, Floats]:
    """Population variances (...) of labels and answers, and their covariance; what is only rounding is 0."""
    mean, own_mean = means(sums)
    squares, own_squares, products = (ratio(sums[..., index], sums[..., 0]) for index in (3, 4, 5))
    labels, answers = squares - mean**2, own_squares - own_mean**2
    labels, answers = (np.where(variance > LEAST_VARIANCE, variance, 0.0) for variance in (labels, answers))
    covariance = np.where((labels > 0) & (answers > 0), products - mean * own_mean, 0.0)
    return labels, answers, covariance
