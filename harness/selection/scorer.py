"""The labelled recordings that choices are made on, and a run's sums over their frames under any post-processing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Score, format_of
from harness.data.tracks import DataRoot, Track
from harness.errors import UsageError
from harness.kinds.parts import Parts, parts_of
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import labelled_tracks, labels_of
from harness.rows.predictions import RunPredictions
from harness.runs.lineage import learned_from
from harness.runs.store import Run
from harness.selection.yardstick import Yardstick, yardstick_of

# So many labelled frames are enough to fit a temperature, a bias or weights to.
FRAMES_TO_FIT = 50_000


@dataclass(frozen=True)
class ValidationSet:
    """The labelled recordings of a split that choices are made on.

    Attributes
    ----------
    seed : of the folds.
    frame_rate : frames per second for tracks whose rate is unknown.
    """

    split: str
    root: DataRoot
    seed: int = 0
    frame_rate: float | None = None

    @property
    def parts(self) -> Parts:
        """The parts of the challenge."""
        return parts_of(self.root.challenge)

    @property
    def score(self) -> Score:
        """What choices are judged by: how the challenge's usual edition ranks."""
        return format_of(self.root.challenge.name).score

    @cached_property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks that have a labelled frame. Raises DataError if none has."""
        return tuple(track for track in labelled_tracks(self.root, self.split) if self.parts.labelled(self.labels(track)).any())

    def labels(self, track: Track) -> NDArray[Any]:
        """The labels of the lines a submission needs for a track: a frame that is asked for twice counts twice."""
        return track.of_lines(labels_of(track, self.root.challenge))

    @cached_property
    def recordings(self) -> list[str]:
        """The recordings of `tracks`, in the order of all sums."""
        return sorted({track.recording for track in self.tracks})

    def as_dict(self) -> dict[str, str | int | float | None]:
        """What is stored with a choice that was made here."""
        return {"split": self.split, "seed": self.seed, "frame_rate": self.frame_rate}


@dataclass(frozen=True, eq=False)
class FramesToFit:
    """Labelled frames: probabilities and values (N, columns) float32, labels (N, fields), number (N,) of each recording."""

    parts: Parts
    probabilities: NDArray[np.float32]
    labels: NDArray[Any]
    recording: NDArray[np.int64]

    def of(self, mask: NDArray[np.bool_]) -> FramesToFit:
        """Frames of the recordings in a mask (R,), evenly spaced so that there are at most FRAMES_TO_FIT."""
        kept = np.flatnonzero(mask[self.recording])
        kept = kept[:: max(1, -(-len(kept) // FRAMES_TO_FIT))]
        return replace(self, probabilities=self.probabilities[kept], labels=self.labels[kept], recording=self.recording[kept])

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The frames (N,) by recording."""
        return np.argsort(self.recording, kind="stable")

    def sums(self, recordings: int, bias: tuple[float, ...] = ()) -> NDArray:
        """Sums (R, size) of the answers under an adjustment of all parts."""
        answers, labels = self.parts.decode(self.probabilities, bias or None)[self.order], self.labels[self.order]
        borders = np.searchsorted(self.recording[self.order], np.arange(recordings + 1))
        return np.stack([self.parts.sums(labels[begin:end], answers[begin:end]) for begin, end in pairwise(borders.tolist())])


def refuse_test(split: str) -> None:
    """Nothing is ever chosen by the labels of the test split. Raises UsageError."""
    if split == "test" or split.startswith("test."):
        raise UsageError(
            "nothing is tuned on a test split, for its labels must not be looked at",
            found=f"--split {split}",
            expected="val, or the split of out-of-fold scores",
        )


def refuse_learned(run: Run, split: str) -> None:
    """Nothing is chosen on tracks that a model learned from: it would look good on them whatever is chosen. Raises UsageError."""
    learners = learned_from(run, split)
    if learners:
        raise UsageError(
            f"nothing can be chosen on the split {split!r}, because the run learned from it",
            found=f"{', '.join(learners)} was trained on tracks of {split}",
            remedy="choose on a split it did not see, or on the out-of-fold scores of `harness crossval`",
        )


class Scorer:
    """Scores a run on a validation set under different post-processing; each is computed once.

    Raises UsageError for a test split or a split the run learned from, DataError for one without labels.

    Attributes
    ----------
    yardstick : the score over the columns with enough labelled frames to be tuned on.
    """

    def __init__(self, run: Run, validation: ValidationSet) -> None:
        refuse_test(validation.split)
        refuse_learned(run, validation.split)
        self.run, self.validation, self.parts = run, validation, validation.parts
        self._number = {name: number for number, name in enumerate(validation.recordings)}
        self._sums: dict[tuple[str, PostProcessing, int], NDArray] = {}
        self._frames: dict[PostProcessing, FramesToFit] = {}
        labels = self._no_sums()
        for track in validation.tracks:
            labels[self._number[track.recording]] += self.parts.label_only_sums(validation.labels(track))
        self.yardstick: Yardstick = yardstick_of(self.parts, validation.score, labels)
        usual = self._predictions(PostProcessing())
        self.has_rates = any(usual.rate(track.name) is not None for track in validation.tracks)

    def sums(self, settings: PostProcessing, stride: int = 1) -> NDArray:
        """Sums (R, size) over all labelled frames of each recording, as if every stride-th score were there alone.

        A part is counted once under settings of its own, whatever those of the others are.
        """
        keys = [(own.part.name, settings.of_part(self.parts, own), stride) for own in self.parts.placed]
        if any(key not in self._sums for key in keys):
            whole = self._count(settings, stride)
            self._sums |= {key: whole[:, own.sums] for key, own in zip(keys, self.parts.placed, strict=True)}
        return np.concatenate([self._sums[key] for key in keys], axis=1)

    def _count(self, settings: PostProcessing, stride: int) -> NDArray:
        predictions, sums = self._predictions(settings, stride), self._no_sums()
        for track in self.validation.tracks:
            answers = track.of_lines(predictions.predict(track.name).classes)
            sums[self._number[track.recording]] += self.parts.sums(self.validation.labels(track), answers)
        return sums

    def _no_sums(self) -> NDArray:
        return np.zeros((len(self._number), self.parts.size), dtype=self.parts.dtype)

    def frames(self, settings: PostProcessing) -> FramesToFit:
        """The probabilities of all labelled frames that `settings` would decode."""
        settings = replace(settings, bias=(), viterbi=None)
        if settings not in self._frames:
            predictions = self._predictions(settings)
            probabilities, labels, recording = [], [], []
            for track in self.validation.tracks:
                truth = self.validation.labels(track)
                lines = np.flatnonzero(self.parts.labelled(truth))
                values = track.of_lines(predictions.predict(track.name).probabilities)
                probabilities.append(values[lines].astype(np.float32))
                labels.append(truth[lines].reshape(len(lines), -1))
                recording.append(np.full(len(lines), self._number[track.recording]))
            self._frames[settings] = FramesToFit(
                self.parts, np.concatenate(probabilities), np.concatenate(labels), np.concatenate(recording)
            )
        return self._frames[settings]

    def _predictions(self, settings: PostProcessing, stride: int = 1) -> RunPredictions:
        validation = self.validation
        return RunPredictions(self.run, validation.split, settings, validation.root, validation.frame_rate, stride)
