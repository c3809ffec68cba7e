"""Reads every image of a data root once: which are damaged, of another size or kind, or the same as the one before.

Results are kept, with the day they were made, beside the scan cache. They hold for the size and modification time of a folder,
which do not change when the bytes of an image do: only reading the images again shows it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.data.cache import kind_of_crops
from harness.data.image_files import ImageHeader, UnreadableImageError, read_header
from harness.data.kept import Kept
from harness.data.listing import Listing
from harness.data.packed import LARGEST_IMAGE_FILE
from harness.errors import DataError

FORMAT = 3
# Reading small files from a network disk is waiting: more threads than cores.
THREADS = 16
# A folder with more faults than this is named with the first of them and the number.
KEPT_FAULTS = 20
# What crops of each kind are called; the other kinds are read under these names too.
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}

MOST_OWNERS = 10
"""An image that is in more tracks than this is a placeholder, as a black one, and tells nothing of where its tracks come from."""

Check = Callable[[bytes], object]
"""Looks closer at the bytes of an image, as by decoding it; raises UnreadableImageError with the reason if they are damaged."""


@dataclass
class FolderAudit:
    """What the images of one folder are like.

    Attributes
    ----------
    images, total_bytes : how many there are, and how large those together that could be read.
    read_on : day (UTC) the images were read.
    decoded : whether they were decoded too.
    sha256 : over the frame numbers and bytes of all images that could be read, in order.
    damaged : file name and reason of images that cannot be read; at most KEPT_FAULTS of them.
    damaged_count : all of them.
    sizes : images by "width x height".
    odd : file name and what is unusual of images that are read but perhaps not as meant; at most KEPT_FAULTS of them.
    odd_count : all of them.
    repeated : images whose bytes are those of the image of the frame before.
    first_repeated : frame number of the first such, 0 if there is none.
    longest_repeat : most frames in a row with the same bytes, 1 if there is none.
    marks : of the images that could be read, each different one once (see ImageMarks).
    """

    images: int
    read_on: str
    decoded: bool
    total_bytes: int = 0
    sha256: str = ""
    damaged: list[tuple[str, str]] = field(default_factory=list)
    damaged_count: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    odd: list[tuple[str, str]] = field(default_factory=list)
    odd_count: int = 0
    repeated: int = 0
    first_repeated: int = 0
    longest_repeat: int = 1
    marks: str = ""


def audit_folder(directory: Path, listing: Listing, check: Check | None = None) -> FolderAudit:
    """Reads each numbered image of a folder."""
    audit = FolderAudit(len(listing.frames), datetime.now(UTC).date().isoformat(), check is not None)
    digest, marks, run = hashlib.sha256(), ImageMarks(), 1
    sizes: Counter[str] = Counter()
    previous, previous_frame = b"", -1
    for frame in listing.frames.tolist():
        name = listing.name_of(frame)
        try:
            data = files.read_bytes(directory / name, LARGEST_IMAGE_FILE)
            header = read_header(data)
            if check is not None:
                check(data)
        except (DataError, UnreadableImageError) as error:
            audit.damaged.append((name, error.problem if isinstance(error, DataError) else str(error)))
            previous_frame = -1
            continue
        audit.total_bytes += len(data)
        marks.add(data)
        digest.update(f"{frame}\0{len(data)}\0".encode("ascii") + data)
        sizes[f"{header.width} x {header.height}"] += 1
        unusual = what_is_odd(header, name)
        if unusual:
            audit.odd.append((name, unusual))
        same = frame == previous_frame + 1 and data == previous
        run = run + 1 if same else 1
        audit.longest_repeat = max(audit.longest_repeat, run)
        audit.repeated += same
        audit.first_repeated = audit.first_repeated or (frame if same else 0)
        previous, previous_frame = data, frame
    audit.damaged_count, audit.odd_count = len(audit.damaged), len(audit.odd)
    del audit.damaged[KEPT_FAULTS:], audit.odd[KEPT_FAULTS:]
    audit.sizes = dict(sorted(sizes.items()))
    audit.sha256, audit.marks = digest.hexdigest(), marks.as_text()
    return audit


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
    pairs = {key: [(name, text) for name, text in value[key]] for key in ("damaged", "odd")}
    return FolderAudit(**{**value, **pairs})


class ImageMarks:
    """Collects a mark of each different image of a folder: the first eight bytes of its SHA-256.

    Two of the 2.7 million images of the release that differ have the same mark with a probability below one in a million.
    """

    def __init__(self) -> None:
        self._marks: set[bytes] = set()

    def add(self, data: bytes) -> None:
        """Marks the bytes of an image."""
        self._marks.add(hashlib.sha256(data).digest()[:8])

    def as_text(self) -> str:
        """All marks as text that JSON can hold."""
        return base64.b64encode(b"".join(sorted(self._marks))).decode("ascii")


def marks_of(text: str) -> NDArray[np.uint64]:
    """The marks in a text that `as_text` made, each once."""
    return np.frombuffer(base64.b64decode(text), np.uint64)


def shared_images(marks: Mapping[str, NDArray[np.uint64]]) -> Counter[tuple[str, str]]:
    """How many different images each two tracks have in common, for those that have any; names in the order of `marks`."""
    names = list(marks)
    values = np.concatenate([np.zeros(0, np.uint64), *marks.values()])
    owners = np.repeat(np.arange(len(names), dtype=np.int32), [len(one) for one in marks.values()])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]) != 0)
    sizes = np.diff(starts, append=len(values))
    several = (sizes > 1) & (sizes <= MOST_OWNERS)
    groups = zip(starts[several].tolist(), sizes[several].tolist(), strict=True)
    pairs = (itertools.combinations(owners[start : start + size].tolist(), 2) for start, size in groups)
    counts = Counter(itertools.chain.from_iterable(pairs))
    return Counter({(names[first], names[second]): count for (first, second), count in counts.items()})
