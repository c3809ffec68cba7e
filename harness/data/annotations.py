"""Reads one label file: a header, then for each frame of the video a line with the numbers the header asks for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge, Field, formats_of
from harness.data import catalogue
from harness.data.sample import MOST_FRAMES
from harness.errors import DataError
from harness.findings import Finding, printable, raise_first_error

# The longest Aff-Wild2 recording has some 26,000 frames; this allows a thousand times that.
LARGEST_LABEL_FILE = 64 * 1024 * 1024
# A file of another kind would give a finding for each of its lines.
MOST_FINDINGS_PER_FILE = 20
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_BLANKS = " \t\r\v\f"


@cache
def forms_of(challenge: Challenge) -> tuple[Challenge, ...]:
    """What label files of a challenge can be of: itself, or an earlier form of it with as many numbers in a row.

    Files of expressions have eight classes, or the seven of the 1st and 2nd edition.
    """
    forms = (form.challenge for form in formats_of(challenge))
    return tuple(dict.fromkeys((challenge, *(form for form in forms if len(form.fields) == len(challenge.fields)))))


EXPRESSIONS = forms_of(EXPR)


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a label file says.

    Attributes
    ----------
    labels : (rows,), or (rows, fields) where the challenge has several; int8 where all are whole numbers, else float64. A field's
        `ignore` stands where nobody labelled the frame, and where a line could not be read.
    challenge : what the header is of.
    sha256 : of the file's bytes.
    findings : its faults, in the order of the lines.
    asked : (R,) int32, the frames of its lines, in their order, where it has none for each of the frames 1, 2, 3, ....
    """

    labels: NDArray
    challenge: Challenge
    sha256: str
    findings: tuple[Finding, ...]
    asked: NDArray[np.int32] | None = None


def read_labels(path: str | Path, challenges: Sequence[Challenge] = EXPRESSIONS) -> LabelFile:
    """Reads a label file with all its faults; see `parse_labels`. Raises DataError if its bytes cannot be read."""
    data = files.read_bytes(path, LARGEST_LABEL_FILE)
    if data.count(b"\n") > MOST_FRAMES:
        raise DataError(f"more lines than any recording has frames: more than {MOST_FRAMES:,}", path=path)
    return parse_labels(data, str(path), challenges)


def load_labels(path: str | Path, challenges: Sequence[Challenge] = EXPRESSIONS) -> NDArray:
    """The labels of a file. Raises DataError with file and 1-based line at the first fault."""
    label_file = read_labels(path, challenges)
    raise_first_error(label_file.findings, f"harness doctor {Path(path).parent}")
    return label_file.labels


def parse_labels(data: bytes, path: str, challenges: Sequence[Challenge] = EXPRESSIONS) -> LabelFile:
    """The labels in the bytes of a label file; `path` is named in findings.

    The header says which of `challenges` it is of. A byte-order mark, CRLF line ends, blanks around a value and empty lines at
    the end are read over. Everything else that is not the official form is a finding.
    """
    sha256 = hashlib.sha256(data).hexdigest()

    def unusable(finding: Finding) -> LabelFile:
        return LabelFile(table_of([], challenges[0]), challenges[0], sha256, (finding,))

    text = data.removeprefix(b"\xef\xbb\xbf")
    if not text.isascii() or b"\0" in text:
        return unusable(Finding(catalogue.LABEL_ENCODING, path, found=ascii(data[:24])))
    header, _, body = text.replace(b"\r\n", b"\n").partition(b"\n")
    names = tuple(name.strip() for name in header.decode("ascii").split(","))
    challenge = next((known for known in challenges if known.columns == names), None)
    if challenge is None:
        found = printable(header.decode("ascii"))
        return unusable(Finding(catalogue.LABEL_HEADER, path, 1, found=found, expected=challenges[0].header))
    lines = body.rstrip().decode("ascii").split("\n") if body.strip() else []
    if not lines:
        return unusable(Finding(catalogue.LABEL_EMPTY, path, 1))
    known = KnownRows(challenge)
    index = known.look_up(lines)
    findings = [
        Finding(catalogue.LABEL_VALUE, path, int(row) + 2, found=repr(lines[row][:40]), expected=expected_row(challenge))
        for row in known.faulty(index)[:MOST_FINDINGS_PER_FILE]
    ]
    return LabelFile(known.labels(index), challenge, sha256, tuple(findings))


class _KnownNumbers(dict[str, float | None]):
    """The numbers of a field by their text, each read once; None for a text that is not one of them."""

    def __init__(self, field: Field) -> None:
        self.field = field

    def __missing__(self, text: str) -> float | None:
        number = self[text] = self._read(text.strip(_BLANKS))
        return number

    def _read(self, text: str) -> float | None:
        field = self.field
        if field.integral:
            return next((value for value in (field.ignore, *range(field.low, field.high + 1)) if text == str(value)), None)
        if not _DECIMAL.fullmatch(text):
            return None
        value = float(text)
        return value if field.low <= value <= field.high or value == field.ignore else None


class KnownRows(dict[str, int]):
    """The rows a label file holds, each kept once: frames that follow one another often have the same labels.

    A row's text leads to its number among them.
    """

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self._numbers = [_KnownNumbers(field) for field in challenge.fields]
        self._ignored = tuple(field.ignore for field in challenge.fields)
        self._codes = frozenset(self._ignored)
        self._together = [(place, self._ignored[place]) for place in challenge.together]
        self._rows: list[tuple[float, ...]] = []
        self._faulty: list[int] = []

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self._rows)
        row = self._read(text)
        if row is None:
            self._faulty.append(number)
        self._rows.append(self._ignored if row is None else row)
        return number

    def look_up(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The numbers (N,) of rows."""
        return np.fromiter(map(self.__getitem__, texts), np.int64, len(texts))

    def faulty(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the rows with the numbers `index` (N,) are not of the official form."""
        return np.flatnonzero(np.isin(index, self._faulty)) if self._faulty else np.empty(0, np.int64)

    def labels(self, index: NDArray[np.int64]) -> NDArray:
        """The labels of the rows with the numbers `index` (N,), as LabelFile has them."""
        return table_of(self._rows, self.challenge)[index]

    def _read(self, text: str) -> tuple[float, ...] | None:
        """The labels of a row, those that are missing together all ignored; None if it is not of the official form."""
        texts = text.split(",")
        if len(texts) != len(self._numbers):
            return None
        values = [numbers[one] for numbers, one in zip(self._numbers, texts, strict=True)]
        read = [value for value in values if value is not None]
        if len(read) < len(values):
            return None
        if not self._codes.isdisjoint(read):
            for place, ignored in self._together:
                if any(value == ignore for value, ignore in zip(read[place], ignored, strict=True)):
                    read[place] = ignored
        return tuple(read)


def table_of(rows: Sequence[tuple[float, ...]], challenge: Challenge) -> NDArray:
    """Rows of labels as an array, (N,) for a challenge of one field, else (N, fields)."""
    table = np.array(rows, np.int8 if challenge.integral else np.float64).reshape(len(rows), len(challenge.fields))
    return table[:, 0] if len(challenge.fields) == 1 else table


def expected_row(challenge: Challenge) -> str:
    """The official form of a row in words."""
    parts = []
    for together in challenge.together:
        field, count = challenge.fields[together][0], len(challenge.fields[together])
        allowed = f"{field.ignore} or {field.low} to {field.high}"
        parts.append(allowed if len(challenge.fields) == 1 else f"{count} x {allowed}")
    return ", ".join(parts)
