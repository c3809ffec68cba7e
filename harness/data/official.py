"""Reads the official files of a test set: the sample file (the authority on rows) and the list of track names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge, formats_of, is_sparse
from harness.data import catalogue, sample
from harness.data.sample import MOST_FINDINGS_PER_FILE
from harness.findings import Finding, printable

LARGEST_NAMES_FILE = 4 * 1024 * 1024
_COUNT = re.compile(r"[1-9][0-9]{0,7}")


@dataclass(frozen=True, eq=False)
class TestSet:
    """Test tracks in official order.

    Attributes
    ----------
    rows : frames by track, which is the last one asked for; 0 where the file does not say.
    sha256 : of the file's bytes.
    findings : faults, in the order of the lines.
    asked : by track the frames (R,) int32 of its lines, in their order, where the challenge takes some frames only.
    """

    __test__ = False  # not a test case

    rows: dict[str, int]
    sha256: str
    findings: tuple[Finding, ...]
    asked: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)

    def asks_as(self, other: TestSet) -> bool:
        """Whether both ask for the same lines of the same tracks in the same order."""
        same = list(self.rows.items()) == list(other.rows.items()) and self.asked.keys() == other.asked.keys()
        return same and all(np.array_equal(frames, other.asked[name]) for name, frames in self.asked.items())


def read_sample(path: str | Path, challenge: Challenge = EXPR) -> TestSet:
    """Reads a sample or example file with all its faults. Raises DataError if its bytes cannot be read."""
    return parse_test_set(files.read_bytes(path, sample.LARGEST_SAMPLE), str(path), challenge)


def parse_test_set(data: bytes, path: str, challenge: Challenge = EXPR) -> TestSet:
    """Tracks and rows of a sample file of a challenge.

    Under the official header a track's rows stand together, running 1, 2, 3, ...; the multi-task lists name frames in any order,
    some of them twice.
    """
    sha256, expected = hashlib.sha256(data).hexdigest(), _sample_header(challenge)
    found = sample.parse_sample(data, path)
    header = found.header.decode("utf-8", "replace")
    if header.strip() != expected:
        return TestSet({}, sha256, (Finding(catalogue.SAMPLE_HEADER, path, 1, found=printable(header), expected=expected),))
    if is_sparse(challenge):
        return _asked(found, sha256)
    faults = sorted([*found.findings, *_out_of_sequence(found, path)], key=lambda fault: fault.line or 0)
    return TestSet(_last_frames(found.rows), sha256, tuple(faults[:MOST_FINDINGS_PER_FILE]))


def _sample_header(challenge: Challenge) -> str:
    """The header of a challenge's sample files, which is that of an answer in one file."""
    return next(form.header for form in reversed(formats_of(challenge)) if form.layout == "single")


def _asked(found: sample.Sample, sha256: str) -> TestSet:
    """A test set that takes some frames only."""
    rows = found.rows
    order = np.argsort(rows.track, kind="stable")
    parts = np.split(rows.frame[order], np.cumsum(np.bincount(rows.track, minlength=len(rows.names)))[:-1])
    asked = dict(zip(rows.names, parts, strict=True))
    last = {name: int(frames.max()) for name, frames in asked.items()}
    return TestSet(last, sha256, found.findings[:MOST_FINDINGS_PER_FILE], asked)


def _last_frames(rows: sample.Rows) -> dict[str, int]:
    """The frame in the last row of each track, which in a faultless sample is its number of rows."""
    last = np.zeros(len(rows.names), np.int32)
    last[rows.track] = rows.frame
    return dict(zip(rows.names, last.tolist(), strict=True))


def _out_of_sequence(found: sample.Sample, path: str) -> Iterator[Finding]:
    """The first rows that neither go on with the track before them nor begin a new one."""
    names, track, frame = found.rows.names, found.rows.track, found.rows.frame
    begins = np.diff(track, prepend=-1) != 0
    wanted = np.where(begins, 1, np.append(0, frame[:-1]) + 1)
    again = begins.copy()
    again[np.unique(track, return_index=True)[1]] = False
    for row in np.flatnonzero((frame != wanted) | again)[:MOST_FINDINGS_PER_FILE].tolist():
        name = names[track[row]]
        expected = f"frame {wanted[row]} of {name}" if not begins[row] else f"the first frame of {name}, 00001.jpg"
        if again[row]:
            expected = f"a new track; the rows of {name} stand together"
        place = repr(sample.image_name(name, int(frame[row])))
        yield Finding(catalogue.SAMPLE_ROW, path, int(found.line[row]), found=place, expected=expected)


def read_names(path: str | Path) -> TestSet:
    """Reads a list of test tracks with all its faults. Raises DataError if its bytes cannot be read."""
    return parse_names(files.read_bytes(path, LARGEST_NAMES_FILE), str(path))


def parse_names(data: bytes, path: str) -> TestSet:
    """Tracks of a list with one name per line. Empty lines and blanks around a name are read over."""
    return _parse_lines(data, path, lambda line: (line.strip(), 0), "a track name")


def read_frame_totals(path: str | Path) -> TestSet:
    """Reads the 1st edition's list of test tracks with their numbers of frames."""
    return parse_frame_totals(files.read_bytes(path, LARGEST_NAMES_FILE), str(path))


def parse_frame_totals(data: bytes, path: str) -> TestSet:
    """Tracks and rows of the 1st edition's sentences: of a line's words the third is the track, the tenth its frames."""

    def entry(line: str) -> tuple[str, int]:
        words = line.split()
        return (words[2], int(words[9])) if len(words) >= 10 and _COUNT.fullmatch(words[9]) else ("", 0)

    return _parse_lines(data, path, entry, "a sentence with the track as third and its number of frames as tenth word")


def _parse_lines(data: bytes, path: str, entry: Callable[[str], tuple[str, int]], expected: str) -> TestSet:
    """Tracks and rows of a list, of which `entry` reads a line: no name ("") where it is none. Empty lines are read over."""
    rows: dict[str, int] = {}
    findings: list[Finding] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n"), 1):
        if not line.strip():
            continue
        name, count = entry(line)
        if name in rows or not files.is_track_name(name):
            wanted = "each name once" if name in rows else expected
            findings.append(Finding(catalogue.NAMES_LINE, path, number, found=printable(line.strip()), expected=wanted))
        else:
            rows[name] = count
    return TestSet(rows, hashlib.sha256(data).hexdigest(), tuple(findings[:MOST_FINDINGS_PER_FILE]))
