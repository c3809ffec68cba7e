"""Are labels and images one frame apart? The score when each label is compared with a prediction some frames earlier or later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.compare import SIGNIFICANT, compare
from harness.evaluation.predictions import ScoredTrack, by_recording
from harness.kinds.confusion import confusion
from harness.kinds.f1 import macro_f1

# Code published with this field pairs label line k with image k-1; a model trained or read so fits best at a shift of 1.
SHIFTS = tuple(range(-3, 4))


@dataclass(frozen=True)
class Shifts:
    """Macro-F1 by shift: at shift k the label of frame t is compared with the prediction of frame t+k, held at the track's ends.

    `best` is the shift with the highest score, 0 among equals; `p_value` how often chance alone makes it that much better than
    no shift.
    """

    scores: dict[int, float]
    best: int
    p_value: float

    @property
    def suspicious(self) -> bool:
        """Whether another shift than 0 fits so much better that chance is no explanation."""
        return self.best != 0 and self.p_value <= SIGNIFICANT


def score_shifts(tracks: Sequence[ScoredTrack], classes: int) -> Shifts:
    """Scores all SHIFTS over the labelled frames of `tracks`."""
    matrices = {shift: by_recording(tracks, partial(_shifted, shift=shift, classes=classes))[1] for shift in SHIFTS}
    scores = {shift: float(macro_f1(matrix.sum(axis=0))) for shift, matrix in matrices.items()}
    best = max(SHIFTS, key=lambda shift: (scores[shift], -abs(shift)))
    return Shifts(scores, best, compare(matrices[0], matrices[best]).p_value)


def _shifted(track: ScoredTrack, shift: int, classes: int) -> NDArray[np.int64]:
    rows = np.clip(np.arange(len(track.labels)) + shift, 0, len(track.labels) - 1)
    return confusion(track.labels, track.answers[rows], classes)
