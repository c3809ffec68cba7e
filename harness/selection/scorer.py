"""The confusion matrices of a run's split under any post-processing, made once for each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot, Track
from harness.errors import UsageError
from harness.kinds.confusion import confusion, supported_classes
from harness.kinds.decode import decode
from harness.postprocess.chain import PostProcessing
from harness.rows.labelled import labelled_tracks
from harness.rows.predictions import RunPredictions
from harness.runs.provenance import learned_from
from harness.runs.store import Run

# So many labelled frames are enough to fit a temperature, a bias or weights to.
FRAMES_TO_FIT = 50_000


@dataclass(frozen=True, eq=False)
class LabelledFrames:
    """Labelled frames: probabilities (N, C) float32, labels (N,), and the number (N,) of each one's recording."""

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    recording: NDArray[np.int64]

    def to_fit(self, mask: NDArray[np.bool_]) -> LabelledFrames:
        """Frames of the recordings in a mask (R,), evenly spaced so that there are at most FRAMES_TO_FIT."""
        kept = np.flatnonzero(mask[self.recording])
        kept = kept[:: max(1, -(-len(kept) // FRAMES_TO_FIT))]
        return LabelledFrames(self.probabilities[kept], self.labels[kept], self.recording[kept])

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
    """Scores a run's split under different post-processing.

    Raises UsageError for a test split or a split the run learned from.

    Attributes
    ----------
    tracks : the tracks that have a labelled frame.
    recordings : their recordings, in the order of all matrices.
    classes : how many there are.
    tuned : (C,) the classes with enough labelled frames to be tuned on.
    """

    def __init__(self, run: Run, split: str, root: DataRoot, frame_rate: float | None = None) -> None:
        refuse_test(split)
        refuse_learned(run, split)
        self.run, self.split, self.root, self.frame_rate = run, split, root, frame_rate
        labelled = (track for track in labelled_tracks(root, split) if track.labels is not None and (track.labels >= 0).any())
        self.tracks: tuple[Track, ...] = tuple(labelled)
        self.recordings = sorted({track.recording for track in self.tracks})
        self.classes = len(run.class_names)
        self._number = {name: number for number, name in enumerate(self.recordings)}
        self._confusions: dict[tuple[PostProcessing, int], NDArray[np.int64]] = {}
        self._frames: dict[PostProcessing, LabelledFrames] = {}
        labels = np.concatenate([_labels(track) for track in self.tracks])
        counts = np.bincount(labels[labels >= 0], minlength=self.classes)
        self.tuned = supported_classes(np.diag(counts))
        self.has_rates = any(self._predictions(PostProcessing()).rate(track.name) is not None for track in self.tracks)

    def confusions(self, settings: PostProcessing, stride: int = 1) -> NDArray[np.int64]:
        """Confusion matrices (R, C, C) of all labelled frames of each recording, as if every stride-th score were there alone."""
        if (settings, stride) not in self._confusions:
            predictions = self._predictions(settings, stride)
            matrices = np.zeros((len(self.recordings), self.classes, self.classes), dtype=np.int64)
            for track in self.tracks:
                classes = predictions.predict(track.name, predictions.index.tracks[track.name]).classes
                matrices[self._number[track.recording]] += confusion(_labels(track), classes, self.classes)
            self._confusions[settings, stride] = matrices
        return self._confusions[settings, stride]

    def frames(self, settings: PostProcessing) -> LabelledFrames:
        """The probabilities of all labelled frames that `settings` would decode."""
        settings = replace(settings, bias=(), viterbi=None)
        if settings not in self._frames:
            predictions = self._predictions(settings)
            probabilities, labels, recording = [], [], []
            for track in self.tracks:
                rows = np.flatnonzero(_labels(track) >= 0)
                made = predictions.predict(track.name, predictions.index.tracks[track.name])
                probabilities.append(made.probabilities[rows].astype(np.float32))
                labels.append(_labels(track)[rows].astype(np.int64))
                recording.append(np.full(len(rows), self._number[track.recording]))
            self._frames[settings] = LabelledFrames(
                np.concatenate(probabilities), np.concatenate(labels), np.concatenate(recording)
            )
        return self._frames[settings]

    def _predictions(self, settings: PostProcessing, stride: int = 1) -> RunPredictions:
        return RunPredictions(self.run, self.split, settings, self.root, self.frame_rate, stride)


def _labels(track: Track) -> NDArray[np.int8]:
    assert track.labels is not None
    return track.labels
