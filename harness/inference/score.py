"""Scores a split from its images: logits or features of each seen frame, stored per track as soon as the track is done.

Batches take frames in the order of the tracks and may mix tracks; every forward pass has one fixed size, the last one padded, so
a score depends on its image alone, not on who else is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.crops import images_digest, images_stamp
from harness.data.tracks import Track, every_nth
from harness.errors import DataError
from harness.images.batches import ImageBatch, ImageRequest, read_batch
from harness.images.workers import loader
from harness.inference.passes import IMAGES, Passes
from harness.inference.split import SplitScorer, TrackResult
from harness.progress import TaskProgress
from harness.recipes.recipe import Recipe
from harness.runs.scores import FEATURES, HALF, TrackScores
from models.classifier import Classifier

MOST_SHOWN = 8
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A track to score and the frames to score of it."""

    track: Track
    frames: NDArray[np.int32]


@dataclass(eq=False, kw_only=True)
class ImageScorer(SplitScorer):
    """Scores the images of one split with one checkpoint: logits, or for the feature store the pooled features of the backbone.

    Attributes
    ----------
    recipe : of the run.
    network : with the checkpoint's weights.
    """

    recipe: Recipe
    network: Classifier

    def __post_init__(self) -> None:
        network = self.network = self.network.to(self.accelerator.device).to(memory_format=torch.channels_last).eval()
        of_features = self.store is FEATURES
        self.width = network.feature_width if of_features else len(self.class_names)
        self.batch = self.scoring.batch or IMAGES
        self.settings = {
            "precision": self.scoring.precision or self.recipe.precision,
            "batch": self.batch,
            "stride": self.scoring.stride,
            "flip": self.scoring.flip,
            "crops": self.recipe.crops,
            "decode_size": self.recipe.decode_size,
            "image_size": self.recipe.image_size,
            "test_resize": self.recipe.test_resize,
            **({"output": "pooled", "width": self.width} if of_features else {}),
            **({"stored": HALF.name} if of_features and self.scoring.half else {}),
        }
        self.passes = Passes(
            network.features if of_features else network,
            self.accelerator.device,
            self.recipe.image_size,
            self.recipe.test_resize,
            network.backbone.mean,
            network.backbone.std,
            self.settings["precision"],
            self.batch,
            self.scoring.flip,
            self.say,
        )

    def stamp(self, track: Track) -> str:
        """Of the images' names, sizes and times of change."""
        return images_stamp(track)

    def digest(self, track: Track) -> str:
        """Over the bytes of the images that are scored; reads them all."""
        return images_digest(replace(track, frames=self._frames(track)))

    def _frames(self, track: Track) -> NDArray[np.int32]:
        """The frames to score."""
        return every_nth(track.frames, self.scoring.stride)

    def produce(self, tracks: Sequence[Track]) -> Iterator[TrackResult]:
        """The logits or features of each track, as soon as its last frame has come."""
        wanted = [_Wanted(track, self._frames(track)) for track in tracks]
        ends = np.cumsum([len(item.frames) for item in wanted], dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        half = self.store is FEATURES and self.scoring.half
        collector = _Collector(wanted, self.width, self.store.kinds[0], half)
        yield from collector.finished()
        numbers = range(-(-total // self.batch))

        def requests_of(number: int) -> list[ImageRequest]:
            return _requests(wanted, ends, number * self.batch, min((number + 1) * self.batch, total))

        batches = loader(
            lambda number: read_batch(requests_of(number), self.recipe.decode_size, with_digests=True),
            numbers,
            self.scoring.workers or 0,
            self.accelerator.device.type == "cuda",
        )
        # A GPU computes a batch while the numbers of the one before are fetched and stored.
        computed = one_behind(
            (requests, self.passes(self._checked(requests, images).images), images)
            for requests, images in zip(map(requests_of, numbers), batches, strict=True)
        )
        with TaskProgress(f"{self.store.verb} {self.name}", total, "frame") as bar:
            for requests, values, images in computed:
                collector.add(requests, values.cpu().numpy(), images)
                bar.update(len(requests))
                yield from collector.finished()

    def _checked(self, requests: Sequence[ImageRequest], images: ImageBatch) -> ImageBatch:
        """The same batch; where it is strict an image that could not be read raises DataError."""
        if self.scoring.strict and images.faults:
            position, reason = images.faults[0]
            path = requests[position].track.image_path(requests[position].frame)
            raise DataError(f"an image cannot be read: {reason}", path=path)
        return images


@dataclass(eq=False)
class _Collector:
    """Gathers the numbers of consecutive frames, each float32 (width,), until a track is complete."""

    wanted: Sequence[_Wanted]
    width: int
    kind: str
    half: bool = False
    next: int = 0
    waiting: int = 0

    def __post_init__(self) -> None:
        self.values = [np.empty((0, self.width), np.float32)]
        self.readable = [np.empty(0, bool)]
        self.digests = [np.empty((0, 32), np.uint8)]

    def add(self, requests: Sequence[ImageRequest], values: NDArray[np.float32], batch: ImageBatch) -> None:
        """Takes one batch, the numbers (b, width) of `requests`."""
        readable = batch.readable.numpy()
        for position in np.flatnonzero(~np.isfinite(values).all(axis=1) & readable):
            request = requests[int(position)]
            raise DataError(
                f"track {request.track.name}, frame {request.frame}: the {self.kind} are not finite",
                path=request.track.image_path(request.frame),
                found=str(values[position, :MOST_SHOWN].tolist()),
                remedy="the checkpoint is broken, or try --precision fp32; nothing was stored of this track",
            )
        self.values.append(values)
        self.readable.append(readable)
        self.digests.append(batch.digests.numpy())
        self.waiting += len(requests)

    def finished(self) -> Iterator[TrackResult]:
        """The tracks all of whose frames have come, in order."""
        while self.next < len(self.wanted) and len(self.wanted[self.next].frames) <= self.waiting:
            item = self.wanted[self.next]
            values, readable, digests = self._take(len(item.frames))
            self.next += 1
            scored = TrackScores(item.frames[readable], in_half(item.track, values[readable]) if self.half else values[readable])
            unreadable = tuple(int(frame) for frame in item.frames[~readable])
            skipped = len(item.track.frames) - len(item.frames)
            yield TrackResult(item.track, scored, unreadable, skipped, hashlib.sha256(digests.tobytes()).hexdigest())

    def _take(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        values, readable, digests = (np.concatenate(parts) for parts in (self.values, self.readable, self.digests))
        self.values, self.readable, self.digests = [values[count:]], [readable[count:]], [digests[count:]]
        self.waiting -= count
        return values[:count], readable[:count], digests[:count]


def in_half(track: Track, values: NDArray[np.float32]) -> NDArray[np.floating]:
    """The features (S, D) of a track in half precision. Raises DataError if one is larger than that can be."""
    if len(values) and float(np.abs(values).max()) > float(np.finfo(HALF).max):
        raise DataError(
            f"track {track.name}: a feature is too large for half precision",
            found=f"{float(np.abs(values).max()):g}",
            expected=f"at most {float(np.finfo(HALF).max):g}",
            remedy="leave out --half",
        )
    return values.astype(np.float16)


def _requests(wanted: Sequence[_Wanted], ends: NDArray[np.int64], first: int, last: int) -> list[ImageRequest]:
    """The images first..last-1 of all the wanted frames, one track after the other."""
    requests: list[ImageRequest] = []
    index = int(np.searchsorted(ends, first, side="right"))
    while first < last:
        begin = int(ends[index - 1]) if index else 0
        part = wanted[index].frames[first - begin : last - begin]
        requests += [ImageRequest(wanted[index].track, int(frame)) for frame in part]
        first += len(part)
        index += 1
    return requests


def one_behind(items: Iterable[T]) -> Iterator[T]:
    """Each item as soon as the next one has been made."""
    waiting: list[T] = []
    for item in items:
        yield from waiting
        waiting = [item]
    yield from waiting
