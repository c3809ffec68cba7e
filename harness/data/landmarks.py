"""Facial landmarks of crops from a table: 68 points of an image by its track and frame.

A CSV with the columns track, frame, x0, y0, …, x67, y67: pixels of the crop, x to the right and y down from its upper left
corner; the points of the iBUG 300-W scheme in their order (jaw, brows, nose, eyes, mouth).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError

POINTS = 68
COLUMNS = ("track", "frame", *(f"{axis}{point}" for point in range(POINTS) for axis in "xy"))
LARGEST_FILE = 4 * 1024**3
FARTHEST = 1.0
"""How far outside of the crop a point may lie, in sides of the crop: a chin may be cut off, other units than pixels may not."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points of images.

    Attributes
    ----------
    name, sha256 : of the file, without its folder.
    places : (track, 1-based frame) -> row of `points`.
    points : float32 (N, 68, 2), x and y in 0..1 of the crop's side.
    """

    name: str
    sha256: str
    places: Mapping[tuple[str, int], int]
    points: NDArray[np.float32]

    def of(self, track: str, frame: int) -> NDArray[np.float32] | None:
        """The points (68, 2) of an image, None if the table does not have it."""
        row = self.places.get((track, frame))
        return None if row is None else self.points[row]


def read_landmarks(path: str | Path, side: int) -> Landmarks:
    """Reads a table of landmarks in crops of `side` pixels.

    Raises DataError naming the line for what is no table of landmarks, an image that stands twice, and points that are no numbers
    or lie far outside of the crop.
    """
    path = Path(path)
    data = files.read_bytes(path, LARGEST_FILE)
    try:
        reader = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))  # decoded piece by piece
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise DataError(
                "not a table of landmarks",
                path=path,
                line=1,
                found=",".join(header)[:80],
                expected=f"{','.join(COLUMNS[:4])},…,{','.join(COLUMNS[-2:])}",
            )
        places: dict[tuple[str, int], int] = {}
        rows: list[NDArray[np.float32]] = []
        for row in reader:
            place, points = _row(row, path, reader.line_num, side)
            if place in places:
                raise DataError("an image occurs twice", path=path, line=reader.line_num, found=f"{place[0]}, frame {place[1]}")
            places[place] = len(rows)
            rows.append(points)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"not a table of landmarks: {error}", path=path, expected="a CSV in UTF-8") from error
    if not rows:
        raise DataError("the table holds no landmarks", path=path, line=1)
    return Landmarks(path.name, files.sha256_of_bytes(data), places, np.stack(rows))


def _row(row: Sequence[str], path: Path, line: int, side: int) -> tuple[tuple[str, int], NDArray[np.float32]]:
    """The image of a line and its points (68, 2) in 0..1 of the crop's side."""
    try:
        if len(row) != len(COLUMNS):
            raise ValueError(f"{len(row)} columns")
        frame = int(row[1])
        points = np.array(row[2:], dtype=np.float64).reshape(POINTS, 2) / side
    except ValueError as error:
        raise DataError(
            f"no landmarks: {error}", path=path, line=line, expected=f"a track, a frame and {2 * POINTS} numbers"
        ) from error
    if frame < 1:
        raise DataError("frames are numbered from 1", path=path, line=line, found=str(frame))
    if not (np.isfinite(points) & (points >= -FARTHEST) & (points <= 1 + FARTHEST)).all():
        worst = points.flat[int(np.argmax(np.abs(np.nan_to_num(points, nan=np.inf) - 0.5)))] * side
        raise DataError(
            "a point lies far outside the crop, or is not a number",
            path=path,
            line=line,
            found=f"{worst:g}",
            expected=f"pixels of a crop of {side} (landmarks_side)",
        )
    return (row[0], frame), points.astype(np.float32)
