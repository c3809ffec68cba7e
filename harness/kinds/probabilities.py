"""From scores to probabilities and back: softmax, sigmoid, logarithms, and temperature scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError

# The smallest probability whose logarithm is taken: float16 arrays of foreign models hold exact zeros.
SMALLEST_PROBABILITY = 1e-8


def finite(values: ArrayLike, what: str = "scores") -> NDArray[np.float64]:
    """The values as float64. Raises DataError if one is not a finite number; `what` says what they are."""
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise DataError(f"the {what} hold values that are not finite numbers", remedy="score the run again, or leave it out")
    return numbers


def softmax(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities of logits (S, C), float64, each row summing to 1.

    A temperature above 1 makes them less sure, below 1 more sure (Guo et al. 2017, On Calibration of Modern Neural Networks).
    Raises DataError if a logit is not finite.
    """
    scores = finite(logits)
    exponentials = np.exp((scores - scores.max(axis=-1, keepdims=True, initial=-np.inf)) / temperature)
    normalised: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return normalised


def soften(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities (S, C) at another temperature: the softmax of their logarithms divided by `temperature`."""
    return softmax(log_probabilities(probabilities), temperature)


def log_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Natural logarithms of probabilities (S, C); an exact zero counts as SMALLEST_PROBABILITY."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST_PROBABILITY))


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + e^-x), written with tanh, which does not overflow."""
    halves: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))
    return halves


def log_odds(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Natural logarithms of p / (1 - p), float64; a probability counts as at least SMALLEST_PROBABILITY from 0 and 1."""
    values = np.asarray(probabilities, dtype=np.float64)
    return log_probabilities(values) - log_probabilities(1.0 - values)
