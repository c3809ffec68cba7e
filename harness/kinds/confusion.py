"""Confusion matrices, and what has labelled frames enough to be judged."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# A class with fewer labelled frames says nothing about a model, nor does one that fewer recordings have: a choice is made on some
# of them and judged on another.
FRAMES_OF_A_SUPPORTED_CLASS = 10
RECORDINGS_OF_A_SUPPORTED_CLASS = 3


def confusion(labels: ArrayLike, predictions: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes): rows are labels, columns predictions. Frames with a negative label (not labelled) are left out.

    Raises ValueError if the arrays differ in shape or a class is outside 0..classes-1.
    """
    truth = np.asarray(labels)
    predicted = np.asarray(predictions)
    if truth.shape != predicted.shape:
        raise ValueError(f"labels {truth.shape} and predictions {predicted.shape} do not belong together")
    labelled = truth >= 0
    truth, predicted = truth[labelled].astype(np.int64), predicted[labelled].astype(np.int64)
    if truth.size and (truth.max() >= classes or predicted.min() < 0 or predicted.max() >= classes):
        raise ValueError(f"a label or prediction is outside 0..{classes - 1}")
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def supported_classes(confusion: NDArray) -> NDArray[np.bool_]:
    """Which classes (C,) of a confusion matrix (C, C) have enough labelled frames to be judged; all that have any if none has."""
    return supported(confusion.sum(axis=1))


def supported(frames: NDArray) -> NDArray[np.bool_]:
    """Which of the numbers of labelled frames (C,) are enough to judge something by; all that are above 0 if none is."""
    enough: NDArray[np.bool_] = frames >= FRAMES_OF_A_SUPPORTED_CLASS
    return enough if enough.any() else frames > 0


def supported_over_recordings(frames: NDArray) -> NDArray[np.bool_]:
    """Which of C classes have enough labelled frames in enough of R recordings, given the frames (R, C) of each in each.

    Where no class has, fewer recordings are enough, and after that fewer frames.
    """
    return supported_by_contrasts(frames[:, None, :])


def supported_by_contrasts(frames: NDArray) -> NDArray[np.bool_]:
    """The same where a column needs frames of several kinds, as a unit active and inactive ones, given the frames (R, k, C)."""
    recordings, total = (frames > 0).sum(axis=0).min(axis=0), frames.sum(axis=0).min(axis=0)
    for fewest in range(RECORDINGS_OF_A_SUPPORTED_CLASS, 0, -1):
        enough: NDArray[np.bool_] = (total >= FRAMES_OF_A_SUPPORTED_CLASS) & (recordings >= fewest)
        if enough.any():
            return enough
    some: NDArray[np.bool_] = recordings > 0
    return some
