"""The labelled recordings that choices are made on, and a run's confusion matrices of them under any post-processing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot, Track
from harness.errors import UsageError
from harness.kinds.confusion import confusion, supported_over_recordings
from harness.kinds.decode import decode
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import labelled_tracks, labels_of, refuse_unjudged
from harness.rows.predictions import RunPredictions
from harness.runs.lineage import learned_from
from harness.runs.store import Run

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

    @cached_property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks that have a labelled frame. Raises DataError if none has."""
        refuse_unjudged(self.root.challenge)
        return tuple(track for track in labelled_tracks(self.root, self.split) if (labels_of(track) >= 0).any())

    @cached_property
    def recordings(self) -> list[str]:
        """The recordings of `tracks`, in the order of all matrices."""
        return sorted({track.recording for track in self.tracks})

    def as_dict(self) -> dict[str, str | int | float | None]:
        """What is stored with a choice that was made here."""
        return {"split": self.split, "seed": self.seed, "frame_rate": self.frame_rate}


@dataclass(frozen=True, eq=False)
class FramesToFit:
    """Labelled frames: probabilities (N, C) float32, labels (N,), and the number (N,) of each one's recording."""

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    recording: NDArray[np.int64]

    def of(self, mask: NDArray[np.bool_]) -> FramesToFit:
        """Frames of the recordings in a mask (R,), evenly spaced so that there are at most FRAMES_TO_FIT."""
        kept = np.flatnonzero(mask[self.recording])
        kept = kept[:: max(1, -(-len(kept) // FRAMES_TO_FIT))]
        return FramesToFit(self.probabilities[kept], self.labels[kept], self.recording[kept])

    def confusions(self, recordings: int, bias: tuple[float, ...] = ()) -> NDArray[np.int64]:
        """Confusion matrices (R, C, C) of the most probable classes under a class bias (C,)."""
        classes = self.probabilities.shape[1]
        predicted = decode(self.probabilities, bias or None).astype(np.int64)
        cell = (self.recording * classes + self.labels) * classes + predicted
        return np.bincount(cell, minlength=recordings * classes**2).reshape(recordings, classes, classes)


def refuse_test(split: str) -> None:
    """Nothing is ever chosen by the labels of the test split. Raises UsageError."""
    if split == "test" or split.startswith("test."):
        raise UsageError(
            "nothing is tuned on a test split: its labels are not there to be looked at",
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
    supported : (C,) the classes with enough labelled frames to be tuned on.
    """

    def __init__(self, run: Run, validation: ValidationSet) -> None:
        refuse_test(validation.split)
        refuse_learned(run, validation.split)
        self.run, self.validation, self.classes = run, validation, len(run.class_names)
        self._number = {name: number for number, name in enumerate(validation.recordings)}
        self._confusions: dict[tuple[PostProcessing, int], NDArray[np.int64]] = {}
        self._frames: dict[PostProcessing, FramesToFit] = {}
        frames = np.zeros((len(self._number), self.classes), dtype=np.int64)
        for track in validation.tracks:
            labels = labels_of(track)
            frames[self._number[track.recording]] += np.bincount(labels[labels >= 0], minlength=self.classes)
        self.supported = supported_over_recordings(frames)
        usual = self._predictions(PostProcessing())
        self.has_rates = any(usual.rate(track.name) is not None for track in validation.tracks)

    def confusions(self, settings: PostProcessing, stride: int = 1) -> NDArray[np.int64]:
        """Confusion matrices (R, C, C) of all labelled frames of each recording, as if every stride-th score were there alone."""
        if (settings, stride) not in self._confusions:
            predictions = self._predictions(settings, stride)
            matrices = np.zeros((len(self._number), self.classes, self.classes), dtype=np.int64)
            for track in self.validation.tracks:
                classes = predictions.predict(track.name).classes
                matrices[self._number[track.recording]] += confusion(labels_of(track), classes, self.classes)
            self._confusions[settings, stride] = matrices
        return self._confusions[settings, stride]

    def frames(self, settings: PostProcessing) -> FramesToFit:
        """The probabilities of all labelled frames that `settings` would decode."""
        settings = replace(settings, bias=(), viterbi=None)
        if settings not in self._frames:
            predictions = self._predictions(settings)
            probabilities, labels, recording = [], [], []
            for track in self.validation.tracks:
                rows = np.flatnonzero(labels_of(track) >= 0)
                probabilities.append(predictions.predict(track.name).probabilities[rows].astype(np.float32))
                labels.append(labels_of(track)[rows].astype(np.int64))
                recording.append(np.full(len(rows), self._number[track.recording]))
            self._frames[settings] = FramesToFit(np.concatenate(probabilities), np.concatenate(labels), np.concatenate(recording))
        return self._frames[settings]

    def _predictions(self, settings: PostProcessing, stride: int = 1) -> RunPredictions:
        validation = self.validation
        return RunPredictions(self.run, validation.split, settings, validation.root, validation.frame_rate, stride)
