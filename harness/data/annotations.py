"""Reads one expression label file: a header, then one class number per frame of the video."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, EXPR_7
from harness.data import catalogue
from harness.findings import Finding, printable, raise_first_error

# The longest Aff-Wild2 recording has some 26,000 frames; this allows a thousand times that.
LARGEST_LABEL_FILE = 64 * 1024 * 1024
# A file of another kind would give a finding for each of its lines.
MOST_FINDINGS_PER_FILE = 20


@dataclass(frozen=True, eq=False)
class LabelFile:
    """What a label file says.

    Attributes
    ----------
    labels : (rows,) int8, a class or -1; -1 also where a line could not be read.
    classes : 8, or 7 for the header of the 1st and 2nd edition.
    sha256 : of the file's bytes.
    findings : its faults, in the order of the lines.
    """

    labels: NDArray[np.int8]
    classes: int
    sha256: str
    findings: tuple[Finding, ...]


def read_labels(path: str | Path) -> LabelFile:
    """Reads a label file with all its faults. Raises DataError if its bytes cannot be read."""
    return parse_labels(files.read_bytes(path, LARGEST_LABEL_FILE), str(path))


def load_labels(path: str | Path) -> NDArray[np.int8]:
    """The labels of a file, (rows,) int8. Raises DataError with file and 1-based line at the first fault."""
    label_file = read_labels(path)
    raise_first_error(label_file.findings, f"harness doctor {Path(path).parent}")
    return label_file.labels


def parse_labels(data: bytes, path: str) -> LabelFile:
    """The labels in the bytes of a label file; `path` is named in findings.

    A byte-order mark, CRLF line ends, blanks around a value and empty lines at the end are read over. Everything else
    that is not the official form is a finding.
    """
    sha256 = hashlib.sha256(data).hexdigest()

    def unusable(finding: Finding) -> LabelFile:
        return LabelFile(np.zeros(0, np.int8), len(EXPR.class_names), sha256, (finding,))

    text = data.removeprefix(b"\xef\xbb\xbf")
    if not text.isascii() or b"\0" in text:
        return unusable(Finding(catalogue.LABEL_ENCODING, path, found=ascii(data[:24])))
    header, _, body = text.replace(b"\r\n", b"\n").partition(b"\n")
    names = tuple(name.strip() for name in header.decode("ascii").split(","))
    if names not in (EXPR.columns, EXPR_7.columns):
        found = printable(header.decode("ascii"))
        return unusable(Finding(catalogue.LABEL_HEADER, path, 1, found=found, expected=EXPR.header))
    lines = body.rstrip().split(b"\n") if body.strip() else []
    if not lines:
        return unusable(Finding(catalogue.LABEL_EMPTY, path, 1))
    values = {str(value).encode(): value for value in range(-1, len(names))}
    try:
        labels = np.fromiter(map(values.__getitem__, lines), np.int8, len(lines))
    except KeyError:
        return _parse_slowly(lines, values, path, len(names), sha256)
    return LabelFile(labels, len(names), sha256, ())


def _parse_slowly(lines: list[bytes], values: dict[bytes, int], path: str, classes: int, sha256: str) -> LabelFile:
    labels = np.full(len(lines), EXPR.ignore_label, np.int8)
    findings: list[Finding] = []
    for index, line in enumerate(lines):
        value = values.get(line.strip())
        if value is not None:
            labels[index] = value
        elif len(findings) < MOST_FINDINGS_PER_FILE:
            found = repr(line.decode("ascii")[:40])
            expected = f"-1 or 0 to {classes - 1}"
            findings.append(Finding(catalogue.LABEL_VALUE, path, index + 2, found=found, expected=expected))
    return LabelFile(labels, classes, sha256, tuple(findings))
