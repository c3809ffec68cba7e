"""Reads every image of a data root once: which are damaged, of another size or kind, or the same as the one before.

Results are kept, with the day they were made, beside the scan cache. They hold for the size and modification time of a folder,
which do not change when the bytes of an image do: only reading the images again shows it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import files
from harness.data.cache import SETTLED_NS, kind_of_crops
from harness.data.disk import stat_of
from harness.data.image_files import ImageHeader, UnreadableImageError, read_header
from harness.data.listing import Listing
from harness.data.packed import LARGEST_IMAGE_FILE
from harness.data.places import folder_for
from harness.data.shared_images import ImageMarks
from harness.errors import DataError, HarnessError

FORMAT = 2
# Reading small files from a network disk is waiting: more threads than cores.
THREADS = 16
# A folder with more faults than this is named with the first of them and the number.
KEPT_FAULTS = 20
# What crops of each kind are called; the other kinds are read under these names too.
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}

Check = Callable[[bytes], object]
"""Looks closer at the bytes of an image, as by decoding it; raises UnreadableImageError with the reason if they are damaged."""


@dataclass(frozen=True)
class FolderAudit:
    """What the images of one folder are like.

    Attributes
    ----------
    images, total_bytes : how many were read, and how large they are together.
    sha256 : over the frame numbers and bytes of all images, in order.
    damaged : file name and reason of images that cannot be read; at most KEPT_FAULTS of them.
    damaged_count : all of them.
    sizes : images by "width x height".
    odd : file name and what is unusual of images that are read but perhaps not as meant; at most KEPT_FAULTS of them.
    odd_count : all of them.
    repeated : images whose bytes are those of the image of the frame before.
    first_repeated : frame number of the first such, 0 if there is none.
    longest_repeat : most frames in a row with the same bytes, 1 if there is none.
    read_on : day (UTC) the images were read.
    decoded : whether they were decoded too.
    marks : of the images that could be read, each different one once (see shared_images).
    """

    images: int
    total_bytes: int
    sha256: str
    damaged: tuple[tuple[str, str], ...]
    damaged_count: int
    sizes: Mapping[str, int]
    odd: tuple[tuple[str, str], ...]
    odd_count: int
    repeated: int
    first_repeated: int
    longest_repeat: int
    read_on: str
    decoded: bool
    marks: str


def audit_folder(directory: Path, listing: Listing, check: Check | None = None) -> FolderAudit:
    """Reads each numbered image of a folder."""
    digest = hashlib.sha256()
    marks = ImageMarks()
    damaged: list[tuple[str, str]] = []
    odd: list[tuple[str, str]] = []
    sizes: Counter[str] = Counter()
    total_bytes = repeated = first_repeated = 0
    run = longest = 1
    previous, previous_frame = b"", -1
    for frame in listing.frames.tolist():
        name = listing.name_of(frame)
        try:
            data = files.read_bytes(directory / name, LARGEST_IMAGE_FILE)
            header = read_header(data)
            if check is not None:
                check(data)
        except (DataError, UnreadableImageError) as error:
            damaged.append((name, error.problem if isinstance(error, DataError) else str(error)))
            previous_frame = -1
            continue
        total_bytes += len(data)
        marks.add(data)
        digest.update(f"{frame}\0{len(data)}\0".encode("ascii") + data)
        sizes[f"{header.width} x {header.height}"] += 1
        unusual = what_is_odd(header, name)
        if unusual:
            odd.append((name, unusual))
        same = frame == previous_frame + 1 and data == previous
        run = run + 1 if same else 1
        longest = max(longest, run)
        repeated += same
        first_repeated = first_repeated or (frame if same else 0)
        previous, previous_frame = data, frame
    return FolderAudit(
        images=len(listing.frames),
        total_bytes=total_bytes,
        sha256=digest.hexdigest(),
        damaged=tuple(damaged[:KEPT_FAULTS]),
        damaged_count=len(damaged),
        sizes=dict(sorted(sizes.items())),
        odd=tuple(odd[:KEPT_FAULTS]),
        odd_count=len(odd),
        repeated=repeated,
        first_repeated=first_repeated,
        longest_repeat=longest,
        read_on=datetime.now(UTC).date().isoformat(),
        decoded=check is not None,
        marks=marks.as_text(),
    )


def what_is_odd(header: ImageHeader, name: str) -> str:
    """What is unusual about an image that can be read; "" if nothing is."""
    if not name.lower().endswith(SUFFIXES.get(header.kind, ())):
        return f"a {header.kind} file by its bytes"
    if header.animated:
        return "animated; the first picture is taken"
    if header.kind == "JPEG" and header.channels == 4:
        return "four colour channels (CMYK)"
    if header.channels in (2, 4):
        return "transparent"
    if header.bits != 8:
        return f"{header.bits} bits per channel"
    return "" if header.orientation == 1 else f"turned or mirrored by its EXIF orientation {header.orientation}"


class ImageAudits:
    """The audits of the folders of one data root and kind of crops, kept between calls."""

    def __init__(self, root: Path, crops: str) -> None:
        self.root = root
        self.path = folder_for(root) / f"images-{kind_of_crops(crops)}.json"
        self.kept: dict[str, Any] = _load(self.path)
        self.used: dict[str, Any] = {}

    def audit(
        self, folders: Mapping[str, tuple[Path, Listing]], check: Check | None, verify: bool
    ) -> Iterator[tuple[str, FolderAudit]]:
        """The audit of each folder, as kept or made now; with `verify`, all are made now. Yields names as they are done."""
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = {}
            for name, (directory, listing) in folders.items():
                kept = None if verify else self._kept(directory, check is not None)
                if kept is not None:
                    yield name, kept
                else:
                    jobs[name] = pool.submit(self._make, directory, listing, check)
            try:
                for name, job in jobs.items():
                    yield name, job.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def save(self) -> None:
        """Keeps the audits of this call. A place that cannot be written to is no fault."""
        text = json.dumps({"format": FORMAT, "folders": {**self.kept, **self.used}}, sort_keys=True)
        with contextlib.suppress(HarnessError):
            files.write_text(self.path, text)

    def _key(self, directory: Path) -> str:
        return str(directory.relative_to(self.root)) if directory.is_relative_to(self.root) else str(directory)

    def _kept(self, directory: Path, decoded: bool) -> FolderAudit | None:
        entry = self.kept.get(self._key(directory))
        status = stat_of(directory)
        if entry is None or entry["stamp"] != [status.st_size, status.st_mtime_ns]:
            return None
        audit = entry["audit"]
        pairs = {key: tuple((name, text) for name, text in audit[key]) for key in ("damaged", "odd")}
        return FolderAudit(**{**audit, **pairs}) if audit["decoded"] or not decoded else None

    def _make(self, directory: Path, listing: Listing, check: Check | None) -> FolderAudit:
        status = stat_of(directory)
        started = time.time_ns()
        audit = audit_folder(directory, listing, check)
        if started - status.st_mtime_ns >= SETTLED_NS:
            self.used[self._key(directory)] = {"stamp": [status.st_size, status.st_mtime_ns], "audit": asdict(audit)}
        return audit


def _load(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(files.read_bytes(path, 256 * 1024 * 1024))
        return dict(stored["folders"]) if stored["format"] == FORMAT else {}
    except (HarnessError, ValueError, KeyError, TypeError):
        return {}
