"""Where a submission's bytes are: a folder, one file, or (harness.submission.archive) a zip or tar file read in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from harness.errors import DataError
from harness.findings import Findings
from harness.submission.record import TRACKS_FOLDER

# Far more than the 600 tracks of the whole data set.
MOST_FILES = 20_000
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True, eq=False)
class Source:
    """Files by their path within a submission, each opened when it is read.

    Attributes
    ----------
    path : of the folder, file or archive.
    kind : "folder", "file" or "archive".
    openers : a function for each file, by relative path with slashes.
    others : entries that are not files of a submission: folders, links to folders, devices.
    """

    path: Path
    kind: str
    openers: Mapping[str, Callable[[], BinaryIO]]
    others: tuple[str, ...] = field(default=())

    def open(self, name: str) -> BinaryIO:
        """The file, opened for reading. Raises OSError."""
        return self.openers[name]()

    def read(self, name: str, limit: int) -> bytes:
        """At most the first `limit` bytes of a file. Raises OSError."""
        with self.open(name) as handle:
            return handle.read(limit)


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of a zip or tar file."""
    return path.name.lower().endswith(_ARCHIVES)


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
        from harness.submission.archive import open_archive

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
