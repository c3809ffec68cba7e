"""Tracks and data roots: what the rest of the house knows about data on disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR, Challenge
from harness.errors import DataError, UsageError, near_names

SPLITS = ("train", "val", "test")

OUT_OF_FOLD = "oof"
"""Training and validation together, as out-of-fold scores cover them: each track scored by a model that never saw it."""

# The file by which the embedded data set says what it is.
EMBEDDED_MANIFEST = "demo-data.json"

# Only these two suffixes name a person of a recording; a trailing `-k` or `_k` is a recording of its own.
_PERSON = re.compile(r"_(left|right)$")


def recording_of(track_name: str) -> str:
    """The recording a track was filmed in: its name without `_left` or `_right`."""
    return _PERSON.sub("", track_name)


@dataclass(frozen=True, eq=False)
class Track:
    """One annotated person in a recording.

    Attributes
    ----------
    name : crop folder and annotation stem.
    recording : the raw video; both persons of one video share it.
    split : "train", "val" or "test".
    rows : frames 1, 2, 3, ... that the track has: lines a submission needs for it, where it needs one for each frame.
    rows_from : which authority said so: "sample", "annotation" or "images".
    frames : (S,) int32, sorted 1-based numbers of the frames that have an image, none above `rows`.
    labels : (rows,) int8, a class or -1 for "not labelled"; of a challenge with several numbers in a row (rows, fields), int8
        where all are whole, else float64, each with its field's value for "not labelled". None where the split has no labels.
    asked : (R,) int32, the frames of the lines a submission needs, in their order, where it does not need one for each of
        `rows`: the multi-task lists name some frames, and some of them twice. Each copy gets the same answer. Labels of a frame
        that stands twice are those of its first line that has them.
    directory : folder of its images; it need not exist when `frames` is empty.
    frame_rate : frames per second of the recording, None when unknown.
    suffix : file suffix of images that are named in the official way, five digits.
    odd_names : file names of the images that are named in another way, by frame.
    clipped : images beyond the last row, which are not in `frames`.
    annotation : the label file, None where the split has none.
    annotation_sha256 : sha256 of its bytes.
    packed : the packed file of its images when a fresh one exists.
    """

    name: str
    recording: str
    split: str
    rows: int
    rows_from: str
    frames: NDArray[np.int32]
    labels: NDArray[Any] | None
    directory: Path
    frame_rate: float | None = None
    suffix: str = ".jpg"
    odd_names: Mapping[int, str] = field(default_factory=dict)
    clipped: int = 0
    annotation: Path | None = None
    annotation_sha256: str | None = None
    packed: Path | None = None
    asked: NDArray[np.int32] | None = None

    @property
    def lines(self) -> int:
        """How many lines a submission needs for the track."""
        return self.rows if self.asked is None else len(self.asked)

    def of_lines(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Of what the track's rows are (rows, ...), that of the lines a submission needs (lines, ...)."""
        return rows if self.asked is None else rows[self.asked - 1]

    def image_path(self, frame: int) -> Path:
        """The image of a 1-based frame number that is in `frames`."""
        return self.directory / self.odd_names.get(frame, f"{frame:05d}{self.suffix}")


def every_nth(frames: NDArray[np.int32], stride: int) -> NDArray[np.int32]:
    """Every stride-th of a track's frame numbers (S,), and the last, so that no tail has to be held."""
    chosen = frames[::stride]
    return chosen if not len(frames) or chosen[-1] == frames[-1] else np.append(chosen, frames[-1])


def class_counts(*labels: NDArray[np.int8] | None) -> NDArray[np.int64]:
    """(8,) labelled frames by class in labels (rows,) of any number of tracks together; None, and -1 in them, count nothing."""
    together = np.concatenate([np.zeros(0, np.int8), *(one for one in labels if one is not None)])
    return np.bincount(together[together >= 0], minlength=len(EXPR.class_names))


def is_labelled(labels: NDArray[Any], challenge: Challenge) -> NDArray[np.bool_]:
    """Which numbers of labels (rows,) or (rows, fields) somebody gave: (rows, fields)."""
    known: NDArray[np.bool_] = labels.reshape(len(labels), len(challenge.fields)) != np.array(challenge.ignored)
    return known


@dataclass(frozen=True, eq=False)
class DataRoot:
    """All tracks of a data set on disk.

    Attributes
    ----------
    path : the folder the user named.
    tracks : train, then val, each sorted by name; then test in the order of the official file.
    sample : official sample file of the test split, None when there is none.
    sample_sha256 : sha256 of its bytes.
    challenge : whose labels, lists and sample these are.
    embedded : whether it is the embedded data set, which demonstrates and is never sent.
    """

    path: Path
    tracks: tuple[Track, ...]
    sample: Path | None = None
    sample_sha256: str | None = None
    challenge: Challenge = EXPR
    embedded: bool = False

    def members(self, name: str) -> tuple[Track, ...]:
        """The tracks of one split, or of training and validation for OUT_OF_FOLD; none for any other name."""
        splits = ("train", "val") if name == OUT_OF_FOLD else (name,)
        return tuple(track for track in self.tracks if track.split in splits)

    def split(self, name: str) -> tuple[Track, ...]:
        """The same, but raises UsageError for a split that does not exist and DataError for one without tracks."""
        if name not in (*SPLITS, OUT_OF_FOLD):
            raise UsageError(f"unknown split {name!r}", expected=near_names(name, SPLITS))
        tracks = self.members(name)
        if not tracks:
            raise DataError(
                f"no tracks in the split {name!r}",
                path=self.path,
                remedy=f"check what the folder holds: harness doctor {self.path} --challenge {self.challenge.name}",
            )
        return tracks

    def identity(self) -> dict[str, Any]:
        """What run.json says of the data: the fingerprint, and `embedded` where it is the embedded data set."""
        return {"fingerprint": self.fingerprint()} | ({"embedded": True} if self.embedded else {})

    def fingerprint(self) -> str:
        """sha256 over track names, splits, rows, frame numbers, and the bytes of annotations and sample.

        The place of the data and the bytes of the images are not in it: a copy elsewhere has the same fingerprint.
        """
        digest = hashlib.sha256()
        for track in self.tracks:
            head = (track.split, track.name, str(track.rows), track.rows_from, track.annotation_sha256 or "-")
            digest.update("\0".join(head).encode("utf-8", "surrogateescape") + b"\n")
            digest.update(track.frames.astype("<i4").tobytes() + b"\n")
        digest.update((self.sample_sha256 or "-").encode("ascii"))
        return digest.hexdigest()
