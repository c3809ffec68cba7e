"""Reads the expression labels of a multi-task annotation file (3rd, 4th and 7th edition): one file for all tracks of a split."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np

from harness import files
from harness.challenge import EXPR, IMAGE, MTL
from harness.data import catalogue
from harness.data.annotations import LabelFile
from harness.findings import Finding, printable

LARGEST_FILE = 256 * 1024 * 1024
MOST_FINDINGS = 20
# Image, valence, arousal, expression and the action units: the header has five names for them.
_FIELDS = 1 + len(MTL.fields)
_EXPRESSION = 1 + [field.name for field in MTL.fields].index("expression")
_IMAGE = re.compile(r"([^/]+)/([0-9]{5,7})\.jpg")
HEADER = f"{IMAGE},{MTL.header}"


def read_multitask(path: str | Path) -> dict[str, LabelFile]:
    """The expression labels of a multi-task file, by track.

    Rows are sparse: frames without a row are labelled -1, and a track ends with its last row. The faults of the whole file are
    with its first track. Raises DataError if the bytes cannot be read.
    """
    data = files.read_bytes(path, LARGEST_FILE)
    sha256 = hashlib.sha256(data).hexdigest()
    lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").rstrip().replace("\r\n", "\n").split("\n")
    findings: list[Finding] = []
    if lines[0].strip() != HEADER:
        findings.append(Finding(catalogue.LABEL_HEADER, str(path), 1, found=printable(lines[0]), expected=HEADER))
        return {"": LabelFile(np.zeros(0, np.int8), len(EXPR.class_names), sha256, tuple(findings))}
    by_track: dict[str, dict[int, int]] = {}
    for number, line in enumerate(lines[1:], 2):
        entry = _read_row(line)
        if entry is None or entry[1] in by_track.get(entry[0], {}):
            if len(findings) < MOST_FINDINGS:
                expected = (
                    "each image once" if entry else f"<track>/<frame>.jpg and {_FIELDS - 1} numbers, expression -1 or 0 to 7"
                )
                findings.append(Finding(catalogue.LABEL_VALUE, str(path), number, found=printable(line), expected=expected))
            continue
        track, frame, label = entry
        by_track.setdefault(track, {})[frame] = label
    if not by_track and not findings:
        findings.append(Finding(catalogue.LABEL_EMPTY, str(path), 1))
    if not by_track:
        return {"": LabelFile(np.zeros(0, np.int8), len(EXPR.class_names), sha256, tuple(findings))}
    result: dict[str, LabelFile] = {}
    for track, frames in by_track.items():
        labels = np.full(max(frames), EXPR.ignore_label, np.int8)
        labels[np.fromiter(frames, np.int64) - 1] = list(frames.values())
        result[track] = LabelFile(labels, len(EXPR.class_names), sha256, () if result else tuple(findings))
    return result


def _read_row(line: str) -> tuple[str, int, int] | None:
    """(track, 1-based frame, label) of a row, None if it is not of the official form."""
    fields = [field.strip() for field in line.split(",")]
    match = _IMAGE.fullmatch(fields[0])
    if match is None or len(fields) != _FIELDS or not files.is_track_name(match[1]) or int(match[2]) == 0:
        return None
    label = fields[_EXPRESSION]
    if label not in _LABELS:
        return None
    return match[1], int(match[2]), _LABELS[label]


_LABELS = {str(label): label for label in range(-1, len(EXPR.class_names))}
