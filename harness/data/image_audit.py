"""Reads every image of a data root once: which are damaged, of another size or kind, or the same as the one before.

Results are kept, with the day they were made, beside the scan cache. They hold for the size and modification time of a folder,
which do not change when the bytes of an image do: only reading the images again shows it.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import files
from harness.data.cache import kind_of_crops
from harness.data.image_files import ImageHeader, UnreadableImageError, read_header
from harness.data.kept import Kept
from harness.data.listing import Listing
from harness.data.packed import LARGEST_IMAGE_FILE
from harness.data.shared_images import ImageMarks
from harness.errors import DataError

FORMAT = 3
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


def audit_folders(
    root: Path, crops: str, folders: Mapping[str, tuple[Path, Listing]], check: Check | None, verify: bool
) -> Iterator[tuple[str, FolderAudit]]:
    """The audit of each folder of crops of a data root by its name, as kept or made now; with `verify`, all are made now."""
    kept = Kept(root, f"images-{kind_of_crops(crops)}.json", FORMAT, _restore)
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = {}
        for name, (directory, listing) in folders.items():
            known = None if verify else kept.get(directory)
            if known is not None and (known.decoded or check is None):
                yield name, known
            else:
                jobs[name] = pool.submit(kept.find, directory, functools.partial(audit_folder, directory, listing, check))
        try:
            for name, job in jobs.items():
                yield name, job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            kept.save()


def _restore(directory: Path, value: dict[str, Any]) -> FolderAudit:
    pairs = {key: tuple((name, text) for name, text in value[key]) for key in ("damaged", "odd")}
    return FolderAudit(**{**value, **pairs})
