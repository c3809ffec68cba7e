"""Keeps what was read of folders and official files, for as long as they do not change.

An entry holds for one inode, size, modification time and time of change of its folder or file. A folder's modification time
changes when a name appears in it, goes, or is replaced, so new and lost images, tracks and label files are seen. What was younger
than two seconds when it was read is not kept: it may have changed again within the resolution of the clock of its disk. Nor is a
folder with links in it, whose targets come and go without a trace in it; what the links lead to is kept like anything else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge
from harness.data.annotations import LabelFile, forms_of, table_of
from harness.data.disk import Disk, Visit, stat_of, version_of
from harness.data.layout import CROPS
from harness.data.listing import Listing, read_folder
from harness.data.official import TestSet
from harness.data.places import folder_for
from harness.errors import HarnessError

T = TypeVar("T")

FORMAT = 3
LARGEST_CACHE = 1024 * 1024 * 1024
SETTLED_NS = 2_000_000_000


def kind_of_crops(crops: str | None) -> str:
    """The crops that were asked for as a part of a file name."""
    return crops if crops in CROPS else "none" if crops is None else hashlib.sha256(os.fsencode(crops)).hexdigest()[:16]


class CachedDisk(Disk):
    """A Disk that reads again only what changed since the last scan of the same root and crops for the same challenge."""

    def __init__(self, root: Path, crops: str | None, challenge: Challenge = EXPR) -> None:
        super().__init__(challenge)
        self.root = root
        self.path = folder_for(root) / f"scan-{challenge.name}-{kind_of_crops(crops)}.json"
        self.kept = _load(self.path)
        self.used: dict[str, Any] = {}

    def save(self) -> None:
        """Stores the entries this scan used. A place that cannot be written to is no fault: the next scan reads again."""
        if self.used == self.kept:
            return
        # Escaped, because names of files may hold bytes that are no text.
        text = json.dumps({"format": FORMAT, "entries": self.used}, sort_keys=True)
        with contextlib.suppress(HarnessError):
            files.write_text(self.path, hashlib.sha256(text.encode("ascii")).hexdigest() + "\n" + text)

    def visit(self, directory: Path) -> Visit:
        """The names in a folder, as kept or read."""
        status = stat_of(directory)
        listing = self._kept_or_read(directory, "folder", status, read_folder, _encode_listing, _decode_listing)
        return Visit((status.st_dev, status.st_ino), listing)

    def labels(self, path: Path) -> LabelFile:
        """A label file, as kept or read."""
        return self._kept_or_read(path, "labels", stat_of(path), super().labels, _encode_labels, self._decode_labels)

    def sample(self, path: Path) -> TestSet:
        """A sample or example file, as kept or read."""
        return self._kept_or_read(path, "sample", stat_of(path), super().sample, _encode_test_set, _decode_test_set)

    def _decode_labels(self, entry: dict[str, Any]) -> LabelFile:
        forms = {len(form.class_names): form for form in forms_of(self.challenge)}
        rows = [tuple(row) for row in entry["rows"]]
        labels = np.repeat(table_of(rows, self.challenge), _numbers(entry["lengths"]), axis=0)
        return LabelFile(labels, forms[entry["classes"]], entry["sha256"], ())

    def _kept_or_read(
        self,
        path: Path,
        kind: str,
        status: os.stat_result,
        read: Callable[[Path], T],
        encode: Callable[[T], Any],
        decode: Callable[[Any], T],
    ) -> T:
        key = str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
        stamp = [kind, *version_of(status)]
        entry = self.kept.get(key)
        if entry is not None and entry[0] == stamp:
            self.used[key] = entry
            return decode(entry[1])
        started = time.time_ns()
        value = read(path)
        encoded = encode(value)
        if encoded is not None and started - status.st_mtime_ns >= SETTLED_NS:
            self.used[key] = [stamp, encoded]
        return value


def _load(path: Path) -> dict[str, Any]:
    """The entries of a stored scan; none if there is no whole one of this format."""
    try:
        digest, _, text = files.read_bytes(path, LARGEST_CACHE).partition(b"\n")
    except HarnessError:
        return {}
    if hashlib.sha256(text).hexdigest().encode("ascii") != digest:
        return {}
    stored = json.loads(text)
    return dict(stored["entries"]) if stored["format"] == FORMAT else {}


# What has faults or links is not kept (None): faults are rare, and their findings name lines that are best read again.


def _encode_listing(listing: Listing) -> dict[str, Any] | None:
    if listing.linked:
        return None
    starts = np.flatnonzero(np.diff(listing.frames, prepend=-2) != 1)
    ends = np.append(starts[1:], len(listing.frames)) - 1
    return {
        "frames": _numbers_text(np.stack([listing.frames[starts], listing.frames[ends]], axis=1).ravel()) if len(starts) else "",
        "suffix": listing.suffix,
        "odd_names": {str(frame): name for frame, name in listing.odd_names.items()},
        "repeated": listing.repeated,
        "pictures": listing.pictures,
        "others": listing.others,
        "folders": listing.folders,
    }


def _decode_listing(entry: dict[str, Any]) -> Listing:
    runs = _numbers(entry["frames"]).reshape(-1, 2)
    return Listing(
        frames=_ranges(runs[:, 0], runs[:, 1] - runs[:, 0] + 1),
        suffix=entry["suffix"],
        odd_names={int(frame): name for frame, name in entry["odd_names"].items()},
        repeated=tuple(entry["repeated"]),
        pictures=tuple(entry["pictures"]),
        others=tuple(entry["others"]),
        folders=tuple(entry["folders"]),
    )


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    """start, start + 1, ... for each start, one after the other."""
    offsets = np.cumsum(lengths) - lengths
    numbers: NDArray[np.int64] = np.arange(lengths.sum()) + np.repeat(starts - offsets, lengths)
    return numbers.astype(np.int32)


def _encode_labels(label_file: LabelFile) -> dict[str, Any] | None:
    if label_file.findings:
        return None
    rows = label_file.labels.reshape(len(label_file.labels), -1)
    starts = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1)))
    return {
        "rows": rows[starts].tolist(),
        "lengths": _numbers_text(np.diff(np.append(starts, len(rows)))),
        "classes": len(label_file.challenge.class_names),
        "sha256": label_file.sha256,
    }


def _encode_test_set(test_set: TestSet) -> dict[str, Any] | None:
    # A list, because the order of the tracks is the official one and stored keys are sorted.
    if test_set.findings:
        return None
    asked = {name: _numbers_text(frames) for name, frames in test_set.asked.items()}
    return {"rows": list(test_set.rows.items()), "asked": asked, "sha256": test_set.sha256}


def _decode_test_set(entry: dict[str, Any]) -> TestSet:
    asked = {name: _numbers(frames).astype(np.int32) for name, frames in entry["asked"].items()}
    return TestSet(dict(entry["rows"]), entry["sha256"], (), asked)


def _numbers_text(numbers: NDArray[Any]) -> str:
    return " ".join(map(str, numbers.tolist()))


def _numbers(text: str) -> NDArray[np.int64]:
    return np.array(text.split(), np.int64)
