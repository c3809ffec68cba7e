"""From scores to probabilities: softmax, and temperature scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError

# The smallest probability whose logarithm is taken: float16 arrays of foreign models hold exact zeros.
SMALLEST_PROBABILITY = 1e-8


def softmax(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of logits (S, C), float64, each row summing to 1.

    A temperature above 1 makes them less sure, below 1 more sure (Guo et al. 2017, On Calibration of Modern Neural Networks).
    Raises DataError if a logit is not finite.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(scores).all():
        raise DataError("the scores hold values that are not finite numbers", remedy="score the run again, or leave it out")
    exponentials = np.exp((scores - scores.max(axis=-1, keepdims=True, initial=-np.inf)) / temperature)
    normalised: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return normalised


def soften(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities (S, C) at another temperature: the softmax of their logarithms divided by `temperature`."""
    return softmax(log_probabilities(probabilities), temperature)


def log_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Natural logarithms of probabilities (S, C); an exact zero counts as SMALLEST_PROBABILITY."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST_PROBABILITY))
