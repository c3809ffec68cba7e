"""Batches of decoded images: a worker takes a whole batch, reads, hashes and decodes it, and hands over one uint8 tensor."""

from __future__ import annotations

import contextlib
import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.data.crops import image_bytes
from harness.data.image_files import UnreadableImageError, read_header
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.decode import decode
from harness.images.workers import note_reading

MOST_NAMED = 10
SIZED_IMAGES = 50
"""About so many images tell how large the crops are."""


@dataclass(frozen=True)
class ImageRequest:
    """One image to read: which track, which 1-based frame."""

    track: Track
    frame: int


@dataclass
class ImageBatch:
    """Decoded images.

    Attributes
    ----------
    images : uint8 (B, 3, size, size), channels last in memory; what could not be read is black.
    readable : bool (B,).
    digests : uint8 (B, 32), the sha256 of each file's bytes; zeros where it could not be read. Empty unless asked for.
    faults : (position in the batch, reason) for each image that could not be read; the reason begins with its path.
    """

    images: Tensor
    readable: Tensor
    digests: Tensor
    faults: list[tuple[int, str]]


def read_batch(requests: Sequence[ImageRequest], size: int, with_digests: bool = False) -> ImageBatch:
    """Reads and decodes the requested images to `size` x `size`."""
    pixels = np.zeros((len(requests), size, size, 3), dtype=np.uint8)
    readable = np.ones(len(requests), dtype=bool)
    digests = np.zeros((len(requests) if with_digests else 0, 32), dtype=np.uint8)
    faults = []
    for position, request in enumerate(requests):
        note_reading(f"{request.track.image_path(request.frame)}")
        try:
            data = image_bytes(request.track, request.frame)
            if with_digests:
                digests[position] = np.frombuffer(hashlib.sha256(data).digest(), dtype=np.uint8)
            pixels[position] = decode(data, size)
        except (UnreadableImageError, DataError) as error:
            readable[position] = False
            place = "" if isinstance(error, DataError) else f"{request.track.image_path(request.frame)}: "
            faults.append((position, f"{place}{error}"))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return ImageBatch(images, torch.from_numpy(readable), torch.from_numpy(digests), faults)


def usual_side(tracks: Sequence[Track]) -> int:
    """The side in pixels of usual images of these tracks: the median of the longer sides of some, 0 where there are none."""
    seen = [track for track in tracks if len(track.frames)]
    sides = []
    for track in seen[:: max(1, len(seen) // SIZED_IMAGES)]:
        with contextlib.suppress(UnreadableImageError, DataError):
            header = read_header(image_bytes(track, int(track.frames[len(track.frames) // 2])))
            sides.append(max(header.width, header.height))
    return int(statistics.median_low(sides)) if sides else 0


def describe_unreadable(faults: Sequence[str], consequence: str) -> list[str]:
    """Lines that say how many images could not be read, what was done instead, and which they are; none for no such image."""
    if not faults:
        return []
    lines = [f"warning: {len(faults)} image{'s' * (len(faults) > 1)} could not be read"]
    lines += [f"could not be read, {consequence}: {fault}" for fault in faults[:MOST_NAMED]]
    return lines + [f"... and {len(faults) - MOST_NAMED} more"] * (len(faults) > MOST_NAMED)
