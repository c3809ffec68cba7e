"""Scores a split from its images: logits or features of each seen frame, stored per track as soon as the track is done.

Batches take frames in the order of the tracks and may mix tracks; every forward pass has one fixed size, the last one padded, so
a score depends on its image alone, not on who else is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from harness.data.tracks import Track, every_nth
from harness.errors import DataError
from harness.images.batches import ImageBatch, ImageRequest, read_batch
from harness.images.device import is_out_of_memory
from harness.images.transforms import prepare_test
from harness.images.workers import loader
from harness.inference.split import SplitScorer, TrackResult
from harness.inference.stamps import images_digest, stamp
from harness.recipes.recipe import Recipe
from harness.runs.checkpoints import Checkpoint
from harness.runs.scores import FEATURES, FLIPPED, SCORES, Shelf, TrackScores
from harness.runs.store import Run
from models.classifier import Classifier

MOST_SHOWN = 8
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
IMAGES = 64
"""Images per forward pass where nothing else is asked for."""

T = TypeVar("T")


@dataclass(frozen=True)
class ScoreSettings:
    """Settings that change numbers.

    Attributes
    ----------
    precision : fp32, bf16 or fp16.
    batch : images per forward pass; another size changes the last bits of a score.
    stride : every how many seen frames are scored; the others are skipped, not missing.
    flip : whether the images are mirrored.
    """

    precision: str
    batch: int = IMAGES
    stride: int = 1
    flip: bool = False

    def as_dict(self, recipe: Recipe) -> dict[str, Any]:
        """These and the recipe's settings of the input, as scores.json keeps them."""
        return {
            "precision": self.precision,
            "batch": self.batch,
            "stride": self.stride,
            "flip": self.flip,
            "crops": recipe.crops,
            "decode_size": recipe.decode_size,
            "image_size": recipe.image_size,
            "test_resize": recipe.test_resize,
        }


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A track to score and the frames to score of it."""

    track: Track
    frames: NDArray[np.int32]


class Scorer(SplitScorer):
    """Scores the tracks of one split of one run with one checkpoint.

    Parameters
    ----------
    network : with the checkpoint's weights.
    split : name of the score set; flipped scores are stored as `<split>.flip`.
    tracks : the whole split, in its order.
    shelf : SCORES for logits, FEATURES for the pooled features of the backbone.
    """

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        network: Classifier,
        checkpoint: Checkpoint,
        settings: ScoreSettings,
        split: str,
        tracks: Sequence[Track],
        accelerator: Accelerator,
        say: Callable[[str], None],
        shelf: Shelf = SCORES,
    ) -> None:
        described = settings.as_dict(recipe)
        class_names, kind = run.class_names, "logits"
        if shelf is FEATURES:
            described |= {"output": "pooled", "width": network.feature_width}
            class_names, kind = (), "features"
        name = split + (FLIPPED if settings.flip else "")
        super().__init__(run, name, tracks, accelerator, shelf, class_names, kind, checkpoint.digest, described)
        self.recipe = recipe
        self.settings = settings
        self.say = say
        self.network = network.to(accelerator.device).to(memory_format=torch.channels_last).eval()
        self.compute: Callable[[Tensor], Tensor] = network.features if shelf is FEATURES else network
        self.width = network.feature_width if shelf is FEATURES else len(class_names)
        self.mean, self.std = network.backbone.mean, network.backbone.std
        self.chunk = settings.batch

    def stamp(self, track: Track) -> str:
        """Of the images' names, sizes and times of change."""
        return stamp(track)

    def digest(self, track: Track) -> str:
        """Over the bytes of the images that are scored; reads them all."""
        return images_digest(replace(track, frames=self._frames(track)))

    def _frames(self, track: Track) -> NDArray[np.int32]:
        """The frames to score."""
        return every_nth(track.frames, self.settings.stride)

    def produce(self, tracks: Sequence[Track], workers: int, strict: bool) -> Iterator[TrackResult]:
        """The logits or features of each track, as soon as its last frame has come."""
        wanted = [_Wanted(track, self._frames(track)) for track in tracks]
        ends = np.cumsum([len(item.frames) for item in wanted], dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        collector = _Collector(wanted, self.width, self.kind)
        yield from collector.finished()
        batch = self.settings.batch
        batches = loader(
            lambda number: read_batch(
                _requests(wanted, ends, number * batch, min((number + 1) * batch, total)),
                self.recipe.decode_size,
                with_digests=True,
            ),
            range(-(-total // batch)),
            workers,
            self.accelerator.device.type == "cuda",
        )
        made = (
            (_requests(wanted, ends, number * batch, min((number + 1) * batch, total)), images)
            for number, images in enumerate(batches)
        )
        # A GPU computes a batch while the numbers of the one before are fetched and stored.
        computed = one_behind(
            (requests, self._values(self._checked(requests, images, strict)), images) for requests, images in made
        )
        with tqdm(total=total, unit="frame", desc=f"{self.shelf.verb} {self.split}", disable=None) as bar:
            for requests, values, images in computed:
                collector.add(requests, values.cpu().numpy(), images)
                bar.update(len(requests))
                yield from collector.finished()

    @staticmethod
    def _checked(requests: Sequence[ImageRequest], images: ImageBatch, strict: bool) -> ImageBatch:
        """The same batch; with `strict` an image that could not be read raises DataError."""
        if strict and images.faults:
            position, reason = images.faults[0]
            path = requests[position].track.image_path(requests[position].frame)
            raise DataError(f"an image cannot be read: {reason}", path=path)
        return images

    def _values(self, batch: ImageBatch) -> Tensor:
        """Logits float32 (b, C) or features (b, D) on the device; passes of one size, in halves where memory does not suffice."""
        count = len(batch.images)
        images = batch.images
        if count < self.settings.batch:
            images = F.pad(images, (0, 0, 0, 0, 0, 0, 0, self.settings.batch - count))
        parts: list[Tensor] = []
        position = 0
        while position < count:
            try:
                parts.append(self._forward(images[position : position + self.chunk]))
                position += self.chunk
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.chunk == 1:
                    raise
                self.chunk = -(-self.chunk // 2)
                self.say(f"out of memory: going on with {self.chunk} images per forward pass")
        return torch.cat(parts)[:count]

    def _forward(self, images: Tensor) -> Tensor:
        device = self.accelerator.device
        precision = PRECISIONS.get(self.settings.precision)
        ready = prepare_test(
            images.to(device, non_blocking=True),
            self.recipe.image_size,
            self.recipe.test_resize,
            self.mean,
            self.std,
            self.settings.flip,
            precision or torch.float32,
        )
        with torch.inference_mode(), torch.autocast(device.type, dtype=precision, enabled=precision is not None):
            values = self.compute(ready)
        return values.float()


class _Collector:
    """Gathers the numbers of consecutive frames until a track is complete."""

    def __init__(self, wanted: Sequence[_Wanted], width: int, kind: str) -> None:
        self.wanted = wanted
        self.width = width
        self.kind = kind
        self.next = 0
        self.values: list[NDArray[np.float32]] = []
        self.readable: list[NDArray[np.bool_]] = []
        self.digests: list[NDArray[np.uint8]] = []
        self.waiting = 0

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
            scored = TrackScores(item.frames[readable], values[readable])
            unreadable = tuple(int(frame) for frame in item.frames[~readable])
            skipped = len(item.track.frames) - len(item.frames)
            yield TrackResult(item.track, scored, unreadable, skipped, hashlib.sha256(digests.tobytes()).hexdigest())

    def _take(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        values = np.concatenate([np.empty((0, self.width), np.float32), *self.values])
        readable = np.concatenate([np.empty(0, bool), *self.readable])
        digests = np.concatenate([np.empty((0, 32), np.uint8), *self.digests])
        self.values, self.readable, self.digests = [values[count:]], [readable[count:]], [digests[count:]]
        self.waiting -= count
        return values[:count], readable[:count], digests[:count]


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
