"""Extra labelled faces: a table of image files with labels in the class order of another data set.

A team writes one CSV with the columns path and label, and says in which order the numbers are: `--extra images.csv` with a third
column `order`, or one order for the whole file. Words may stand in for numbers. Images of classes that EXPR does not have
(contempt, uncertain, no face) are left out and counted. A data set that lacks a class must not teach that nothing is of that
class: `known_classes` says which logits its images may be compared with.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR
from harness.data.csv_table import read_columns
from harness.data.tracks import Track, class_counts
from harness.errors import DataError, UsageError, near_names

LARGEST_FILE = 1024 * 1024 * 1024

# Class numbers of each data set. None: a class EXPR does not have, its images are left out.
ORDERS: Mapping[str, Mapping[int, str | None]] = {
    "abaw": dict(enumerate(EXPR.class_names)),
    # Mollahosseini et al. 2017, the eleven categories of the manual annotations.
    "affectnet": {
        **dict(enumerate(("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger"))),
        **dict.fromkeys(range(7, 11)),
    },
    # Li et al. 2017, list_patition_label.txt of the basic subset; counted from 1.
    "raf-db": dict(enumerate(("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"), 1)),
    # Barsoum et al. 2016, the columns of fer2013new.csv; the last are contempt, unknown and no face.
    "ferplus": {
        **dict(enumerate(("Neutral", "Happiness", "Surprise", "Sadness", "Anger", "Disgust", "Fear"))),
        **dict.fromkeys(range(7, 10)),
    },
    # Zhang et al. 2015, label.lst.
    "expw": dict(enumerate(("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral"))),
}
# Words for the classes as these data sets and their users spell them.
WORDS: Mapping[str, str | None] = {
    **{name.lower(): name for name in EXPR.class_names},
    "angry": "Anger",
    "disgusted": "Disgust",
    "fearful": "Fear",
    "happy": "Happiness",
    "joy": "Happiness",
    "sad": "Sadness",
    "surprised": "Surprise",
    **dict.fromkeys(("contempt", "none", "uncertain", "unknown", "no-face", "nf")),
}


@dataclass(frozen=True, eq=False)
class ExtraFaces:
    """Extra labelled images, as tracks that training can mix in.

    Attributes
    ----------
    tracks : one for each class order that occurs, of split "train"; frame k is the k-th of its images. Their names can be no
        folder's and their frame order means nothing.
    known_classes : (tracks, 8) bool, which classes a track's data set can show; the others are to be masked in its loss.
    left_out : images of classes that EXPR does not have, by the label in the file.
    sha256 : of the CSV file's bytes.
    name : of the CSV file, without its folder.
    """

    tracks: tuple[Track, ...]
    known_classes: NDArray[np.bool_]
    left_out: Mapping[str, int]
    sha256: str
    name: str

    def provenance(self) -> dict[str, Any]:
        """What a run's manifest has to say of these images; a function of the file alone, not of where it lies."""
        return {
            "file": self.name,
            "sha256": self.sha256,
            "images": {track.recording: len(track.frames) for track in self.tracks},
            "frames_of_class": {track.recording: class_counts(track.labels).tolist() for track in self.tracks},
            "left_out": dict(sorted(self.left_out.items())),
        }


def read_extra(path: str | Path, order: str | None = None) -> ExtraFaces:
    """Reads a table of extra faces.

    Parameters
    ----------
    path : CSV with the columns path and label, and perhaps order; paths are relative to the folder of the CSV.
    order : the class order of numbers where the file has no such column: a key of ORDERS.

    Raises UsageError for an unknown or missing order, DataError naming file and line for a label or an image that is not there,
    and for an image with two labels.
    """
    path = Path(path)
    if order is not None and order not in ORDERS:
        raise UsageError(f"unknown class order {order!r}", expected=near_names(order, list(ORDERS)))
    data = files.read_bytes(path, LARGEST_FILE)
    rows = _rows(path, data, order)
    left_out = Counter(text for _, text, _, label in rows if label is None)
    kept = [(row_order, image, label) for row_order, _, image, label in rows if label is not None]
    if not kept:
        raise DataError("there are no images to learn from", path=path, found=f"{len(rows)} rows, none of an EXPR class")
    orders = sorted({row_order for row_order, _, _ in kept})
    tracks = [_track(path, name, [(image, label) for row_order, image, label in kept if row_order == name]) for name in orders]
    known = np.stack([_known_classes(name, track) for name, track in zip(orders, tracks, strict=True)])
    return ExtraFaces(tuple(tracks), known, dict(left_out), hashlib.sha256(data).hexdigest(), path.name)


def _rows(path: Path, data: bytes, order: str | None) -> list[tuple[str, str, str, str | None]]:
    """(order, label as written, image, class or None) of each row."""
    columns, table = read_columns(data, path)
    if not {"path", "label"} <= set(columns):
        raise DataError("not a table of labelled images", path=path, line=1, found=",".join(columns)[:80], expected="path,label")
    rows = []
    given: dict[str, tuple[str | None, str, int]] = {}
    for line, row in table:
        image, text = row["path"].strip(), row["label"].strip()
        row_order = row.get("order", "").strip().lower() or order or ""
        if row_order and row_order not in ORDERS:
            raise DataError(
                f"unknown class order {row_order!r}",
                path=path,
                line=line,
                expected=near_names(row_order, list(ORDERS)),
            )
        if not image or not os.path.isfile(path.parent / image):
            raise DataError("there is no such image", path=path, line=line, found=image or "no path")
        label = _class_of(path, line, text, row_order)
        earlier, words, first = given.setdefault(os.path.normpath(path.parent / image), (label, text, line))
        if label != earlier:
            expected = f"{words}, as in line {first}"
            raise DataError("an image has two labels", path=path, line=line, found=f"{image}, {text}", expected=expected)
        rows.append((row_order or "abaw", text, image, label))
    return rows


def _class_of(path: Path, line: int, text: str, order: str) -> str | None:
    """The EXPR class of a label, None for a class that EXPR does not have."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if text.isascii() and text.isdigit() and not order:
        raise UsageError(
            "numbers as labels mean nothing without a class order",
            path=path,
            line=line,
            found=text,
            remedy=f"add a column `order`, or name the order of the whole file; known: {', '.join(ORDERS)}",
        )
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) not in ORDERS[order]:
        expected = f"a class name, or {min(ORDERS[order])} to {max(ORDERS[order])}" if order else "a class name"
        raise DataError("unknown label", path=path, line=line, found=repr(text[:80]), expected=expected)
    return ORDERS[order][int(text)]


def _track(path: Path, order: str, images: Sequence[tuple[str, str]]) -> Track:
    name = f"{path.name}:{order}"
    return Track(
        name=name,
        recording=name,
        split="train",
        rows=len(images),
        rows_from="annotation",
        frames=np.arange(1, len(images) + 1, dtype=np.int32),
        labels=np.array([EXPR.class_names.index(label) for _, label in images], np.int8),
        directory=path.parent,
        odd_names={frame: image for frame, (image, _) in enumerate(images, 1)},
        annotation=path,
    )


def _known_classes(order: str, track: Track) -> NDArray[np.bool_]:
    """The classes a data set can show: those of its order; of a team's own images those that occur."""
    if order == "abaw":
        return class_counts(track.labels) > 0
    return np.isin(EXPR.class_names, [name for name in ORDERS[order].values() if name is not None])
