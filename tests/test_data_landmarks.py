"""Tables of facial landmarks: what is read, in which units, and what is refused by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness import files
from harness.data.landmarks import COLUMNS, read_landmarks
from harness.errors import DataError

HEADER = ",".join(COLUMNS)
POINTS = ",".join(str(number) for number in range(136))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_points_are_shares_of_the_crops_side(tmp_path: Path) -> None:
    path = write(tmp_path / "points.csv", f"1-30,7,{POINTS}", f"1-30,8,{POINTS.replace('0,1,', '-3.5,1.25,', 1)}")
    found = read_landmarks(path, 200)
    points = found.of("1-30", 7)
    assert points is not None
    assert np.allclose(points[0], [0, 1 / 200])
    assert np.allclose(points[67], [134 / 200, 135 / 200])
    other = found.of("1-30", 8)
    assert other is not None
    assert np.allclose(other[0], [-3.5 / 200, 1.25 / 200])
    assert found.of("1-30", 9) is None
    assert found.of("1-31", 7) is None
    assert (found.name, found.sha256) == ("points.csv", files.sha256(path))


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        ((f"a,1,{POINTS}", f"a,1,{POINTS}"), 3, "occurs twice"),
        ((f"a,0,{POINTS}",), 2, "from 1"),
        ((f"a,x,{POINTS}",), 2, "no landmarks"),
        ((f"a,1,{POINTS},5",), 2, "139 columns"),
        (("a,1,5",), 2, "3 columns"),
        ((f"a,1,nan,{POINTS[2:]}",), 2, "far outside"),
        ((f"a,1,{POINTS}", f"b,1,1e9,{POINTS[2:]}"), 3, "landmarks_side"),
        ((f"a,1,left,{POINTS[2:]}",), 2, "no landmarks"),
        ((), 1, "no landmarks"),
    ],
)
def test_what_is_no_landmark_is_refused_by_its_line(lines: tuple[str, ...], line: int, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says) as refusal:
        read_landmarks(write(tmp_path / "points.csv", *lines), 112)
    assert refusal.value.line == line


@pytest.mark.parametrize("content", [b"", b"track,frame,x,y\n", b"\xff\xfe", bytes(500), b"PK\x03\x04" + bytes(100)])
def test_what_is_no_table_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a table of landmarks"):
        read_landmarks(path, 112)
    with pytest.raises(DataError, match="no such file"):
        read_landmarks(tmp_path / "nowhere.csv", 112)
