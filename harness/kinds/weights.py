"""Weights of an ensemble's members, fitted to labels: by greedy choice, by likelihood, and drawn back to equal shares.

The greedy choice is that of Caruana et al. 2004, Ensemble Selection from Libraries of Models: with replacement, each step adds
the member with which the mean of those chosen scores best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.kinds.confusion import confusion
from harness.kinds.f1 import class_f1, ratio
from harness.kinds.part import Floats
from harness.kinds.probabilities import SMALLEST_PROBABILITY

Probabilities = NDArray[np.floating]

GREEDY_STEPS = 30
LIKELIHOOD_ROUNDS = 200

# Share of the weights that stays equal. Outside the fit, 0.2 and 0.4 did as well as none on outside models of another data set,
# and they protect where labels are few.
EQUAL_SHARE = 0.2


def fit_weights(probabilities: Sequence[Probabilities], labels: NDArray[np.int64], tuned: NDArray[np.bool_]) -> Floats:
    """Weights (K,) of members whose probabilities (N, C) are given for labelled frames (N,), summing to 1.

    The mean of what two methods find, drawn towards equal weights: the greedy choice maximises the score itself but follows its
    jumps, the likelihood is smooth but knows nothing of F1. Only classes marked in `tuned` (C,) count.
    """
    members = len(probabilities)
    if members == 1 or not len(labels):
        return np.full(members, 1.0 / members)
    found = 0.5 * (greedy_weights(probabilities, labels, tuned) + likelihood_weights(probabilities, labels, tuned))
    return drawn_back(found)


def fit_unit_weights(probabilities: Sequence[Probabilities], labels: NDArray, tuned: NDArray[np.bool_]) -> Floats:
    """The same of members whose probabilities (N, units) are given for labels (N, units) of units, those below 0 left out."""
    members = len(probabilities)
    if members == 1 or not (labels >= 0).any() or not tuned.any():
        return np.full(members, 1.0 / members)
    active, inactive = (labels == 1)[:, tuned], (labels == 0)[:, tuned]
    judged = [np.asarray(member, dtype=np.float64)[:, tuned] for member in probabilities]

    def mean_f1(mean: Floats) -> float:
        called = mean > 0.5
        right = (called & active).sum(axis=0)
        said = (called & (active | inactive)).sum(axis=0)
        return float(ratio(2.0 * right, said + active.sum(axis=0)).mean())

    # Each unit counts the same, and of each unit its active and its inactive frames together.
    weight = np.where(active, ratio(1.0, active.sum(axis=0)), 0.0) + np.where(inactive, ratio(1.0, inactive.sum(axis=0)), 0.0)
    known = weight > 0
    given = np.stack([np.where(active, member, 1.0 - member)[known] for member in judged])
    likely = _mixture_weights(given + SMALLEST_PROBABILITY, weight[known] / weight.sum())
    return drawn_back(0.5 * (_greedy(judged, mean_f1) + likely))


def fit_value_weights(values: Sequence[NDArray], labels: NDArray) -> Floats:
    """Weights (K,) of members whose values (N,) are given for labels (N,): the greedy choice by CCC.

    The CCC of a mean follows from the members' means and covariances, so that no step looks at frames.
    """
    members = len(values)
    if members == 1 or len(labels) == 0:
        return np.full(members, 1.0 / members)
    table = np.stack([labels, *values]).astype(np.float64)
    means, spread = table.mean(axis=1), np.cov(table, bias=True)

    def concordance_of(shares: Floats) -> float:
        own = float(shares @ spread[1:, 1:] @ shares)
        below = spread[0, 0] + own + (float(shares @ means[1:]) - means[0]) ** 2
        return float(ratio(2.0 * float(shares @ spread[1:, 0]), below))

    return drawn_back(_greedy(list(np.eye(members)), concordance_of))


def drawn_back(weights: Floats) -> Floats:
    """Weights (K,) drawn towards equal ones."""
    return (1.0 - EQUAL_SHARE) * weights + EQUAL_SHARE / len(weights)


def greedy_weights(probabilities: Sequence[Probabilities], labels: NDArray[np.int64], tuned: NDArray[np.bool_]) -> Floats:
    """Shares in which members were chosen when each step adds the one with the best macro-F1 of the sum."""
    chosen = np.zeros(len(probabilities))
    total = np.zeros_like(probabilities[0])
    for _ in range(GREEDY_STEPS):
        scores = [_macro_f1(total + member, labels, tuned) for member in probabilities]
        best = int(np.argmax(scores))
        chosen[best] += 1.0
        total = total + probabilities[best]
    return chosen / GREEDY_STEPS


def likelihood_weights(probabilities: Sequence[Probabilities], labels: NDArray[np.int64], tuned: NDArray[np.bool_]) -> Floats:
    """Weights on the simplex with the highest mean log-likelihood of the mixture, each tuned class counting the same.

    The likelihood of a mixture is concave in its weights, and expectation maximisation climbs it without leaving the simplex.
    """
    frames = np.bincount(labels, minlength=len(tuned)).astype(np.float64)
    share = np.where(tuned, 1.0 / np.maximum(frames, 1.0), 0.0)[labels]
    share /= max(float(share.sum()), SMALLEST_PROBABILITY)
    given = np.stack([member[np.arange(len(labels)), labels] for member in probabilities]) + SMALLEST_PROBABILITY
    return _mixture_weights(given, share)


def _mixture_weights(given: Probabilities, share: Floats) -> Floats:
    """Weights (K,) with the highest likelihood of entries to which members give (K, N), each counting its share (N,)."""
    weights = np.full(len(given), 1.0 / len(given))
    for _ in range(LIKELIHOOD_ROUNDS):
        parts = weights[:, None] * given
        weights = (parts / parts.sum(axis=0)) @ share
    normalised: Floats = weights / weights.sum()
    return normalised


def _greedy(values: Sequence[Floats], score: Callable[[Floats], float]) -> Floats:
    """Shares in which members were chosen when each step adds the one with the best score of the mean."""
    chosen, total = np.zeros(len(values)), np.zeros_like(values[0])
    for step in range(1, GREEDY_STEPS + 1):
        best = int(np.argmax([score((total + member) / step) for member in values]))
        chosen[best] += 1.0
        total = total + values[best]
    return chosen / GREEDY_STEPS


def _macro_f1(probabilities: Probabilities, labels: NDArray[np.int64], tuned: NDArray[np.bool_]) -> float:
    counts = confusion(labels, probabilities.argmax(axis=1), len(tuned))
    return float(class_f1(counts)[tuned].mean())
