"""Are labels and images one frame apart? The score when each label is compared with an answer some frames earlier or later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, usual_score
from harness.evaluation.compare import SIGNIFICANT, swap_p_value
from harness.evaluation.predictions import ScoredTrack, by_recording
from harness.kinds.parts import Parts, parts_of

# Code published with this field pairs label line k with image k-1; a model trained or read so fits best at a shift of 1.
SHIFTS = tuple(range(-3, 4))


@dataclass(frozen=True)
class Shifts:
    """The usual score by shift: at shift k the label of frame t is compared with the answer of frame t+k, held at a track's ends.

    Attributes
    ----------
    best : the shift with the highest score, 0 among equals.
    p_value : how often chance alone makes it that much better than no shift.
    lagging : whether labels lag behind the video for another reason: who draws a value while a video plays is some tenths of a
        second late. Then the score still rises at the last shift tried, and only a best one before that speaks of images.
    """

    scores: dict[int, float]
    best: int
    p_value: float
    lagging: bool = field(default=False, metadata={"json": None})

    @property
    def suspicious(self) -> bool:
        """Whether another shift than 0 fits so much better that chance is no explanation, nor the annotators' delay."""
        return self.best != 0 and self.p_value <= SIGNIFICANT and not self.delayed

    @property
    def delayed(self) -> bool:
        """Whether the score rises up to the last shift tried, of labels that may lag."""
        return self.lagging and abs(self.best) == max(SHIFTS)


def score_shifts(tracks: Sequence[ScoredTrack], challenge: Challenge) -> Shifts:
    """Scores all SHIFTS over the labelled frames of `tracks`."""
    parts, score = parts_of(challenge), usual_score(challenge)
    sums = {shift: by_recording(tracks, [_shifted(track, shift, parts) for track in tracks])[1] for shift in SHIFTS}
    scores = {shift: float(parts.score(one.sum(axis=0), score)) for shift, one in sums.items()}
    best = max(SHIFTS, key=lambda shift: (scores[shift], -abs(shift)))
    p_value = swap_p_value(sums[0], sums[best], lambda pooled: parts.score(pooled, score))
    return Shifts(scores, best, p_value, lagging=not challenge.integral)


def _shifted(track: ScoredTrack, shift: int, parts: Parts) -> NDArray:
    rows = np.clip(np.arange(len(track.labels)) + shift, 0, len(track.labels) - 1)
    return parts.sums(track.labels, track.answers[rows])
