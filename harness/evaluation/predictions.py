"""What is scored: the classes predicted for one track beside its labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.confusion import confusion, confusion_by_group


@dataclass(frozen=True, eq=False)
class TrackPredictions:
    """The predictions of one track and its labels, row by row.

    Attributes
    ----------
    name, recording : the track and the recording it was filmed in.
    labels : (rows,) int8 class, or negative where nobody labelled the frame.
    classes : (rows,) int8 predicted class.
    has_face : (rows,) bool, False where the face is missing and the prediction imputed.
    probabilities : (rows, C) what the classes were decoded from; None for predictions read from text.
    """

    name: str
    recording: str
    labels: NDArray[np.int8]
    classes: NDArray[np.int8]
    has_face: NDArray[np.bool_]
    probabilities: NDArray[np.float64] | None = None

    def confusion(self, classes: int, with_face: bool = False) -> NDArray[np.int64]:
        """Confusion matrix (C, C) of the labelled frames, or of those that have a face."""
        kept = self.has_face if with_face else slice(None)
        return confusion(self.labels[kept], self.classes[kept], classes)


def by_recording(
    tracks: Sequence[TrackPredictions], matrix: Callable[[TrackPredictions], NDArray[np.int64]]
) -> tuple[list[str], NDArray[np.int64]]:
    """Recordings in order of appearance, and for each the sum (R, C, C) of the `matrix` of its tracks."""
    return confusion_by_group([matrix(track) for track in tracks], [track.recording for track in tracks])
