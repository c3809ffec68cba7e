"""The whole submission that a file or folder is a part of, and its record."""

from __future__ import annotations

from pathlib import Path

from harness import files
from harness.submission.checks import Verdict
from harness.submission.record import LARGEST_RECORD, RECORD_NAME, TRACKS_FOLDER, Record, parse_record
from harness.submission.source import is_archive

# How the names of runs on the embedded data set begin.
DEMO = "demo-"


def record_of(verdict: Verdict) -> Record | None:
    """The record in the submission; of a file or folder of a submission that of the whole; None where there is none.

    Raises DataError if it is damaged.
    """
    if verdict.record is not None:
        return verdict.record
    whole = whole_of(verdict.path)
    place = whole / RECORD_NAME
    if whole == verdict.path.resolve() or not place.is_file():
        return None
    record = parse_record(files.read_bytes(place, LARGEST_RECORD), str(place))
    part = verdict.path.resolve().relative_to(whole).as_posix()
    return record if any(name == part or name.startswith(f"{part}/") for name in record.files) else None


def whole_of(path: Path) -> Path:
    """The folder of the submission that a file, or the folder of the tracks' files, may be a part of; else the path itself."""
    path = path.resolve()
    if path.is_file() and not is_archive(path):
        path = path.parent
    return path.parent if path.name == TRACKS_FOLDER else path
