"""What is scored: the classes predicted for each track beside its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import MACRO_F1, Score
from harness.evaluation.calibration import Reliability, reliability
from harness.kinds.confusion import confusion, confusion_by_group
from harness.runs.store import Run


@dataclass(frozen=True, eq=False)
class ScoredTrack:
    """The predictions of one track and its labels, row by row.

    Attributes
    ----------
    name, recording : the track and the recording it was filmed in.
    labels : (rows,) int8 class, or negative where nobody labelled the frame.
    classes : (rows,) int8 predicted class.
    has_face : (rows,) bool, False where the face is missing and the prediction imputed.
    reliability : what the labelled frames with a face contribute to a reliability diagram, and
    confidence : the mean probability of the decoded class; None for predictions read from text.
    """

    name: str
    recording: str
    labels: NDArray[np.int8]
    classes: NDArray[np.int8]
    has_face: NDArray[np.bool_]
    reliability: Reliability | None = None
    confidence: float | None = None

    def confusion(self, classes: int, with_face: bool = False) -> NDArray[np.int64]:
        """Confusion matrix (C, C) of the labelled frames, or of those that have a face."""
        kept = self.has_face if with_face else slice(None)
        return confusion(self.labels[kept], self.classes[kept], classes)

    def decoded(self, classes: NDArray[np.int8], probabilities: NDArray[np.float64]) -> ScoredTrack:
        """The same track with classes (rows,) decoded from probabilities (rows, C), of which only sums are kept.

        The probabilities of a split fill gigabytes; its labels and classes take two bytes a row.
        """
        faces = self.has_face
        chosen = np.take_along_axis(probabilities, classes[:, None].astype(np.intp), axis=1)
        return replace(
            self,
            classes=classes,
            reliability=reliability(probabilities[faces], self.labels[faces]),
            confidence=float(chosen.mean()) if len(chosen) else 0.0,
        )


@dataclass(frozen=True, eq=False)
class Scored:
    """What is evaluated or compared: the predictions of a run, a submission or a text file.

    Attributes
    ----------
    score : the challenge's score in the edition asked for.
    run, settings : the run and its post-processing as plain values; None for a text.
    unsmoothed : the predictions without smoothing, where smoothing changes anything.
    held_out : confusion matrices (R, C, C) of the labelled recordings in the order of their names, each under settings that were
        chosen without it; None where nothing was chosen by these labels, or that is not known.
    notes : what is to be said of the predictions, one line each.
    """

    name: str
    class_names: tuple[str, ...]
    tracks: Sequence[ScoredTrack]
    score: Score = MACRO_F1
    run: Run | None = None
    settings: dict[str, Any] | None = None
    unsmoothed: Sequence[ScoredTrack] | None = None
    held_out: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()


def by_recording(
    tracks: Sequence[ScoredTrack], matrix: Callable[[ScoredTrack], NDArray[np.int64]]
) -> tuple[list[str], NDArray[np.int64]]:
    """Recordings in order of appearance, and for each the sum (R, C, C) of the `matrix` of its tracks."""
    return confusion_by_group([matrix(track) for track in tracks], [track.recording for track in tracks])


def confusions_by_recording(scored: Scored) -> tuple[list[str], NDArray[np.int64]]:
    """The recordings with a labelled frame in the order of their names, and their confusion matrices (R, C, C)."""
    labelled = sorted((track for track in scored.tracks if (track.labels >= 0).any()), key=lambda track: track.recording)
    if not labelled:
        return [], np.zeros((0, len(scored.class_names), len(scored.class_names)), dtype=np.int64)
    return by_recording(labelled, lambda track: track.confusion(len(scored.class_names)))
