"""Batches of decoded images: a worker takes a whole batch, reads, hashes and decodes it, and hands over one uint8 tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from harness.data.crops import image_bytes
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.decode import UnreadableImageError, decode

WORKER_TIMEOUT = 600
"""Seconds after which a worker that hands over nothing (a hanging network disk) is given up."""


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


class BatchDataset(Dataset[Any]):
    """Batches by number: `make(number)` runs in a worker."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> Any:
        return self.make(number)


def loader(
    make: Callable[[int], Any],
    numbers: Sequence[int],
    workers: int,
    pin_memory: bool,
    describe: Callable[[int], str],
    say: Callable[[str], None],
) -> Iterator[Any]:
    """The batches `make(number)` for each of `numbers`, in order, made ahead by `workers` processes (0: made here).

    A worker that dies or hangs is reported with what it was to read (`describe(number)`), and the work goes on with half as many
    from the first batch that is missing; batches are functions of their number, so nothing changes but the time. Raises DataError
    when the last worker hangs.
    """
    position = 0
    while True:
        try:
            for batch in _plain_loader(make, numbers[position:], workers, pin_memory):
                yield batch
                position += 1
            return
        except (RuntimeError, OSError, EOFError) as error:
            if not _is_lost_worker(error, workers):
                raise
            place = describe(numbers[position])
            reason = (str(error) or type(error).__name__).splitlines()[0]
            if "timed out" in reason and workers == 1:
                raise DataError(f"reading images hangs: {reason}", path=place, remedy="look at the disk that holds it") from error
            workers //= 2
            say(f"a worker was lost near {place} ({reason}); going on with {workers or 'no'} workers")


def _is_lost_worker(error: Exception, workers: int) -> bool:
    """Whether a worker died or hangs, and not the work itself failed.

    The loader says so in a RuntimeError, unless it was just fetching a tensor from the worker: then the connection breaks off.
    """
    if workers == 0 or str(error).startswith("Caught "):
        return False
    if isinstance(error, RuntimeError):
        return "DataLoader" in str(error)
    return isinstance(error, ConnectionError | FileNotFoundError | EOFError)


def _plain_loader(make: Callable[[int], Any], numbers: Sequence[int], workers: int, pin_memory: bool) -> DataLoader[Any]:
    return DataLoader(
        BatchDataset(make),
        batch_size=None,
        sampler=list(numbers),
        num_workers=workers,
        pin_memory=pin_memory,
        timeout=WORKER_TIMEOUT if workers else 0,
        prefetch_factor=2 if workers else None,
        # Its own generator: making a loader must not touch the global one.
        generator=torch.Generator().manual_seed(0),
    )
