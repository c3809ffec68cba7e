"""Predictions that stand in a text, beside the labels of a data root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot, Track
from harness.errors import MismatchError
from harness.evaluation.predictions import TrackPredictions
from harness.rows.labelled import labelled_tracks, labels_of, with_image
from harness.submission.expected import Expected
from harness.submission.reader import Answer, read
from harness.submission.rows import Rows


def of_classes(classes: dict[str, NDArray[np.int8]], tracks: Sequence[Track], number: int) -> list[TrackPredictions]:
    """Predicted classes (rows,) by track name, as read from text, beside the labels of `tracks`, which they cover.

    Raises MismatchError if there are labels of other than the `number` of classes that the text knows.
    """
    unknown = [track for track in tracks if track.labels is not None and track.labels.max(initial=-1) >= number]
    if unknown:
        raise MismatchError(
            "the labels have classes that the text cannot name",
            path=unknown[0].annotation,
            found=f"label {int(labels_of(unknown[0]).max())}",
            expected=f"0 to {number - 1}, as in the edition of the text",
            remedy="name the data root of the text's edition with --data, or its edition with --edition",
        )
    return [
        TrackPredictions(track.name, track.recording, labels_of(track), classes[track.name], with_image(track))
        for track in tracks
    ]


def of_text(path: Path, root: DataRoot, split: str, edition: int | None) -> tuple[Answer, list[TrackPredictions]]:
    """The predictions that stand in a text file or a submission folder beside the labels of a split of `root`.

    A file named like a track is that track's alone; every other text answers for the whole split. `edition` decides how it is
    read, by default the text itself. Raises DataError for what cannot be read, or if the split has no labels.
    """
    tracks = labelled_tracks(root, split)
    tracks = tuple(track for track in tracks if path.is_file() and track.name == path.stem) or tracks
    rows = Rows.from_counts((track.name, track.rows) for track in tracks)
    answer = read(path, Expected(f"split {split!r} of {root.path}", rows.names, rows), "EXPR", edition)
    return answer, of_classes(answer.values, tracks, len(answer.form.challenge.class_names))
