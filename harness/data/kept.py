"""Keeps what was found out of files and folders, for as long as their inode, size and times stay the same.

What a scan reads of names and texts is kept in harness.data.cache; here is what takes long: reading images, decoding videos. The
modification time of a folder does not change when the bytes of a file in it do.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness import files
from harness.data.cache import SETTLED_NS
from harness.data.disk import stat_of, version_of
from harness.data.places import folder_for
from harness.errors import HarnessError

T = TypeVar("T")

LARGEST_FILE = 256 * 1024 * 1024


class Kept(Generic[T]):
    """What was found out about places (files or folders) of a data root.

    Parameters
    ----------
    root : the data root, whose cache folder holds the file `name`.
    version : of what is kept; entries of another are forgotten.
    restore : a value again, from its place and the plain values of its fields.
    """

    def __init__(self, root: Path, name: str, version: int, restore: Callable[[Path, dict[str, Any]], T]) -> None:
        self._root, self._path = root, folder_for(root) / name
        self._version, self._restore = version, restore
        self._entries = self._load()

    def _load(self) -> dict[str, Any]:
        try:
            stored = json.loads(files.read_bytes(self._path, LARGEST_FILE))
            return dict(stored["entries"]) if stored["version"] == self._version else {}
        except (HarnessError, ValueError, KeyError, TypeError):
            return {}

    def get(self, place: Path) -> T | None:
        """What is kept of a place; None for nothing, and if it has changed since."""
        entry = self._entries.get(self._key(place))
        return None if entry is None or entry["stamp"] != _stamp(place) else self._restore(place, entry["value"])

    def find(self, place: Path, look: Callable[[], T]) -> T:
        """What `look` finds, a dataclass; kept unless the place is so young that it may change again without a trace."""
        stamp, started = _stamp(place), time.time_ns()
        value: Any = look()
        if started - stamp[1] >= SETTLED_NS:
            self._entries[self._key(place)] = {"stamp": stamp, "value": asdict(value)}
        return value  # type: ignore[no-any-return]

    def save(self) -> None:
        """Stores all that is kept. A place that cannot be written to is no fault."""
        text = json.dumps({"version": self._version, "entries": self._entries}, sort_keys=True, default=str)
        with contextlib.suppress(HarnessError):
            files.write_text(self._path, text)

    def _key(self, place: Path) -> str:
        return os.path.relpath(place, self._root)


def _stamp(place: Path) -> list[int]:
    return version_of(stat_of(place))
