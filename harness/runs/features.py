"""Stored features of frames: which sets a model learns from, and one track's features of all of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR
from harness.data.tracks import Track
from harness.errors import DataError, MismatchError, UsageError
from harness.runs import scores, store
from harness.runs.arrays import StoredArray, stored_arrays
from harness.runs.scores import FEATURES, FLIPPED, TrackRecord
from harness.runs.store import Run

FramesOf = Literal["common", "union"]
COMMON: FramesOf = "common"
UNION: FramesOf = "union"


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of one run: all made by one checkpoint with the same settings, or all from one file.

    Attributes
    ----------
    run : whose features they are.
    checkpoint : digest of the checkpoint that made them, None for imported ones.
    settings : what else they depend on, `width` (D) among it.
    tracks_of : the challenge whose tracks these are, where it is not the run's own; else empty.
    """

    run: Run
    checkpoint: str | None
    settings: Mapping[str, Any]
    tracks_of: str = ""

    @property
    def width(self) -> int:
        """How many numbers a frame has."""
        return int(self.settings["width"])

    @property
    def is_imported(self) -> bool:
        """Whether they came from a file, so that they cannot be made here."""
        return self.checkpoint is None

    def key(self, flip: bool = False) -> str:
        """What a record of such features says, of the images as they are or mirrored."""
        settings = {**self.settings, "flip": flip} if "flip" in self.settings else self.settings
        return scores.key_of(self.checkpoint, settings)

    def as_dict(self) -> dict[str, Any]:
        """The set as run.json keeps it."""
        others = {"tracks_of": self.tracks_of} if self.tracks_of else {}
        return {"run": self.run.name, "checkpoint": self.checkpoint, "settings": dict(self.settings), **others}

    def place_of(self, split: str) -> str:
        """Under which name a split's features lie in the run."""
        return place_of(split, self.tracks_of)


@dataclass(frozen=True, eq=False)
class TrackFeatures:
    """One track's features of all sets, on the frames that one of them has, or that all have.

    Attributes
    ----------
    frame : int32 (S,) ascending, 1-based.
    parts : for each set its values float32 or float16 (N, D), in their file, and which row of them each frame is, int64 (S,),
        -1 where the set does not have the frame.
    unreadable : frames whose image could not be read.
    skipped : whether frames were left out on purpose.
    digest : sha256 over those of the files.
    """

    frame: NDArray[np.int32]
    parts: tuple[tuple[StoredArray, NDArray[np.int64]], ...]
    unreadable: tuple[int, ...]
    skipped: bool
    digest: str

    def skipped_of(self, track: Track) -> NDArray[np.int32]:
        """The frames of the track that have an image but were left out on purpose."""
        if not self.skipped:
            return np.empty(0, dtype=np.int32)
        return np.setdiff1d(track.frames, np.union1d(self.frame, np.array(self.unreadable, dtype=np.int32))).astype(np.int32)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which sets have which frame, bool (S, K)."""
        return np.stack([rows >= 0 for _, rows in self.parts], axis=1)

    def gather(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features float32 (n, D), all sets side by side, of the frames at `positions` of `frame`; 0 where a set has none."""
        found = np.empty((len(positions), sum(values.shape[1] for values, _ in self.parts)), np.float32)
        self.gather_into(positions, found)
        return found

    def gather_into(self, positions: NDArray[np.int64], found: NDArray[np.float32]) -> None:
        """The same into `found` (n, D). Raises DataError if a file has been changed since it was looked at."""
        column = 0
        for values, rows in self.parts:
            _read_rows(values, rows[positions], found[:, column : column + values.shape[1]])
            column += values.shape[1]

    def of_set(self, index: int) -> NDArray[np.float32]:
        """The features float32 (n, D) of one set, of all frames that it has."""
        values, rows = self.parts[index]
        there = rows[rows >= 0]
        found = np.empty((len(there), values.shape[1]), np.float32)
        _read_rows(values, there, found)
        return found


def _read_rows(values: StoredArray, rows: NDArray[np.int64], found: NDArray[np.float32]) -> None:
    """Fills `found` (n, D) with the values of rows (n,), zero for row -1; all between the first and the last are read at once."""
    there = rows >= 0
    if not there.any():
        found[:] = 0
        return
    first, last = int(rows[there].min()), int(rows.max()) + 1
    if there.all() and last - first == len(rows) and bool((np.diff(rows) == 1).all()):
        if values.dtype == found.dtype and found.flags.c_contiguous:
            values.read_into(first, found)
        else:
            found[:] = values.read(first, last)
        return
    found[~there] = 0
    found[there] = values.read(first, last)[rows[there] - first]


def place_of(split: str, tracks_of: str) -> str:
    """The name under which a split's features lie: its own, with the challenge behind it for tracks of another than the run's."""
    return f"{split}-{tracks_of}" if tracks_of else split


def other_challenge(run: Run, challenge: str) -> str:
    """`challenge` if it is another one than that of the run, else nothing."""
    return "" if run.manifest.get("challenge", EXPR.name) == challenge else challenge


def open_sets(names: Sequence[str], splits: Sequence[str], challenge: str = EXPR.name) -> list[FeatureSet]:
    """The feature sets of the runs called `names`, which must be complete for all of `splits` and alike in them.

    `challenge` is that whose splits are meant: the challenges have other tracks in theirs.

    Raises UsageError for a name that stands twice, DataError naming the command that makes what is missing, MismatchError if the
    splits' features were made with different checkpoints or settings.
    """
    runs = [store.find(name) for name in names]
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise UsageError("a feature set is named twice", found=", ".join(names))
    return [_open_set(run, splits, other_challenge(run, challenge)) for run in runs]


def _open_set(run: Run, splits: Sequence[str], tracks_of: str) -> FeatureSet:
    indices = [scores.read_index(run, place_of(split, tracks_of), FEATURES) for split in splits]
    first = FeatureSet(run, indices[0].checkpoint, indices[0].settings, tracks_of)
    for split, index in zip(splits, indices, strict=True):
        if FeatureSet(run, index.checkpoint, index.settings).key() != first.key():
            raise MismatchError(
                f"the features of {splits[0]} and {split} were made with different checkpoints or settings",
                path=scores.directory(run, split, FEATURES),
                remedy=f"`harness features {run.name}` makes them alike",
            )
    return first


def recorded_sets(run: Run) -> list[FeatureSet] | None:
    """The feature sets a run was trained on, whose runs need not be there any more; None for a run that sees images.

    They are looked for beside the run, then below runs/.
    """
    recorded = run.manifest.get("features")
    if not recorded:
        return None
    found = []
    for entry in recorded:
        beside = Run(run.path.parent / entry["run"])
        place = beside if beside.manifest_path.is_file() else Run(store.RUNS / entry["run"])
        found.append(FeatureSet(place, entry["checkpoint"], entry["settings"], entry.get("tracks_of", "")))
    return found


def read(sets: Sequence[FeatureSet], track: Track, split: str, flip: bool = False, frames_of: FramesOf = COMMON) -> TrackFeatures:
    """The features of one track in the sets of `split`, whose files are compared with their sha256.

    `frames_of` says whether a frame must be in all sets, or in one. The vectors stay in their files until they are gathered.

    Raises DataError if they are missing, damaged, of other rows or images than the track has, or not those the set is of. Whether
    the bytes of the images changed is for `harness features` and `harness predict` to see.
    """
    records = [_record(one, track, split, flip) for one in sets]
    paths = [_path(one, track, split, flip) for one in sets]
    stored = [stored_arrays(path, ("frame", FEATURES.array)) for path in paths]
    frames = [frame.read(0, len(frame)).astype(np.int32, copy=False) for frame, _ in stored]
    join = np.union1d if frames_of == UNION else np.intersect1d
    wanted = frames[0]
    for other in frames[1:]:
        wanted = join(wanted, other).astype(np.int32)
    parts = tuple((values, _places(frame, wanted)) for frame, (_, values) in zip(frames, stored, strict=True))
    unreadable = {frame for record in records for frame in record.unreadable}
    unreadable = unreadable.difference(wanted.tolist()) if unreadable else unreadable
    return TrackFeatures(wanted, parts, tuple(sorted(unreadable)), any(record.skipped for record in records), _digest_of(records))


def _places(frame: NDArray[np.int32], wanted: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where each of the `wanted` frames (S,) stands in `frame` (N,), -1 where it does not."""
    if frame is wanted:
        return np.arange(len(frame), dtype=np.int64)
    if len(frame) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(frame, wanted), len(frame) - 1)
    return np.where(frame[places] == wanted, places, -1).astype(np.int64)


def digest(sets: Sequence[FeatureSet], track: Track, split: str, flip: bool = False) -> str:
    """sha256 over the sha256 of the track's feature files, which are read for it. Raises DataError as `read` does."""
    return _digest_of([_record(one, track, split, flip) for one in sets])


def _digest_of(records: Sequence[TrackRecord]) -> str:
    return files.sha256_of_bytes("".join(record.scores for record in records).encode())


def _name(one: FeatureSet, split: str, flip: bool) -> str:
    return one.place_of(split) + (FLIPPED if flip else "")


def _path(one: FeatureSet, track: Track, split: str, flip: bool) -> Path:
    return scores.directory(one.run, _name(one, split, flip), FEATURES) / f"{track.name}.npz"


def _record(one: FeatureSet, track: Track, split: str, flip: bool) -> TrackRecord:
    place = _path(one, track, split, flip)
    command = f"`{scores.features_command(one.run, one.place_of(split), flip)}`"
    remedy = "import the file again" if one.is_imported else command
    if flip and one.is_imported:
        raise DataError(f"the imported features of {one.run.name} have none of mirrored images", path=place, remedy="--no-flip")
    known = scores.read_record(one.run, _name(one, split, flip), track.name, FEATURES)
    if known is None:
        raise DataError(f"the features of track {track.name} are missing or damaged", path=place, remedy=remedy)
    key, _, record = known
    if key != one.key(flip):
        raise DataError(
            f"the features of track {track.name} are not those the model learned from",
            path=place,
            expected=f"checkpoint {str(one.checkpoint)[:12]}, settings {dict(one.settings)}",
            remedy="make them with that checkpoint and those settings, or train the temporal model on the new ones",
        )
    if record.rows != track.rows:
        raise DataError(
            f"the features of track {track.name} are of other rows than the data",
            path=place,
            found=f"{record.rows:,}",
            expected=f"{track.rows:,}",
            remedy=remedy,
        )
    seen = record.seen + len(record.unreadable) + record.skipped
    if not one.is_imported and seen != len(track.frames):
        raise DataError(
            f"the features of track {track.name} are of other images than the data has",
            path=place,
            found=f"{seen:,} images",
            expected=f"{len(track.frames):,}",
            remedy=remedy,
        )
    return record
