"""Fills the scores or features of one split, track by track: resumable at any moment, sharded, whole or not at all."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from harness import files
from harness.data.tracks import Track
from harness.errors import DataError
from harness.inference.settings import Scoring
from harness.runs import scores
from harness.runs.checkpoints import Checkpoint
from harness.runs.scores import SCORES, ScoreIndex, Store, TrackRecord, TrackScores
from harness.runs.shards import parse_shard, shard
from harness.runs.store import Run, adding
from harness.words import counted


@dataclass
class ScoredSplit:
    """What a call did, over all its processes: tracks scored and kept, and whether the split is complete.

    `unreadable` are the images of all tracks scored so far that could not be read, whichever call or process tried.
    """

    scored: int = 0
    kept: int = 0
    complete: bool = False
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class TrackResult:
    """One track done: its numbers, frames that could not be read, how many were skipped, and the digest of what went in."""

    track: Track
    scores: TrackScores
    unreadable: tuple[int, ...]
    skipped: int
    digest: str


@dataclass(eq=False)
class SplitScorer(ABC):
    """Makes what is missing or stale of one split of one run.

    Attributes
    ----------
    split, tracks : name of the split, and all of its tracks in their order.
    checkpoint : which makes the numbers.
    store : where they go, the run's scores or its features.
    network : with the checkpoint's weights.
    settings : all others that change numbers, as the index has them.
    """

    run: Run
    split: str
    tracks: Sequence[Track]
    checkpoint: Checkpoint
    scoring: Scoring
    accelerator: Accelerator
    say: Callable[[str], None]
    store: Store = SCORES
    network: nn.Module = field(init=False)
    settings: dict[str, Any] = field(init=False)

    @abstractmethod
    def produce(self, tracks: Sequence[Track]) -> Iterator[TrackResult]:
        """The numbers of each of `tracks`, in order."""

    @abstractmethod
    def stamp(self, track: Track) -> str:
        """A cheap digest that changes when what the numbers are made from may have changed."""

    @abstractmethod
    def digest(self, track: Track) -> str:
        """The digest over the bytes of all that goes into the track's numbers, as a record keeps it."""

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Of the columns; empty for features."""
        return self.run.class_names if self.store is SCORES else ()

    @property
    def name(self) -> str:
        """Under which the numbers are stored."""
        return self.scoring.name_of(self.split)

    @functools.cached_property
    def key(self) -> str:
        """What stands for the checkpoint and the settings."""
        return scores.key_of(self.checkpoint.digest, self.settings)

    def score(self) -> ScoredSplit:
        """Makes what is missing or stale of the shard, then writes the index if the whole split is there.

        Raises DataError naming track and frame for numbers that are not finite, LockedError if another process makes the same or
        puts another run in the place of this one.
        """
        with adding(self.run):
            return self._score()

    def _score(self) -> ScoredSplit:
        directory = scores.directory(self.run, self.name, self.store)
        processes, rank = self.accelerator.num_processes, self.accelerator.process_index
        part = parse_shard(self.scoring.shard)
        mine = shard(shard(self.tracks, *part), rank + 1, processes)
        what = f"the {self.store.name} of split {self.name!r} of {self.run.name!r}"
        with files.lock(directory / f".lock-{part[0]}-of-{part[1]}-{rank}", what):
            files.remove_temporaries(directory)
            files.remove_temporaries(directory / scores.RECORDS)
            # Before anything is read: what is replaced while it is read has another stamp than its record, and is made again.
            stamps = {track.name: self.stamp(track) for track in mine}
            pending = [track for track in mine if not self._is_done(track, stamps[track.name])]
            if self.scoring.strict:
                # Before the work, not after hours of it.
                _refuse_unreadable(self._unreadable([track for track in mine if track not in pending]))
            if pending:
                scores.remove_index(self.run, self.name, self.store)
            for result in self.produce(pending):
                self._store(result, stamps[result.track.name])
        counts = torch.tensor([len(pending), len(mine) - len(pending)], device=self.accelerator.device)
        # Waits for every process, so that all records are there.
        scored, kept = self.accelerator.reduce(counts, reduction="sum").tolist()
        summary = ScoredSplit(scored, kept, self._finish(), self._unreadable(self.tracks))
        if self.scoring.strict:
            _refuse_unreadable(summary.unreadable)
        return summary

    def _is_done(self, track: Track, new_stamp: str) -> bool:
        """Whether the stored numbers are of this checkpoint, these settings and these images or features."""
        known = scores.read_record(self.run, self.name, track.name, self.store)
        if known is None or known[0] != self.key:
            return False
        key, old_stamp, record = known
        if (record.rows, record.rows_from) != (track.rows, track.rows_from):
            return False
        if new_stamp == old_stamp and not self.scoring.verify:
            return True
        if self.digest(track) != record.images:
            return False
        scores.write_record(self.run, self.name, track.name, key, new_stamp, record, self.store)
        return True

    def _store(self, result: TrackResult, stamp: str) -> None:
        track = result.track
        sha256 = scores.write_track(self.run, self.name, track.name, result.scores, self.store)
        record = TrackRecord(
            track.rows, track.rows_from, len(result.scores.frame), result.unreadable, result.skipped, result.digest, sha256
        )
        scores.write_record(self.run, self.name, track.name, self.key, stamp, record, self.store)
        if self.stamp(track) != stamp:
            self.say(f"warning: {track.name} changed while it was read; the same command makes it again")

    def _record(self, track: Track) -> TrackRecord | None:
        """What a track's numbers were made from, if they are there and of this checkpoint and these settings."""
        known = scores.read_record(self.run, self.name, track.name, self.store)
        return None if known is None or known[0] != self.key else known[2]

    def _unreadable(self, tracks: Sequence[Track]) -> list[str]:
        """The images of tracks that are done which could not be read when their numbers were made."""
        records = [(track, self._record(track)) for track in tracks]
        return [str(track.image_path(frame)) for track, record in records if record for frame in record.unreadable]

    def _finish(self) -> bool:
        """Writes the index when every track of the split has numbers of this key; whoever comes last writes the same bytes."""
        records: dict[str, TrackRecord] = {}
        for track in self.tracks:
            record = self._record(track)
            if record is None:
                return False
            records[track.name] = record
        if self.accelerator.is_main_process:
            self._remove_obsolete(set(records))
            index = ScoreIndex(self.class_names, self.store.kinds[0], self.checkpoint.digest, self.settings, records)
            scores.write_index(self.run, self.name, index, self.store)
        self.accelerator.wait_for_everyone()
        return True

    def _remove_obsolete(self, names: set[str]) -> None:
        """Numbers of tracks that the split no longer has must not be taken for its own."""
        directory = scores.directory(self.run, self.name, self.store)
        for path in [*directory.glob("*.npz"), *(directory / scores.RECORDS).glob("*.json")]:
            if path.stem not in names:
                files.remove(path)


def _refuse_unreadable(paths: Sequence[str]) -> None:
    if paths:
        raise DataError(
            f"{counted(len(paths), 'image')} of tracks that are scored could not be read",
            path=paths[0],
            remedy="repair or remove them and predict again (--verify reads unchanged ones anew), or leave out --strict",
        )
