"""Reads a submission back into values, which is the inverse of harness.submission.build; and beside the labels of a data root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Format
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.evaluation.predictions import ScoredTrack
from harness.findings import raise_first_error
from harness.kinds.parts import parts_of
from harness.rows.labelled import labelled_tracks, labels_of, with_image
from harness.submission.checks import check, detect
from harness.submission.expected import Expected, rows_of


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


def challenge_of(path: Path) -> str | None:
    """The name of the challenge that a text, a submission's folder or an archive answers, by its record or first lines.

    None if nothing tells it. Raises DataError if there is nothing at `path`.
    """
    form = detect(path)
    return None if form is None else form.challenge.name


def of_answers(answer: Answer, tracks: Sequence[Track]) -> list[ScoredTrack]:
    """What was read from text beside the labels of `tracks`, which it covers, line by line.

    Raises MismatchError if the labels are of other classes or units than the text knows.
    """
    challenge = answer.form.challenge
    labels = [track.of_lines(labels_of(track, challenge)) for track in tracks]
    for track, one in zip(tracks, labels, strict=True):
        _refuse_unknown_labels(one, challenge, track.annotation)
    return [
        ScoredTrack(track.name, track.recording, one, answer.values[track.name], track.of_lines(with_image(track)))
        for track, one in zip(tracks, labels, strict=True)
    ]


def _refuse_unknown_labels(labels: NDArray[Any], challenge: Challenge, path: Path | None) -> None:
    rows = labels.reshape(len(labels), -1)
    remedy = "name the data root of the text's edition with --data, or its edition with --edition"
    if rows.shape[1] != len(challenge.fields):
        found, expected = f"{rows.shape[1]} numbers in a row", f"{len(challenge.fields)}, as in the edition of the text"
        raise MismatchError(
            "the labels have fields that the text does not answer", path=path, found=found, expected=expected, remedy=remedy
        )
    for field, column in zip(challenge.fields, rows.T, strict=True):
        if column.max(initial=field.low) > field.high:
            what = "classes" if parts_of(challenge).of_classes else f"numbers of {field.name}"
            raise MismatchError(
                f"the labels have {what} that the text cannot name",
                path=path,
                found=f"label {int(column.max())}",
                expected=f"{field.low} to {field.high}, as in the edition of the text",
                remedy=remedy,
            )


def of_text(path: Path, root: DataRoot, split: str, edition: int | None) -> tuple[Answer, list[ScoredTrack]]:
    """The predictions that stand in a text file or a submission folder beside the labels of a split of `root`.

    A file named like a track is that track's alone; every other text answers for the whole split. `edition` decides how it is
    read, by default the text itself. Raises DataError for what cannot be read, or if the split has no labels.
    """
    tracks = labelled_tracks(root, split)
    tracks = tuple(track for track in tracks if path.is_file() and track.name == path.stem) or tracks
    rows = rows_of(tracks)
    answer = read(path, Expected(f"split {split!r} of {root.path}", rows.names, rows), root.challenge.name, edition)
    return answer, of_answers(answer, tracks)
