"""Decoding a whole track at once: the sequence of classes that is most probable when classes last and change as in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.kinds.probabilities import log_probabilities

# A class is left within a frame with at most this probability, however slow the recording.
MOST_CHANGES_PER_FRAME = 0.5

# Rates per second below this are not told apart: a change that was never seen in training is improbable, not impossible.
LEAST_RATE = 1e-6


@dataclass(frozen=True)
class Viterbi:
    """How classes follow one another.

    Attributes
    ----------
    rates : C rows of C changes per second, from the row's class to the column's; the diagonal is not used.
    minimum_seconds : how long a class lasts at least.
    evidence : weight of a frame's log probabilities against those of changes. Frames close in time say nearly the same, so their
        probabilities must not count as if they were independent; 0.1 takes ten frames for one.
    """

    rates: tuple[tuple[float, ...], ...]
    minimum_seconds: float = 0.0
    evidence: float = 0.1


def viterbi(probabilities: ArrayLike, frame_rate: float, model: Viterbi, bias: ArrayLike | None = None) -> NDArray[np.int8]:
    """The most probable sequence of classes (rows,) of one track, given probabilities (rows, C) of each frame.

    A semi-Markov chain whose stays last at least `model.minimum_seconds` (a shorter track is one stay), found by dynamic
    programming (Viterbi 1967) in time proportional to rows. `bias` (C,) is added to the log probabilities.
    """
    scores = log_probabilities(probabilities)
    if bias is not None:
        scores = scores + np.asarray(bias, dtype=np.float64)
    rows, classes = scores.shape
    shortest = min(max(round(model.minimum_seconds * frame_rate), 1), rows)
    change, stay = _log_transitions(model, frame_rate)
    # Evidence of frame t for each class when the class was there a frame before, and its running sum.
    lasting = model.evidence * scores + stay
    sums = np.concatenate([np.zeros((1, classes)), np.cumsum(lasting, axis=0)])
    # From here on row t is about sequences that end with frame t, whose last stay is long enough.
    best = np.full((rows, classes), -np.inf)
    came_from = np.full((rows, classes), -1, dtype=np.int8)  # -1: the stay goes on; else the class before it began
    best[shortest - 1] = sums[shortest] - stay
    for t in range(shortest, rows):
        best[t] = best[t - 1] + lasting[t]
        begin = t - shortest
        if begin < shortest - 1:
            continue
        before = best[begin][:, None] + change
        previous = before.argmax(axis=0)
        begun = before[previous, np.arange(classes)] + sums[t + 1] - sums[begin + 1] - stay
        better = begun > best[t]
        best[t][better] = begun[better]
        came_from[t][better] = previous[better]
    return _trace_back(best, came_from, shortest)


def _trace_back(best: NDArray[np.float64], came_from: NDArray[np.int8], shortest: int) -> NDArray[np.int8]:
    """The best sequence from its last frame to its first: one frame back while a stay goes on, a whole stay where it began."""
    sequence = np.empty(len(best), dtype=np.int8)
    end, current = len(best), int(best[-1].argmax())
    while end > shortest:
        previous = int(came_from[end - 1, current])
        length = 1 if previous < 0 else shortest
        sequence[end - length : end] = current
        end -= length
        if previous >= 0:
            current = previous
    sequence[:end] = current
    return sequence


def _log_transitions(model: Viterbi, frame_rate: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log probabilities per frame of changing (C, C), never to the same class, and of staying (C,)."""
    rates = np.maximum(np.array(model.rates, dtype=np.float64), LEAST_RATE)
    np.fill_diagonal(rates, 0.0)
    shares = rates / frame_rate
    leaving = shares.sum(axis=1)
    shares *= (np.minimum(leaving, MOST_CHANGES_PER_FRAME) / np.maximum(leaving, LEAST_RATE))[:, None]
    stay = np.log1p(-shares.sum(axis=1))
    with np.errstate(divide="ignore"):
        return np.log(shares), stay
