"""Choosing on some recordings and scoring on others, so that a choice is never judged by the labels it was made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.data.folds import make_folds
from harness.data.tracks import Track
from harness.errors import DataError
from harness.evaluation.intervals import difference_interval, jackknife, probability_of_gain
from harness.kinds.f1 import Floats, class_f1

FOLDS = 5

# A setting is kept when recordings make it at least so probable that it gains outside the choice.
KEPT_FROM = 0.8

Choice = TypeVar("Choice")
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Gain:
    """A difference of macro-F1, its 95 % interval over recordings (None without any spread), and how sure it is above 0."""

    value: float
    low: float | None
    high: float | None
    probability: float

    @property
    def kept(self) -> bool:
        """Whether it is sure enough to act on."""
        return self.value > 0 and self.probability >= KEPT_FROM


@dataclass(frozen=True, eq=False)
class Division:
    """One fold: masks (R,) of the recordings a choice is made on, and of those it is judged on."""

    choosing: Mask
    judging: Mask


def divide(tracks: Sequence[Track], recordings: Sequence[str], among: Mask, seed: int, count: int = FOLDS) -> list[Division]:
    """Divides the recordings of the mask `among` (R,) into folds; fewer folds where there are fewer recordings.

    `tracks` are those of all `recordings`. Raises DataError for a single recording, which cannot be divided.
    """
    names = [name for name, inside in zip(recordings, among, strict=True) if inside]
    if len(names) < 2:
        raise DataError(
            "nothing can be chosen on a single recording: there is no other one to judge the choice by",
            remedy="choose on a split with more recordings",
        )
    kept = set(names)
    folds = make_folds([track for track in tracks if track.recording in kept], min(count, len(names)), seed)
    fold = np.array([folds.fold_of.get(name, -1) for name in recordings])
    return [Division(among & (fold != number), among & (fold == number)) for number in range(folds.count)]


def judged(divisions: Sequence[Division], choices: Sequence[Choice], confusions: Callable[[Choice], Counts]) -> Counts:
    """Confusion matrices (R, C, C) of recordings, each under the choice that was made without it; others are zero."""
    parts = [
        np.where(division.judging[:, None, None], confusions(choice), 0)
        for division, choice in zip(divisions, choices, strict=True)
    ]
    total: Counts = np.sum(parts, axis=0)
    return total


def gain(before: Counts, after: Counts, tuned: NDArray[np.bool_], among: Mask | None = None) -> Gain:
    """The gain in macro-F1 of the classes marked in `tuned` (C,) from the matrices (R, C, C) of `before` to those of `after`."""
    kept = slice(None) if among is None else among
    result = jackknife(np.stack([before[kept], after[kept]], axis=1), lambda counts: _differences(counts, tuned))
    interval = difference_interval(result)
    low, high = float(interval.low), float(interval.high)
    spread = not np.isnan(low)
    return Gain(float(result.estimate), low if spread else None, high if spread else None, float(probability_of_gain(result)))


def macro_f1_of(counts: Counts, tuned: NDArray[np.bool_]) -> float:
    """Macro-F1 of the classes marked in `tuned`, of matrices (R, C, C) summed."""
    return float(class_f1(counts.sum(axis=0))[tuned].mean())


def _differences(counts: NDArray, tuned: NDArray[np.bool_]) -> Floats:
    scores = class_f1(counts)[..., tuned].mean(axis=-1)
    differences: Floats = scores[..., 1] - scores[..., 0]
    return differences
