"""Batches of decoded images: a worker takes a whole batch, reads, hashes and decodes it, and hands over one uint8 tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.data.crops import image_bytes
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.decode import UnreadableImageError, decode
from harness.images.workers import Crew, LostWorkersError, note_reading

WORKER_TIMEOUT = 600
"""Seconds after which a worker that hands over nothing (a hanging network disk) is given up."""

MOST_NAMED = 10


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

    def pin_memory(self) -> ImageBatch:
        """The same with the images in memory that a GPU fetches by itself; the loader asks for it."""
        return replace(self, images=self.images.pin_memory())


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


def describe_unreadable(faults: Sequence[str], consequence: str) -> list[str]:
    """Lines that say how many images could not be read, what was done instead, and which they are; none for no such image."""
    if not faults:
        return []
    lines = [f"warning: {len(faults)} image{'s' * (len(faults) > 1)} could not be read"]
    lines += [f"could not be read, {consequence}: {fault}" for fault in faults[:MOST_NAMED]]
    return lines + [f"... and {len(faults) - MOST_NAMED} more"] * (len(faults) > MOST_NAMED)


def loader(
    make: Callable[[int], Any],
    numbers: Sequence[int],
    workers: int,
    pin_memory: bool,
    describe: Callable[[int], str],
    say: Callable[[str], None],
) -> Iterator[Any]:
    """The batches `make(number)` for each of `numbers`, in order, made ahead by `workers` processes (0: made here).

    A worker that dies or hangs is reported with the file it was reading, or what it was to read (`describe(number)`), and the
    work goes on with half as many from the first batch that is missing; without any where the system has no room for them.
    Batches are functions of their number, so nothing changes but the time. Raises DataError when the last worker hangs.
    """
    position = 0
    while True:
        try:
            for batch in Crew(workers, WORKER_TIMEOUT).batches(make, numbers[position:], pin_memory):
                yield batch
                position += 1
            return
        except LostWorkersError as lost:
            place = ", ".join(lost.reading) or describe(numbers[position])
            if lost.hanging and workers == 1:
                raise DataError(f"reading images hangs: {lost}", path=place, remedy="look at the disk that holds it") from lost
            workers = lost.remaining
            doing = "while it read" if lost.reading else "near"
            what = f"a worker was lost {doing} {place} ({lost})" if lost.started else str(lost)
            say(f"{what}; going on with {workers or 'no'} workers")
