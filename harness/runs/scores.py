"""The score and feature store: runs/<run>/scores/<split>/<track>.npz and, once every track is there, scores.json.

Features lie in the same way in runs/<run>/features/<split>/ with features.json. While a split is being scored, each finished
track leaves its scores and a record of what they were made from (in `.records/`).
The record tells a later call whether the scores are still those of this checkpoint, these settings and these images.
scores.json is put together from the records when the last track is done, so it is the same whichever process comes last.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError, MismatchError
from harness.runs.arrays import unpack
from harness.runs.remedies import scoring_remedy
from harness.runs.store import Run

FORMAT = 1
LARGEST_TRACK = 2 * 1024**3
RECORDS = ".records"
FLIPPED = ".flip"
"""Behind the name of a split: the numbers of its mirrored images."""


@dataclass(frozen=True)
class Store:
    """A kind of numbers that a run keeps for each frame.

    Attributes
    ----------
    name : of the folder in the run, and of its index.
    array : name of the array (S, C) in a track's npz file.
    verb : the command that makes them.
    kinds : what they can be.
    """

    name: str
    array: str
    verb: str
    kinds: tuple[str, ...]


SCORES = Store("scores", "score", "predict", ("logits", "probabilities"))
HALF = np.dtype(np.float16)
"""Features may be kept in half precision: half the disk, three digits."""
FEATURES = Store("features", "feature", "features", ("features",))


@dataclass(frozen=True, eq=False)
class TrackScores:
    """The scores or features of one track's seen frames.

    Attributes
    ----------
    frame : int32 (S,), ascending, 1-based.
    score : float32 (S, C), or features float16.
    seen_by : bool (S, K), which of the feature sets of a model have each frame; None where there is one alone, or images.
    """

    frame: NDArray[np.int32]
    score: NDArray[np.float32]
    seen_by: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class TrackRecord:
    """What a track's scores were made from.

    Attributes
    ----------
    rows, rows_from : lines a submission needs for the track, and who says so.
    seen : number of frames scored.
    unreadable : frames whose image could not be read, counted as missing.
    skipped : frames with an image that were not scored on purpose.
    images : sha256 over the sha256 of each image's bytes, in frame order; of a temporal model over those of the feature files.
    scores : sha256 of the npz file.
    """

    rows: int
    rows_from: str
    seen: int
    unreadable: tuple[int, ...]
    skipped: int
    images: str
    scores: str


def record_of(entry: Mapping[str, Any]) -> TrackRecord:
    """A record from plain values. Raises TypeError if one is missing or of another kind."""
    record = TrackRecord(**{**entry, "unreadable": tuple(entry["unreadable"])})
    counts = (record.rows, record.seen, record.skipped, *record.unreadable)
    words = (record.rows_from, record.images, record.scores)
    if not all(type(count) is int and count >= 0 for count in counts) or not all(isinstance(word, str) for word in words):
        raise TypeError("a record with a value of another kind")
    return record


@dataclass(frozen=True)
class ScoreIndex:
    """scores.json or features.json: what the numbers of one split are, and of which tracks, in the order of the split."""

    class_names: tuple[str, ...]
    kind: str
    checkpoint: str | None
    settings: Mapping[str, Any]
    tracks: Mapping[str, TrackRecord]

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each track, in the order of the split."""
        return {name: record.rows for name, record in self.tracks.items()}

    def made_by(self, aside: Collection[str]) -> dict[str, Any]:
        """The checkpoint and the settings that made the scores, but for the settings `aside`; for comparing two splits."""
        return {"checkpoint": self.checkpoint, **{key: value for key, value in self.settings.items() if key not in aside}}


def directory(run: Run, split: str, store: Store = SCORES) -> Path:
    """Where the scores of a split lie."""
    return run.path / store.name / split


def key_of(checkpoint: str | None, settings: Mapping[str, Any]) -> str:
    """What stands for a checkpoint and all settings that change numbers."""
    return files.sha256_of_bytes(files.json_text({"checkpoint": checkpoint, **settings}).encode())


def _index_path(run: Run, split: str, store: Store) -> Path:
    return directory(run, split, store) / f"{store.name}.json"


def features_command(run: Run, split: str, flip: bool = False) -> str:
    """The command that makes a run's features of a split, or, as SPLIT-CHALLENGE, of that of another challenge than the run's."""
    own, _, challenge = split.partition("-")
    return f"harness features {run.name} --split {own}{f' --challenge {challenge}' * bool(challenge)}{' --flip' * flip}"


def _remedy(run: Run, split: str, store: Store, fresh: bool = False) -> str:
    """What makes the scores or features of a split; `fresh` where what there is of an ensemble is damaged."""
    if store is FEATURES:
        return f"`{features_command(run, split.removesuffix(FLIPPED), split.endswith(FLIPPED))}`"
    return scoring_remedy(run, split.removesuffix(FLIPPED), split.endswith(FLIPPED), fresh)


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an npz file of `arrays`: the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def write_track(run: Run, split: str, track: str, scores: TrackScores, store: Store = SCORES) -> str:
    """Stores the scores of one track, whole or not at all; returns the sha256 of the file.

    Raises DataError naming the frame if a score is not finite, ValueError if shapes or order are wrong.
    """
    frame = np.asarray(scores.frame, dtype=np.int32)
    score = np.asarray(scores.score)
    score = score if store is FEATURES and score.dtype == HALF else score.astype(np.float32, copy=False)
    if frame.ndim != 1 or score.ndim != 2 or len(frame) != len(score) or np.any(np.diff(frame) <= 0):
        raise ValueError(f"scores of {track}: frame {frame.shape} and score {score.shape} must be (S,) ascending and (S, C)")
    _refuse_not_finite(score, frame, track)
    arrays: dict[str, NDArray[Any]] = {"frame": frame, store.array: score}
    if scores.seen_by is not None:
        arrays["seen_by"] = np.asarray(scores.seen_by, dtype=bool)
    data = npz_bytes(arrays)
    files.write_bytes(directory(run, split, store) / f"{files.safe_name(track, 'the track')}.npz", data, sync=False)
    return files.sha256_of_bytes(data)


def _refuse_not_finite(score: NDArray[np.float32], frame: NDArray[np.int32], track: str, path: Path | None = None) -> None:
    wrong = ~np.isfinite(score).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(
            f"track {track}, frame {int(frame[first])}: the scores are not finite ({int(wrong.sum())} such frames)",
            path=path,
            found=str(score[first].tolist()),
            expected="finite numbers",
            remedy="look at the image and at the checkpoint: NaN in the weights makes every frame 'Neutral'",
        )


def read_track(run: Run, split: str, track: str, store: Store = SCORES) -> TrackScores:
    """The stored scores or features of one track of a complete split.

    Raises DataError if the file is absent, damaged, not the one that the index records, or if what stands in it does not fit the
    run's classes and the track's rows or is not finite.
    """
    path = directory(run, split, store) / f"{track}.npz"
    index = _index_of(run, split, store)
    record = index.tracks.get(track)
    remedy = _remedy(run, split, store, fresh=True)
    data = files.read_bytes(path, LARGEST_TRACK)
    if record is None or files.sha256_of_bytes(data) != record.scores:
        raise DataError(
            f"the {store.name} of this track were changed or damaged: they are not those that {store.name}.json records",
            path=path,
            expected=f"a track that {store.name}.json lists" if record is None else f"sha256 {record.scores}",
            remedy=remedy,
        )
    frame, score, seen_by = _unpack(path, data, remedy, store)
    columns = len(index.class_names) or score.shape[1]
    outside = len(frame) and (frame[0] < 1 or frame[-1] > record.rows)
    if score.shape[1] != columns or outside or np.any(np.diff(frame) <= 0):
        raise DataError(
            f"the {store.name} do not fit the run's classes and the track's rows",
            path=path,
            found=f"{store.array} {score.shape}, frames {frame.min(initial=record.rows)} to {frame.max(initial=0)}",
            expected=f"{columns} columns, ascending frames within 1 to {record.rows}",
            remedy=remedy,
        )
    _refuse_not_finite(score, frame, track, path)
    return TrackScores(frame, score, seen_by)


def _unpack(
    path: Path, data: bytes, remedy: str, store: Store
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_] | None]:
    arrays = unpack(path, io.BytesIO(data))
    frame, score = arrays.get("frame"), arrays.get(store.array)
    if frame is None or score is None or frame.ndim != 1 or score.ndim != 2 or len(frame) != len(score):
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise DataError(
            f"a file of {store.name} of the wrong shape",
            path=path,
            found=shapes,
            expected=f"frame (S,), {store.array} (S, C)",
            remedy=remedy,
        )
    if frame.dtype.kind not in "iu" or score.dtype.kind != "f":
        found = f"frame {frame.dtype}, {store.array} {score.dtype}"
        raise DataError(
            f"a file of {store.name} of the wrong type",
            path=path,
            found=found,
            expected=f"frame int32, {store.array} float32",
            remedy=remedy,
        )
    seen_by = arrays.get("seen_by")
    if seen_by is not None and (seen_by.dtype != bool or seen_by.ndim != 2 or len(seen_by) != len(frame)):
        raise DataError(
            f"a file of {store.name} of the wrong shape",
            path=path,
            found=f"seen_by {seen_by.dtype} {seen_by.shape}",
            expected=f"seen_by bool ({len(frame)}, sets)",
            remedy=remedy,
        )
    return frame.astype(np.int32, copy=False), score.astype(np.float32, copy=False), seen_by


def _index_of(run: Run, split: str, store: Store) -> ScoreIndex:
    """The split's index, parsed once as long as it is not written again."""
    path = _index_path(run, split, store)
    status = path.stat() if path.is_file() else None
    return _parsed(run, split, store, None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino))


@functools.lru_cache(maxsize=16)
def _parsed(run: Run, split: str, store: Store, version: tuple[int, int, int] | None) -> ScoreIndex:
    return read_index(run, split, store)


def write_record(run: Run, split: str, track: str, key: str, stamp: str, record: TrackRecord, store: Store = SCORES) -> None:
    """Notes what a track's scores were made from.

    `key` stands for checkpoint and settings, `stamp` for the names, sizes and times of the images.
    """
    value = {"key": key, "stamp": stamp, **asdict(record)}
    path = directory(run, split, store) / RECORDS / f"{track}.json"
    files.write_bytes(path, files.json_text(value).encode(), sync=False)


def read_record(run: Run, split: str, track: str, store: Store = SCORES) -> tuple[str, str, TrackRecord] | None:
    """The key, stamp and record of a track's scores, or None where there is none that can be read or the scores are damaged."""
    path = directory(run, split, store) / RECORDS / f"{track}.json"
    scores = directory(run, split, store) / f"{track}.npz"
    if not path.is_file() or not scores.is_file():
        return None
    try:
        value = files.read_json(path)
        key, stamp = value.pop("key"), value.pop("stamp")
        record = record_of(value)
        return (key, stamp, record) if _digest_of(scores) == record.scores else None
    except (DataError, TypeError, KeyError, AttributeError):
        return None


def _digest_of(path: Path) -> str:
    """sha256 of a file that this process does not read twice while it is the same: inode, size and both times of change."""
    status = path.stat()
    return _digest_once(path, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@functools.lru_cache(maxsize=100_000)
def _digest_once(path: Path, version: tuple[int, int, int, int]) -> str:
    return files.sha256(path)


def write_index(run: Run, split: str, index: ScoreIndex, store: Store = SCORES) -> None:
    """Writes scores.json: the scores of the split are complete from now on."""
    value = {
        "format": FORMAT,
        "class_names": list(index.class_names),
        "kind": index.kind,
        "checkpoint": index.checkpoint,
        "settings": dict(index.settings),
        # A list keeps the order of the split, which sorted JSON keys would not.
        "tracks": [{"track": name, **asdict(record)} for name, record in index.tracks.items()],
    }
    files.write_json(_index_path(run, split, store), value)


def remove_index(run: Run, split: str, store: Store = SCORES) -> None:
    """Takes scores.json away: the scores of the split are not complete."""
    files.remove(_index_path(run, split, store))


def read_index(run: Run, split: str, store: Store = SCORES) -> ScoreIndex:
    """The contents of a split's scores.json. Raises DataError if the run has no complete scores of that split."""
    path = _index_path(run, split, store)
    if not path.is_file():
        raise _incomplete(run, split, store)
    value = files.read_json(path)
    try:
        if value["format"] != FORMAT or value["kind"] not in store.kinds:
            raise KeyError("format")
        if store is SCORES and tuple(value["class_names"]) != run.class_names:
            raise DataError(
                "the scores are of other classes, or of the same in another order, than the run",
                path=path,
                found=", ".join(map(str, value["class_names"])),
                expected=", ".join(run.class_names),
                remedy=scoring_remedy(run, split.removesuffix(FLIPPED), split.endswith(FLIPPED)),
            )
        if not isinstance(value["checkpoint"], str | None) or not isinstance(value["settings"], dict):
            raise TypeError("neither a checkpoint nor settings")
        tracks = {}
        for entry in value["tracks"]:
            name = entry.pop("track")
            tracks[name] = record_of(entry)
        return ScoreIndex(tuple(value["class_names"]), value["kind"], value["checkpoint"], value["settings"], tracks)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not an index of {store.name}", path=path, remedy=_remedy(run, split, store)) from error


def _incomplete(run: Run, split: str, store: Store) -> DataError:
    return DataError(
        f"the run {run.name!r} has no complete {store.name} of split {split!r}",
        path=_index_path(run, split, store),
        found=f"complete: {', '.join(run.splits(store.name)) or 'none'}",
        remedy=_remedy(run, split, store),
    )


def refuse_written_anew(run: Run, split: str, was: ScoreIndex | str | None) -> None:
    """Raises MismatchError if the index of a split is not what it `was`, by itself or by its index_digest, when it was read."""
    now = read_index(run, split) if isinstance(was, ScoreIndex) else index_digest(run, split)
    if now != was:
        raise MismatchError(
            f"the run {run.name!r} was rewritten while its scores were read",
            path=run.path,
            remedy="run the same command again",
        )


def tracks_digest(index: ScoreIndex) -> str:
    """sha256 over the names of an index's tracks and the sha256 of their score files."""
    return files.sha256_of_bytes("\n".join(f"{name} {record.scores}" for name, record in index.tracks.items()).encode())


def index_digest(run: Run, split: str) -> str:
    """sha256 of a split's scores.json, which stands for all of its scores. Raises DataError where they are not complete."""
    path = _index_path(run, split, SCORES)
    if not path.is_file():
        raise _incomplete(run, split, SCORES)
    return files.sha256(path)


def write_split(
    run: Run,
    split: str,
    scores: Mapping[str, TrackScores],
    rows: Mapping[str, tuple[int, str]],
    kind: str,
    settings: Mapping[str, Any],
) -> None:
    """Stores a whole split at once, as ensembles and imports do.

    `rows` gives (rows, rows_from) for each track, in the order of the split.
    """
    tracks = {}
    for name, (count, source) in rows.items():
        digest = write_track(run, split, name, scores[name])
        tracks[name] = TrackRecord(count, source, len(scores[name].frame), (), 0, "", digest)
    write_index(run, split, ScoreIndex(run.class_names, kind, None, settings, tracks))
