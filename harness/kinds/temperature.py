"""The temperature at which a model's probabilities come true most often."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from harness.kinds.optimise import minimise_between
from harness.kinds.probabilities import log_probabilities

LOWEST, HIGHEST = 0.1, 10.0

# Temperatures are rounded to quarters of a doubling: finer differences change no decision, and equal settings need no new work.
STEPS_OF_A_DOUBLING = 4


def fit_temperature(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The temperature with the smallest negative log-likelihood of labels (N,) under probabilities (N, C), rounded.

    Temperature scaling (Guo et al. 2017). Without any frame it is 1.
    """
    truth = np.asarray(labels, dtype=np.int64)
    if truth.size == 0:
        return 1.0
    logits = log_probabilities(probabilities)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[np.arange(len(truth)), truth]

    def negative_log_likelihood(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        normaliser = np.log(np.exp(logits / temperature).sum(axis=1))
        return float((normaliser - chosen / temperature).mean())

    best = minimise_between(negative_log_likelihood, math.log(LOWEST), math.log(HIGHEST))
    return float(2.0 ** (round(best / math.log(2.0) * STEPS_OF_A_DOUBLING) / STEPS_OF_A_DOUBLING))
