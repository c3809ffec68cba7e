"""A submission's bytes by the names of its files, wherever they are: a folder, one file, a zip or tar file read in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

# Far more than the 600 tracks of the whole data set.
MOST_FILES = 20_000
_JUNK = ("thumbs.db", "desktop.ini", "__macosx")
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


def is_junk(name: str) -> bool:
    """Whether an operating system leaves files of this name behind."""
    parts = PurePosixPath(name).parts
    return "\\" not in name and ".." not in parts and any(part.startswith(".") or part.lower() in _JUNK for part in parts)
