"""Reads a submission back into values, which is the inverse of harness.submission.build; and beside the labels of a data root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Format
from harness.data.sample import Rows
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.evaluation.predictions import ScoredTrack
from harness.findings import raise_first_error
from harness.rows.labelled import labelled_tracks, labels_of, refuse_unjudged, with_image
from harness.submission.checks import check
from harness.submission.expected import Expected


@dataclass(frozen=True, eq=False)
class Answer:
    """A submission that was read: challenge and edition, and the values of each track in the order of the submission.

    `values` holds int8 or float64 arrays: (rows,) for a challenge of one class per frame, else (rows, fields). `frames` holds
    the 1-based number of each row's image, (rows,) int32.
    """

    form: Format
    values: dict[str, NDArray[Any]]
    frames: dict[str, NDArray[np.int32]]


def read(path: str | Path, expected: Expected | None = None, challenge: str | None = None, edition: int | None = None) -> Answer:
    """Reads a submission's folder, one official text file, or an archive of either.

    The arguments are those of harness.submission.checks.check. Raises DataError naming the first error's file and line if the
    submission has any.
    """
    verdict = check(path, expected, challenge, edition)
    path = Path(path)
    raise_first_error(verdict.findings, f"harness validate {path}", path if path.is_dir() else path.parent)
    if verdict.form is None:
        raise DataError("not a submission", path=path)
    one_class = len(verdict.form.challenge.fields) == 1
    values = {track: array[:, 0] if one_class else array for track, array in verdict.values.items()}
    return Answer(verdict.form, values, verdict.frames)


def of_classes(classes: dict[str, NDArray[np.int8]], tracks: Sequence[Track], number: int) -> list[ScoredTrack]:
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
        ScoredTrack(track.name, track.recording, labels_of(track), classes[track.name], with_image(track)) for track in tracks
    ]


def of_text(path: Path, root: DataRoot, split: str, edition: int | None) -> tuple[Answer, list[ScoredTrack]]:
    """The predictions that stand in a text file or a submission folder beside the labels of a split of `root`.

    A file named like a track is that track's alone; every other text answers for the whole split. `edition` decides how it is
    read, by default the text itself. Raises DataError for what cannot be read, or if the split has no labels.
    """
    refuse_unjudged(root.challenge)
    tracks = labelled_tracks(root, split)
    tracks = tuple(track for track in tracks if path.is_file() and track.name == path.stem) or tracks
    rows = Rows.from_counts((track.name, track.rows) for track in tracks)
    answer = read(path, Expected(f"split {split!r} of {root.path}", rows.names, rows), "EXPR", edition)
    return answer, of_classes(answer.values, tracks, len(answer.form.challenge.class_names))
