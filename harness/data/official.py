"""Reads the official files of a test set: the sample file (the authority on rows) and the list of track names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import files
from harness.challenge import EXPR, IMAGE_LOCATION
from harness.data import catalogue
from harness.errors import UsageError
from harness.findings import Finding, printable

# The official sample has 1,022,655 rows and 29 MB.
LARGEST_SAMPLE = 1024 * 1024 * 1024
LARGEST_NAMES_FILE = 4 * 1024 * 1024
MOST_FINDINGS_PER_FILE = 20
_COUNT = re.compile(r"[1-9][0-9]{0,7}")
_ROW = re.compile(r"([^/]+)/([0-9]{5,9})\.jpg")


@dataclass(frozen=True, eq=False)
class TestSet:
    """Test tracks in official order.

    Attributes
    ----------
    rows : rows by track; 0 where the file does not say.
    sha256 : of the file's bytes.
    findings : faults, in the order of the lines.
    """

    __test__ = False  # not a test case

    rows: dict[str, int]
    sha256: str
    findings: tuple[Finding, ...]


def is_track_name(name: str) -> bool:
    """Whether a name can be that of a track: a plain file name on every system."""
    try:
        files.safe_name(name, "a track's name")
    except UsageError:
        return False
    return True


def read_sample(path: str | Path) -> TestSet:
    """Reads a sample or example file with all its faults. Raises DataError if its bytes cannot be read."""
    return parse_sample(files.read_bytes(path, LARGEST_SAMPLE), str(path))


def parse_sample(data: bytes, path: str) -> TestSet:
    """Tracks and rows of a sample file: a header, then a line `<track>/<5 digits>.jpg,...` for each row.

    Rows of a track stand together and run 1, 2, 3, ... without a gap; what follows the first comma is not looked at.
    """
    sha256 = hashlib.sha256(data).hexdigest()
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").rstrip()
    expected = f"{IMAGE_LOCATION},{EXPR.header}"
    first_line, _, body = text.partition(b"\n")
    header = first_line.decode("utf-8", "replace")
    if header.strip() != expected:
        return TestSet({}, sha256, (Finding(catalogue.SAMPLE_HEADER, path, 1, found=printable(header), expected=expected),))
    if not body:
        return TestSet({}, sha256, (Finding(catalogue.SAMPLE_ROW, path, 1, found="no rows", expected="a row per frame"),))
    rows = _rows_of_equal_lines(body + b"\n")
    if rows is not None:
        return TestSet(rows, sha256, ())
    rows, findings = _rows_line_by_line(body.split(b"\n"), path)
    return TestSet(rows, sha256, findings)


def _rows_line_by_line(lines: list[bytes], path: str) -> tuple[dict[str, int], tuple[Finding, ...]]:
    rows: dict[str, int] = {}
    findings: list[Finding] = []
    track, prefix = "", b""
    next_image: bytes | None = None
    for number, line in enumerate(lines, 2):
        image = line.partition(b",")[0]
        if image == next_image:
            frame = rows[track] + 1
        else:
            name, frame = _split_row(image)
            fault = _row_fault(name, frame, track, rows)
            if fault and len(findings) < MOST_FINDINGS_PER_FILE:
                found = repr(image[:80].decode("utf-8", "replace"))
                findings.append(Finding(catalogue.SAMPLE_ROW, path, number, found=found, expected=fault))
            if not name:
                continue
            track, prefix = name, name.encode("utf-8") + b"/"
        rows[track] = frame
        next_image = prefix + b"%05d.jpg" % (frame + 1)
    return rows, tuple(findings)


def _rows_of_equal_lines(body: bytes) -> dict[str, int] | None:
    """Rows by track where all rows of a track have one length and are faultless; None where a row needs a closer look.

    An official sample has a million rows; here each is compared in one step with its whole track.
    """
    characters = np.frombuffer(body, np.uint8)
    rows: dict[str, int] = {}
    start = 0
    while start < len(body):
        line = body[start : body.find(b"\n", start) + 1]
        name, frame = _split_row(line.partition(b",")[0])
        if frame != 1 or name in rows:
            return None
        prefix = name.encode("utf-8") + b"/"
        count = _count_equal_starts(body, start, prefix, len(line))
        if count > 99_999:
            return None
        block = characters[start : start + count * len(line)].reshape(count, len(line))
        expected = np.tile(block[0], (count, 1))
        digits = (np.arange(1, count + 1)[:, None] // np.array([10_000, 1_000, 100, 10, 1])) % 10 + ord("0")
        expected[:, len(prefix) : len(prefix) + 5] = digits
        if not np.array_equal(block, expected):
            return None
        rows[name] = count
        start += count * len(line)
    return rows or None


def _count_equal_starts(body: bytes, start: int, prefix: bytes, length: int) -> int:
    """How many lines of `length` bytes from `start` on seem to begin with `prefix`; found by doubling and halving."""
    low, high = 1, 2
    while body.startswith(prefix, start + (high - 1) * length) and start + high * length <= len(body):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if body.startswith(prefix, start + (middle - 1) * length) and start + middle * length <= len(body):
            low = middle
        else:
            high = middle
    return low


def _split_row(image: bytes) -> tuple[str, int]:
    """Track and frame number of an image name, or ("", 0) if it is not of the official form."""
    match = _ROW.fullmatch(image.decode("utf-8", "replace"))
    return (match[1], int(match[2])) if match and is_track_name(match[1]) else ("", 0)


def _row_fault(name: str, frame: int, track: str, rows: dict[str, int]) -> str:
    """What was expected where a row does not continue the track before it; "" if it rightly begins a new one."""
    if not name:
        return "<track>/<5 digits>.jpg"
    if name == track:
        return f"frame {rows[track] + 1} of {track}"
    if name in rows:
        return f"a new track; the rows of {name} stand together"
    return "" if frame == 1 else f"the first frame of {name}, 00001.jpg"


def read_names(path: str | Path) -> TestSet:
    """Reads a list of test tracks with all its faults. Raises DataError if its bytes cannot be read."""
    return parse_names(files.read_bytes(path, LARGEST_NAMES_FILE), str(path))


def parse_names(data: bytes, path: str) -> TestSet:
    """Tracks of a list with one name per line. Empty lines and blanks around a name are read over."""
    rows: dict[str, int] = {}
    findings: list[Finding] = []
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if not name:
            continue
        if not is_track_name(name) or name in rows:
            expected = "each name once" if name in rows else "a track name"
            findings.append(Finding(catalogue.NAMES_LINE, path, number, found=printable(name), expected=expected))
            continue
        rows[name] = 0
    return TestSet(rows, hashlib.sha256(data).hexdigest(), tuple(findings[:MOST_FINDINGS_PER_FILE]))


def read_frame_totals(path: str | Path) -> TestSet:
    """Reads the 1st edition's list of test tracks with their numbers of frames."""
    return parse_frame_totals(files.read_bytes(path, LARGEST_NAMES_FILE), str(path))


def parse_frame_totals(data: bytes, path: str) -> TestSet:
    """Tracks and rows of the 1st edition's sentences: of a line's words the third is the track, the tenth its frames."""
    rows: dict[str, int] = {}
    findings: list[Finding] = []
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 10 or not is_track_name(words[2]) or words[2] in rows or not _COUNT.fullmatch(words[9]):
            expected = "a sentence with the track as third and its number of frames as tenth word"
            findings.append(Finding(catalogue.NAMES_LINE, path, number, found=printable(line), expected=expected))
            continue
        rows[words[2]] = int(words[9])
    return TestSet(rows, hashlib.sha256(data).hexdigest(), tuple(findings[:MOST_FINDINGS_PER_FILE]))
