"""How far a model's probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram: frames sorted by the probability of their most probable class into BINS equal parts of 0..1.

    Attributes
    ----------
    frames : (BINS,) int64 how many frames fall into each bin.
    confidence, accuracy : (BINS,) mean probability and share correct in each bin, 0 where it is empty.
    error : expected calibration error, the mean over frames of |accuracy - confidence| of their bin (Guo et al. 2017).
    """

    frames: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


@dataclass(frozen=True, eq=False)
class Reliability:
    """What some frames contribute to a reliability diagram, so that no probability has to be kept.

    Attributes
    ----------
    frames : (BINS,) int64 how many labelled frames fall into each bin.
    confidence, correct : (BINS,) sums over each bin of the largest probability, and how many frames are right.
    """

    frames: NDArray[np.int64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]


def reliability(probabilities: ArrayLike, labels: ArrayLike) -> Reliability:
    """The contribution of probabilities (S, C) of frames with labels (S,); frames with a negative label are left out."""
    values, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    values, truth = values[truth >= 0], truth[truth >= 0]
    top = values.max(axis=1, initial=0.0)
    # The upper border belongs to a bin, as in the paper: (0, 1/15], (1/15, 2/15], ...
    bins = np.clip(np.ceil(top * BINS).astype(np.int64) - 1, 0, BINS - 1)
    right = (values.argmax(axis=1) == truth).astype(np.float64)
    confidence, correct = (np.bincount(bins, weights, minlength=BINS).astype(np.float64) for weights in (top, right))
    return Reliability(np.bincount(bins, minlength=BINS), confidence, correct)


def calibration(parts: Sequence[Reliability]) -> Calibration:
    """The calibration of all frames that contributed to `parts`."""
    frames = np.sum([part.frames for part in parts], axis=0)
    counts = np.maximum(frames, 1)
    confidence = np.sum([part.confidence for part in parts], axis=0) / counts
    correct = np.sum([part.correct for part in parts], axis=0) / counts
    error = float((frames * np.abs(correct - confidence)).sum() / max(frames.sum(), 1))
    return Calibration(frames, confidence, correct, error)
