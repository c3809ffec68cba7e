"""Reads a multi-task annotation file (3rd, 4th, 7th and 11th edition): one file for all tracks of a split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, IMAGE, MTL, Challenge, is_sparse
from harness.data import catalogue
from harness.data.annotations import KnownRows, LabelFile, expected_row, table_of
from harness.data.sample import MOST_FRAMES
from harness.errors import DataError
from harness.findings import Finding, printable
from harness.words import counted

# The official training file has 142,382 rows and some 8 MB.
LARGEST_FILE = 256 * 1024 * 1024
MOST_LINES = 2_000_000
MOST_FINDINGS = 20
_IMAGE = re.compile(r"([^/]+)/([0-9]{5,7})\.jpg")
# Five names for sixteen columns.
HEADER = f"{IMAGE},{MTL.header}"


@dataclass(frozen=True, eq=False)
class TrackRows:
    """The rows of one track in the order of the file: 1-based frames int32 (N,), labels float64 (N, 15).

    Frames are sparse, and some come twice: the official files have 951 such rows in training, 210 in validation. Each row counts.
    """

    frames: NDArray[np.int32]
    labels: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MultitaskFile:
    """What a multi-task file says.

    Attributes
    ----------
    tracks : rows by track, in order of first appearance; rows that could not be read are left out.
    sha256 : of the file's bytes.
    findings : its faults, in the order of the lines; last, what it repeats.
    """

    tracks: Mapping[str, TrackRows]
    sha256: str
    findings: tuple[Finding, ...]


def read_rows(path: str | Path) -> MultitaskFile:
    """Reads all labels of a multi-task file with all its faults. Raises DataError if the bytes cannot be read."""
    data = files.read_bytes(path, LARGEST_FILE)
    if data.count(b"\n") > MOST_LINES:
        raise DataError(f"more lines than any multi-task file has: more than {MOST_LINES:,}", path=path)
    sha256 = hashlib.sha256(data).hexdigest()
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").rstrip().replace("\r\n", "\n").split("\n")
    if lines[0].strip() != HEADER:
        found = printable(lines[0])
        return MultitaskFile({}, sha256, (Finding(catalogue.LABEL_HEADER, str(path), 1, found=found, expected=HEADER),))
    if len(lines) == 1:
        return MultitaskFile({}, sha256, (Finding(catalogue.LABEL_EMPTY, str(path), 1),))
    images = [_image(line.partition(",")[0]) for line in lines[1:]]
    known = KnownRows(MTL)
    index = known.look_up([line.partition(",")[2] for line in lines[1:]])
    faulty = np.array([image is None for image in images])
    faulty[known.faulty(index)] = True
    findings = [
        Finding(catalogue.LABEL_VALUE, str(path), int(row) + 2, found=printable(lines[row + 1]), expected=_EXPECTED)
        for row in np.flatnonzero(faulty)[:MOST_FINDINGS]
    ]
    labels = known.labels(index)
    places: dict[str, list[int]] = {}
    frames = np.zeros(len(images), np.int32)
    for row, image in enumerate(images):
        if image is not None and not faulty[row]:
            places.setdefault(image[0], []).append(row)
            frames[row] = image[1]
    tracks = {name: TrackRows(frames[rows], labels[rows]) for name, rows in places.items()}
    repeats, unlike = (sum(counts) for counts in zip((0, 0), *map(_repeats, tracks.values()), strict=True))
    if repeats:
        found = counted(repeats, "row") + (f", {unlike:,} of them with other labels than the first" if unlike else "")
        findings.append(Finding(catalogue.LABEL_REPEATS, str(path), found=found))
    return MultitaskFile(tracks, sha256, tuple(findings))


def holds(challenge: Challenge) -> bool:
    """Whether multi-task files hold all the numbers of a challenge."""
    return set(challenge.fields) <= set(MTL.fields)


def read_multitask(path: str | Path, challenge: Challenge = EXPR) -> dict[str, LabelFile]:
    """The labels of a challenge in a multi-task file, by track, for each frame up to the last that has a row.

    Frames without a row are not labelled; of an image that comes twice each number is that of the first row that has it. For the
    multi-task challenge itself the rows are the lines that are asked for. The faults of the whole file are with its first track.
    Raises DataError if the bytes cannot be read.
    """
    read = read_rows(path)
    if not read.tracks:
        return {"": LabelFile(table_of([], challenge), challenge, read.sha256, read.findings)}
    result: dict[str, LabelFile] = {}
    for name, rows in read.tracks.items():
        asked = rows.frames if is_sparse(challenge) else None
        result[name] = LabelFile(_dense(rows, challenge), challenge, read.sha256, () if result else read.findings, asked)
    return result


def _dense(rows: TrackRows, challenge: Challenge) -> NDArray:
    """The labels of a challenge in the rows of a track, for the frames 1 to the last."""
    table = table_of([challenge.ignored], challenge).repeat(int(rows.frames.max()), axis=0)
    columns = table.reshape(len(table), -1)
    for place, field in enumerate(challenge.fields):
        given = rows.labels[:, MTL.fields.index(field)]
        # Backwards, so that the first of several rows of a frame is written last.
        labelled = np.flatnonzero(given != field.ignore)[::-1]
        columns[rows.frames[labelled] - 1, place] = given[labelled]
    return table


def _image(text: str) -> tuple[str, int] | None:
    """Track and 1-based frame of an image's name, None if it is not of the official form."""
    match = _IMAGE.fullmatch(text.strip())
    if match is None or not files.is_track_name(match[1]) or not 0 < int(match[2]) <= MOST_FRAMES:
        return None
    return match[1], int(match[2])


def _repeats(rows: TrackRows) -> tuple[int, int]:
    """How many rows name a frame again, and how many of these have other labels than its first row."""
    _, first, inverse = np.unique(rows.frames, return_index=True, return_inverse=True)
    again = first[inverse] != np.arange(len(rows.frames))
    unlike = again & (rows.labels != rows.labels[first[inverse]]).any(axis=1)
    return int(again.sum()), int(unlike.sum())


_EXPECTED = f"<track>/<frame>.jpg, then {expected_row(MTL)}"
