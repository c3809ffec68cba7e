"""What is scored: the classes predicted for one track beside its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.calibration import Reliability, reliability
from harness.kinds.confusion import confusion, confusion_by_group


@dataclass(frozen=True, eq=False)
class TrackPredictions:
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

    def decoded(self, classes: NDArray[np.int8], probabilities: NDArray[np.float64]) -> TrackPredictions:
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


def by_recording(
    tracks: Sequence[TrackPredictions], matrix: Callable[[TrackPredictions], NDArray[np.int64]]
) -> tuple[list[str], NDArray[np.int64]]:
    """Recordings in order of appearance, and for each the sum (R, C, C) of the `matrix` of its tracks."""
    return confusion_by_group([matrix(track) for track in tracks], [track.recording for track in tracks])
