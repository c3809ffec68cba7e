"""Scores a split: logits of each seen frame, stored per track as soon as the track is done.

Batches take frames in the order of the tracks and may mix tracks; every forward pass has one fixed size, the last one padded, so
a score depends on its image alone, not on who else is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from harness import files
from harness.data.tracks import Track, every_nth
from harness.errors import DataError
from harness.images.batches import ImageBatch, ImageRequest, loader, read_batch
from harness.images.transforms import prepare_test
from harness.inference.shards import shard
from harness.inference.stamps import images_digest, stamp
from harness.recipes.recipe import Recipe
from harness.runs import scores
from harness.runs.checkpoints import Checkpoint
from harness.runs.scores import ScoreIndex, TrackRecord, TrackScores
from harness.runs.store import Run
from models.classifier import Classifier

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
    batch: int = 64
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


@dataclass
class Summary:
    """What a call did: tracks scored and kept, whether the split is complete, images that could not be read."""

    scored: int = 0
    kept: int = 0
    complete: bool = False
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A track to score and the frames to score of it."""

    track: Track
    frames: NDArray[np.int32]


class Scorer:
    """Scores the tracks of one split of one run with one checkpoint.

    Parameters
    ----------
    network : with the checkpoint's weights.
    split : name of the score set; flipped scores are stored as `<split>.flip`.
    tracks : the whole split, in its order.
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
    ) -> None:
        self.run = run
        self.recipe = recipe
        self.checkpoint = checkpoint
        self.settings = settings
        self.split = split + (".flip" if settings.flip else "")
        self.tracks = list(tracks)
        self.accelerator = accelerator
        self.say = say
        self.network = network.to(accelerator.device).to(memory_format=torch.channels_last).eval()
        self.mean, self.std = network.backbone.mean, network.backbone.std
        self.chunk = settings.batch
        described = {"checkpoint": checkpoint.digest, **settings.as_dict(recipe)}
        self.key = files.sha256_of_bytes(files.json_text(described).encode())

    def score(self, part: tuple[int, int], workers: int, verify: bool, strict: bool) -> Summary:
        """Scores what is missing or stale of shard `part`, then writes scores.json if the whole split is there.

        With `verify` the bytes of all images are compared with those that were scored. With `strict` an unreadable image is an
        error. Raises DataError naming track and frame for scores that are not finite.
        """
        directory = scores.directory(self.run, self.split)
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine = shard(self.tracks, *part)
        mine = shard(mine, rank + 1, processes)
        summary = Summary()
        with files.lock(directory / f".lock-{part[0]}-of-{part[1]}-{rank}", f"the split {self.split!r} of {self.run.name!r}"):
            files.remove_temporaries(directory)
            files.remove_temporaries(directory / scores.RECORDS)
            pending = [track for track in mine if not self._is_done(track, verify)]
            summary.kept = len(mine) - len(pending)
            if pending:
                scores.remove_index(self.run, self.split)
            for track, track_scores, unreadable, digest in self._scored(pending, workers, strict):
                self._store(track, track_scores, unreadable, digest)
                summary.scored += 1
                summary.unreadable += [f"{track.image_path(frame)}" for frame in unreadable]
        self.accelerator.wait_for_everyone()
        summary.complete = self._finish()
        return summary

    def _is_done(self, track: Track, verify: bool) -> bool:
        """Whether the stored scores are of this checkpoint, these settings and these images."""
        known = scores.read_record(self.run, self.split, track.name)
        if known is None or known[0] != self.key:
            return False
        key, old_stamp, record = known
        if (record.rows, record.rows_from) != (track.rows, track.rows_from):
            return False
        new_stamp = stamp(track)
        if new_stamp == old_stamp and not verify:
            return True
        if images_digest(replace(track, frames=self._frames(track))) != record.images:
            return False
        scores.write_record(self.run, self.split, track.name, key, new_stamp, record)
        return True

    def _frames(self, track: Track) -> NDArray[np.int32]:
        """The frames to score."""
        return every_nth(track.frames, self.settings.stride)

    def _scored(
        self, tracks: Sequence[Track], workers: int, strict: bool
    ) -> Iterator[tuple[Track, TrackScores, tuple[int, ...], str]]:
        """Each track with its scores, the frames that could not be read, and the digest of its images; in order."""
        wanted = [_Wanted(track, self._frames(track)) for track in tracks]
        ends = np.cumsum([len(item.frames) for item in wanted], dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        collector = _Collector(wanted, len(self.run.class_names))
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
            lambda number: _first_path(_requests(wanted, ends, number * batch, number * batch + 1)),
            self.say,
        )
        made = (
            (_requests(wanted, ends, number * batch, min((number + 1) * batch, total)), images)
            for number, images in enumerate(batches)
        )
        # A GPU computes a batch while the logits of the one before are fetched and stored.
        computed = one_behind(
            (requests, self._logits(self._checked(requests, images, strict)), images) for requests, images in made
        )
        with tqdm(total=total, unit="frame", desc=f"predict {self.split}", disable=None) as bar:
            for requests, logits, images in computed:
                collector.add(requests, logits.cpu().numpy(), images)
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

    def _logits(self, batch: ImageBatch) -> Tensor:
        """Logits float32 (b, C) on the device; passes of the fixed size, in halves where memory does not suffice."""
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
                if not _out_of_memory(error) or self.chunk == 1:
                    raise
                self.chunk = -(-self.chunk // 2)
                self.say(f"out of memory: going on with {self.chunk} images per forward pass")
        return torch.cat(parts)[:count]

    def _forward(self, images: Tensor) -> Tensor:
        device = self.accelerator.device
        precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.settings.precision)
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
            logits: Tensor = self.network(ready)
        return logits.float()

    def _store(self, track: Track, track_scores: TrackScores, unreadable: tuple[int, ...], digest: str) -> None:
        sha256 = scores.write_track(self.run, self.split, track.name, track_scores)
        skipped = len(track.frames) - len(track_scores.frame) - len(unreadable)
        record = TrackRecord(track.rows, track.rows_from, len(track_scores.frame), unreadable, skipped, digest, sha256)
        scores.write_record(self.run, self.split, track.name, self.key, stamp(track), record)

    def _finish(self) -> bool:
        """Writes scores.json when every track of the split has scores of this key; whoever comes last writes the same bytes."""
        records: dict[str, TrackRecord] = {}
        for track in self.tracks:
            known = scores.read_record(self.run, self.split, track.name)
            if known is None or known[0] != self.key:
                return False
            records[track.name] = known[2]
        if self.accelerator.is_main_process:
            self._remove_strangers(set(records))
            index = ScoreIndex(
                self.run.class_names, "logits", self.checkpoint.digest, self.settings.as_dict(self.recipe), records
            )
            scores.write_index(self.run, self.split, index)
        self.accelerator.wait_for_everyone()
        return True

    def _remove_strangers(self, names: set[str]) -> None:
        """Scores of tracks that the split no longer has must not be taken for its own."""
        directory = scores.directory(self.run, self.split)
        for path in [*directory.glob("*.npz"), *(directory / scores.RECORDS).glob("*.json")]:
            if path.stem not in names:
                files.remove(path)


class _Collector:
    """Gathers logits of consecutive frames until a track is complete."""

    def __init__(self, wanted: Sequence[_Wanted], classes: int) -> None:
        self.wanted = wanted
        self.classes = classes
        self.next = 0
        self.logits: list[NDArray[np.float32]] = []
        self.readable: list[NDArray[np.bool_]] = []
        self.digests: list[NDArray[np.uint8]] = []
        self.waiting = 0

    def add(self, requests: Sequence[ImageRequest], logits: NDArray[np.float32], batch: ImageBatch) -> None:
        """Takes one batch, the logits (b, C) of `requests`."""
        readable = batch.readable.numpy()
        for position in np.flatnonzero(~np.isfinite(logits).all(axis=1) & readable):
            request = requests[int(position)]
            raise DataError(
                f"track {request.track.name}, frame {request.frame}: the logits are not finite",
                path=request.track.image_path(request.frame),
                found=str(logits[position].tolist()),
                remedy="the checkpoint is broken, or try --precision fp32; nothing was stored of this track",
            )
        self.logits.append(logits)
        self.readable.append(readable)
        self.digests.append(batch.digests.numpy())
        self.waiting += len(requests)

    def finished(self) -> Iterator[tuple[Track, TrackScores, tuple[int, ...], str]]:
        """The tracks all of whose frames have come, in order."""
        while self.next < len(self.wanted) and len(self.wanted[self.next].frames) <= self.waiting:
            item = self.wanted[self.next]
            count = len(item.frames)
            logits, readable, digests = self._take(count)
            self.next += 1
            scored = TrackScores(item.frames[readable], logits[readable])
            unreadable = tuple(int(frame) for frame in item.frames[~readable])
            yield item.track, scored, unreadable, hashlib.sha256(digests.tobytes()).hexdigest()

    def _take(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
        logits = np.concatenate([np.empty((0, self.classes), np.float32), *self.logits])
        readable = np.concatenate([np.empty(0, bool), *self.readable])
        digests = np.concatenate([np.empty((0, 32), np.uint8), *self.digests])
        self.logits, self.readable, self.digests = [logits[count:]], [readable[count:]], [digests[count:]]
        self.waiting -= count
        return logits[:count], readable[:count], digests[:count]


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


def _first_path(requests: Sequence[ImageRequest]) -> str:
    return str(requests[0].track.image_path(requests[0].frame))


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error)
