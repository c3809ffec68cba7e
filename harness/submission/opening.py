"""Opens what lies at a path as the source of a submission's files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from harness.errors import DataError
from harness.findings import Findings
from harness.submission.archive import open_archive
from harness.submission.record import TRACKS_FOLDER
from harness.submission.source import MOST_FILES, Source, is_archive


def open_source(path: str | Path, findings: Findings) -> Source:
    """Lists what is at `path`; faults of the container go to `findings`. Raises DataError if there is nothing to read."""
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise DataError("no such file or folder", path=path)
    if not path.is_file():
        raise DataError("neither a file nor a folder", path=path)
    if is_archive(path):
        return open_archive(path, findings)
    return Source(path, "file", {path.name: _opener(path)})


def _folder(path: Path) -> Source:
    """The files of a folder and of its folder `tracks`; other folders are named, not entered."""
    openers: dict[str, Callable[[], BinaryIO]] = {}
    others: list[str] = []
    for prefix in ("", f"{TRACKS_FOLDER}/"):
        place = path / prefix
        if prefix and not place.is_dir():
            continue
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"cannot read: {error.strerror}", path=place) from error
        for entry in entries:
            name = prefix + entry.name
            if entry.is_file():
                openers[name] = _opener(place / entry.name)
            elif name != TRACKS_FOLDER:
                others.append(name)
    if len(openers) > MOST_FILES:
        raise DataError(
            "more files than any submission has", path=path, found=f"{len(openers):,}", expected=f"at most {MOST_FILES:,}"
        )
    return Source(path, "folder", openers, tuple(others))


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: open(path, "rb")
