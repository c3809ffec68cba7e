"""A submission's bytes by the names of its files, wherever they are: a folder, one file, a zip or tar file read in memory."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from harness import files
from harness.errors import DataError
from harness.findings import Findings
from harness.submission.archive import MOST_FILES, is_archive, read_archive
from harness.submission.record import LARGEST_RECORD, RECORD_NAME, TRACKS_FOLDER, Record, parse_record

# Bytes of all files together that are kept: more than the largest answer known and its tracks' files, 100 MB.
MOST_KEPT = 256 * 1024 * 1024


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
    others: tuple[str, ...] = ()

    def open(self, name: str) -> BinaryIO:
        """The file, opened for reading. Raises OSError."""
        return self.openers[name]()

    def read(self, name: str, limit: int) -> bytes:
        """At most the first `limit` bytes of a file. Raises OSError."""
        with self.open(name) as handle:
            return handle.read(limit)

    def kept(self) -> Source:
        """The same files, each read at most once and then kept in memory: what is read again is what was read before.

        To open one raises OSError where they hold more bytes together than any answer.
        """
        contents: dict[str, bytes] = {}

        def opened(name: str) -> BinaryIO:
            if name not in contents:
                left = MOST_KEPT - sum(map(len, contents.values()))
                data = self.read(name, left + 1)
                if len(data) > left:
                    raise OSError(errno.EFBIG, f"more than the {MOST_KEPT:,} bytes that any answer has")
                contents[name] = data
            return io.BytesIO(contents[name])

        return replace(self, openers={name: partial(opened, name) for name in self.openers})


def open_source(path: str | Path, findings: Findings) -> Source:
    """Lists what is at `path`; faults of the container go to `findings`. Raises DataError if there is nothing to read."""
    path = Path(path)
    refuse_interrupted(path)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise DataError("no such file or folder", path=path)
    if not path.is_file():
        raise DataError("neither a file nor a folder", path=path)
    if is_archive(path):
        return Source(path, "archive", *read_archive(path, findings))
    return Source(path, "file", {path.name: _opener(path)})


def refuse_interrupted(path: Path) -> None:
    """Raises DataError for what a write that was interrupted left under its temporary name, or for a part of it."""
    if any(files.TEMPORARY.match(part) for part in path.resolve().parts):
        raise DataError(
            "not whole: a write that was interrupted left this",
            path=path,
            remedy="write the submission again, which removes this",
        )


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


def record_beside(path: Path) -> Record | None:
    """The record of the submission of which `path` is a file or the folder of tracks; None where there is none.

    Raises DataError if it is damaged.
    """
    whole = enclosing_submission(path)
    place = whole / RECORD_NAME
    if whole == path.resolve() or not place.is_file():
        return None
    record = parse_record(files.read_bytes(place, LARGEST_RECORD), str(place))
    part = path.resolve().relative_to(whole).as_posix()
    return record if any(name == part or name.startswith(f"{part}/") for name in record.files) else None


def enclosing_submission(path: Path) -> Path:
    """The folder of the submission that a file, or the folder of the tracks' files, may be a part of; else the path itself."""
    path = path.resolve()
    if path.is_file() and not is_archive(path):
        path = path.parent
    return path.parent if path.name == TRACKS_FOLDER else path
