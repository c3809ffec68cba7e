"""Weights of an ensemble's members, fitted to labels: by greedy choice, by likelihood, and drawn back to equal shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.kinds.confusion import confusion
from harness.kinds.f1 import class_f1
from harness.kinds.probabilities import SMALLEST_PROBABILITY

Floats = NDArray[np.float64]
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
    return (1.0 - EQUAL_SHARE) * found + EQUAL_SHARE / members


def greedy_weights(probabilities: Sequence[Probabilities], labels: NDArray[np.int64], tuned: NDArray[np.bool_]) -> Floats:
    """Shares in which members were chosen when, with replacement, each step adds the one with the best macro-F1 of the sum.

    Caruana et al. 2004, Ensemble Selection from Libraries of Models.
    """
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
    weights = np.full(len(probabilities), 1.0 / len(probabilities))
    for _ in range(LIKELIHOOD_ROUNDS):
        parts = weights[:, None] * given
        weights = (parts / parts.sum(axis=0)) @ share
    normalised: Floats = weights / weights.sum()
    return normalised


def _macro_f1(probabilities: Probabilities, labels: NDArray[np.int64], tuned: NDArray[np.bool_]) -> float:
    counts = confusion(labels, probabilities.argmax(axis=1), len(tuned))
    return float(class_f1(counts)[tuned].mean())
