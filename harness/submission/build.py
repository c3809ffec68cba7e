"""Writes a submission: the tracks' files, the edition's single file and the record, all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import Challenge, Format, format_of
from harness.data.sample import Rows, Sample
from harness.errors import DataError, MismatchError
from harness.submission.record import MERGED_NAME, RECORD_NAME, TRACKS_FOLDER, record_content
from harness.submission.writer import merged_file, track_file

_MOST_NAMED = 5


def build(
    directory: str | Path,
    tracks: Sequence[tuple[str, NDArray[Any]]],
    challenge: Challenge,
    edition: int | None,
    sample: Sample | None,
    record: Mapping[str, Any],
) -> None:
    """Writes the folder `directory`, replacing an older one, whole or not at all.

    Parameters
    ----------
    tracks : name and values of each track: int8 (rows,) or (rows, fields), float64 where the challenge has real values.
    edition : decides whether `predictions.txt` is merged from the tracks.
    sample : the official sample: rows, order and header of the merged file; None merges the tracks one after the other, each
        with the images 1, 2, 3, ....
    record : what submission.json says beside challenge, edition, rows and sha256: runs, weights, post-processing.

    Raises MismatchError if tracks or rows are not those of the sample, DataError if there is something else in the folder, for a
    value the challenge does not allow or a name that cannot be a file's, UsageError for an edition without this challenge.
    """
    refuse_other_contents(directory)
    form = format_of(challenge.name, edition)
    values = _by_name(tracks)
    rows = Rows.from_counts((name, len(array)) for name, array in values.items())
    header = form.header.encode()
    if sample is not None:
        _compare(rows, sample.rows)
        rows, header = sample.rows, sample.header
        _refuse_two_answers(rows, values)
    with files.writing_directory(directory) as folder:
        digests = {name: _write(folder / name, pieces) for name, pieces in _contents(form, rows, header, values)}
        files.write_json(folder / RECORD_NAME, record_content(form, rows, header, digests, record))


def refuse_other_contents(directory: str | Path) -> None:
    """Raises DataError if `directory` holds anything but a submission, which a new one replaces as a whole."""
    directory = Path(directory)
    if directory.is_dir() and any(directory.iterdir()) and not (directory / RECORD_NAME).is_file():
        raise DataError(
            "something else is here already, and it is not replaced",
            path=directory,
            expected=f"nothing, an empty folder, or a submission with its {RECORD_NAME}",
            remedy="choose another folder with --out",
        )


def _by_name(tracks: Sequence[tuple[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    values: dict[str, NDArray[Any]] = {}
    for name, array in tracks:
        if not files.is_track_name(name):
            raise DataError(
                "a track's name cannot stand in a submission",
                found=ascii(name),
                expected="a file name for any system without commas and quotes",
            )
        if name in values:
            raise DataError("a track occurs twice", found=name)
        values[name] = array
    return values


def _compare(given: Rows, wanted: Rows) -> None:
    """Raises MismatchError naming the first tracks that are absent, not asked for, or of another length."""
    faults = [
        *(f"{name} is absent" for name in wanted.names if name not in given.counts),
        *(f"{name} is not in the sample" for name in given.names if name not in wanted.counts),
        *(
            f"{name} has {given.counts[name]} rows instead of {count}"
            for name, count in wanted.counts.items()
            if given.counts.get(name, count) != count
        ),
    ]
    if faults:
        more = f", and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
        raise MismatchError("the tracks are not those of the sample file", found=", ".join(faults[:_MOST_NAMED]) + more)


def _refuse_two_answers(rows: Rows, values: Mapping[str, NDArray[Any]]) -> None:
    """Raises DataError if copies of an image, which a list of some frames may name more than once, have different values."""
    if rows.first_repeat is None:
        return
    for index, name in enumerate(rows.names):
        frames = rows.frame[rows.track == index]
        _, firsts, which = np.unique(frames, return_index=True, return_inverse=True)
        differs = np.flatnonzero(values[name] != values[name][firsts[which.reshape(-1)]])
        if len(differs):
            raise DataError("an image that the sample names more than once has different answers", found=f"track {name}")


def _contents(
    form: Format, rows: Rows, header: bytes, values: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Paths within the submission, and what to write there, piece by piece."""
    for name in rows.names:
        yield f"{TRACKS_FOLDER}/{name}.txt", _track_pieces(name, values[name], form.challenge)
    if form.layout == "single":
        yield MERGED_NAME, merged_file(rows, header, values, form.challenge)


def _track_pieces(name: str, values: NDArray[Any], challenge: Challenge) -> Iterator[bytes]:
    try:
        yield track_file(values, challenge)
    except ValueError as error:
        raise DataError(f"track {name}: {error}", remedy="predict the track again") from error


def _write(path: Path, pieces: Iterator[bytes]) -> str:
    """Writes the pieces and returns their sha256.

    The hundreds of tracks' files are not waited for one by one: the folder takes its name when all are written, and the record
    has their sha256.
    """
    digest = sha256()
    with files.writing(path, sync=path.name == MERGED_NAME) as handle:
        for piece in pieces:
            digest.update(piece)
            handle.write(piece)
    return digest.hexdigest()
