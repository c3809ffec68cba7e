"""The score store: runs/<run>/scores/<split>/<track>.npz and, once every track is there, scores.json.

While a split is being scored, each finished track leaves its scores and a record of what they were made from (in `.records/`).
The record tells a later call whether the scores are still those of this checkpoint, these settings and these images.
scores.json is put together from the records when the last track is done, so it is the same whichever process comes last.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError
from harness.runs.store import Run

FORMAT = 1
LARGEST_TRACK = 2 * 1024**3
KINDS = ("logits", "probabilities")
RECORDS = ".records"


@dataclass(frozen=True, eq=False)
class TrackScores:
    """The scores of one track's seen frames: `frame` int32 (S,) ascending, 1-based; `score` float32 (S, C)."""

    frame: NDArray[np.int32]
    score: NDArray[np.float32]


@dataclass(frozen=True)
class TrackRecord:
    """What a track's scores were made from.

    Attributes
    ----------
    rows, rows_from : lines a submission needs for the track, and who says so.
    seen : number of frames scored.
    unreadable : frames whose image could not be read, counted as missing.
    skipped : frames with an image that were not scored on purpose.
    images : sha256 over the sha256 of each image's bytes, in frame order.
    scores : sha256 of the npz file.
    """

    rows: int
    rows_from: str
    seen: int
    unreadable: tuple[int, ...]
    skipped: int
    images: str
    scores: str


@dataclass(frozen=True)
class ScoreIndex:
    """scores.json: what the scores of one split are, and of which tracks, in the order of the split."""

    class_names: tuple[str, ...]
    kind: str
    checkpoint: str | None
    settings: Mapping[str, Any]
    tracks: Mapping[str, TrackRecord]

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each track, in the order of the split."""
        return {name: record.rows for name, record in self.tracks.items()}


def directory(run: Run, split: str) -> Path:
    """Where the scores of a split lie."""
    return run.path / "scores" / split


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an npz file of `arrays`: the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def write_track(run: Run, split: str, track: str, scores: TrackScores) -> str:
    """Stores the scores of one track, whole or not at all; returns the sha256 of the file.

    Raises DataError naming the frame if a score is not finite, ValueError if shapes or order are wrong.
    """
    frame = np.asarray(scores.frame, dtype=np.int32)
    score = np.asarray(scores.score, dtype=np.float32)
    if frame.ndim != 1 or score.ndim != 2 or len(frame) != len(score) or np.any(np.diff(frame) <= 0):
        raise ValueError(f"scores of {track}: frame {frame.shape} and score {score.shape} must be (S,) ascending and (S, C)")
    _refuse_not_finite(score, frame, track)
    data = npz_bytes({"frame": frame, "score": score})
    files.write_bytes(directory(run, split) / f"{files.safe_name(track, 'the track')}.npz", data, sync=False)
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


def read_track(run: Run, split: str, track: str) -> TrackScores:
    """The stored scores of one track. Raises DataError if the file is absent, damaged, or holds a number that is not finite."""
    path = directory(run, split) / f"{track}.npz"
    data = files.read_bytes(path, LARGEST_TRACK)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            frame, score = arrays["frame"], arrays["score"]
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(
            f"not a score file: {error}", path=path, expected="arrays `frame` and `score`", remedy="run `harness predict` again"
        ) from error
    if frame.ndim != 1 or score.ndim != 2 or len(frame) != len(score) or frame.dtype.kind not in "iu" or score.dtype.kind != "f":
        raise DataError(
            "a score file of the wrong shape",
            path=path,
            found=f"frame {frame.dtype} {frame.shape}, score {score.dtype} {score.shape}",
            expected="frame int32 (S,), score float32 (S, C)",
            remedy="run `harness predict` again",
        )
    frame = frame.astype(np.int32, copy=False)
    score = score.astype(np.float32, copy=False)
    _refuse_not_finite(score, frame, track, path)
    return TrackScores(frame, score)


def write_record(run: Run, split: str, track: str, key: str, stamp: str, record: TrackRecord) -> None:
    """Notes what a track's scores were made from.

    `key` stands for checkpoint and settings, `stamp` for the names, sizes and times of the images.
    """
    value = {"key": key, "stamp": stamp, **asdict(record)}
    path = directory(run, split) / RECORDS / f"{track}.json"
    files.write_bytes(path, files.json_text(value).encode(), sync=False)


def read_record(run: Run, split: str, track: str) -> tuple[str, str, TrackRecord] | None:
    """The key, stamp and record of a track's scores, or None where there is none that can be read or the scores are damaged."""
    path = directory(run, split) / RECORDS / f"{track}.json"
    scores = directory(run, split) / f"{track}.npz"
    if not path.is_file() or not scores.is_file():
        return None
    try:
        value = files.read_json(path)
        key, stamp = value.pop("key"), value.pop("stamp")
        record = TrackRecord(**{**value, "unreadable": tuple(value["unreadable"])})
        return (key, stamp, record) if files.sha256(scores) == record.scores else None
    except (DataError, TypeError, KeyError, AttributeError):
        return None


def write_index(run: Run, split: str, index: ScoreIndex) -> None:
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
    files.write_json(directory(run, split) / "scores.json", value)


def remove_index(run: Run, split: str) -> None:
    """Takes scores.json away: the scores of the split are not complete."""
    files.remove(directory(run, split) / "scores.json")


def read_index(run: Run, split: str) -> ScoreIndex:
    """The contents of a split's scores.json. Raises DataError if the run has no complete scores of that split."""
    path = directory(run, split) / "scores.json"
    if not path.is_file():
        there = ", ".join(run.splits()) or "none"
        raise DataError(
            f"the run {run.name!r} has no complete scores of split {split!r}",
            path=path,
            found=f"complete: {there}",
            remedy=f"`harness predict {run.name} --split {split.removesuffix('.flip')}{' --flip' * split.endswith('.flip')}`",
        )
    value = files.read_json(path)
    try:
        if value["format"] != FORMAT or value["kind"] not in KINDS:
            raise KeyError("format")
        tracks = {}
        for entry in value["tracks"]:
            name = entry.pop("track")
            tracks[name] = TrackRecord(**{**entry, "unreadable": tuple(entry["unreadable"])})
        return ScoreIndex(tuple(value["class_names"]), value["kind"], value["checkpoint"], value["settings"], tracks)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("not an index of scores", path=path, remedy=f"`harness predict {run.name} --split {split}`") from error


def index_digest(run: Run, split: str) -> str:
    """sha256 of a split's scores.json, which stands for all of its scores."""
    return files.sha256(directory(run, split) / "scores.json")


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


def read_split(run: Run, split: str) -> tuple[ScoreIndex, Sequence[str]]:
    """The index of a split and its track names in order."""
    index = read_index(run, split)
    return index, list(index.tracks)
