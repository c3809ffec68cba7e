"""How classes last and change in the training labels, for decoding whole tracks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.tracks import Track
from harness.postprocess.viterbi import Viterbi

# A class is taken to last at least as long as all but this share of its stays in training.
SHORT_STAYS = 0.1


@dataclass(frozen=True)
class Transitions:
    """Changes per second (C, C) from class to class in training, and how long all but the shortest stays last, in seconds."""

    rates: tuple[tuple[float, ...], ...]
    minimum_seconds: float

    def model(self, evidence: float, shortest: bool) -> Viterbi:
        """A decoder with these transitions; `shortest` says whether stays must last as long as in training."""
        return Viterbi(self.rates, self.minimum_seconds if shortest else 0.0, evidence)


def transitions_of(tracks: Sequence[Track], classes: int, frame_rate: float | None = None) -> Transitions | None:
    """What the labels of `tracks` say; tracks of unknown rate count with `frame_rate`. None without any labels and rate.

    Frames without a label end a stay without a change. Each class gets one second, and a part of one change to each other class,
    on top of what was seen, so that no change is impossible.
    """
    changes = np.full((classes, classes), 1.0 / classes)
    seconds = np.ones(classes)
    stays: list[float] = []
    for track in tracks:
        rate = track.frame_rate if track.frame_rate is not None else frame_rate
        if rate is None or track.labels is None:
            continue
        labels = track.labels.astype(np.int64)
        seconds += np.bincount(labels[labels >= 0], minlength=classes) / rate
        before, after = labels[:-1], labels[1:]
        changed = (before != after) & (before >= 0) & (after >= 0)
        np.add.at(changes, (before[changed], after[changed]), 1.0)
        borders = np.flatnonzero(np.diff(labels)) + 1
        # Only a stay between two others is known from its beginning to its end.
        complete = [
            end - begin
            for begin, end in itertools.pairwise(borders.tolist())
            if labels[begin - 1] >= 0 and labels[begin] >= 0 and labels[end] >= 0
        ]
        stays += (np.array(complete) / rate).tolist()
    if seconds.sum() == classes:
        return None
    np.fill_diagonal(changes, 0.0)
    rates = tuple(tuple(row) for row in (changes / seconds[:, None]).round(6).tolist())
    return Transitions(rates, round(float(np.quantile(stays, SHORT_STAYS)), 3) if stays else 0.0)
