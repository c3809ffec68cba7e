"""Extra labelled faces: a table of image files with labels of other data sets.

A team writes one CSV with the column path and those of the challenge: `label` for a class, `valence` and `arousal`, and a column
for each unit, AU1, AU2, .... Of class numbers it says in which order they are: a column `order`, or one order for the whole file
(`--extra-order`); words may stand in for numbers. What a data set does not label is empty, or has no column. Images without any
label of the challenge (contempt, uncertain, no face) are left out and counted. A data set that lacks a class must not teach that
nothing is of that class: `known` says which columns its images may be compared with.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import COMPOUND_CLASSES, EXPR, EXPR_CLASSES, Challenge, Field
from harness.data.csv_table import read_columns
from harness.data.tracks import Track, is_labelled
from harness.errors import DataError, UsageError, near_names
from harness.kinds.parts import parts_of
from harness.words import counted

LARGEST_FILE = 1024 * 1024 * 1024

# Class numbers of each data set. None: a class that expressions do not have; its images have no class label.
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
# Compound expressions: nobody has published how other data sets number them, but words say them everywhere.
COMPOUND_ORDERS: Mapping[str, Mapping[int, str | None]] = {"abaw": dict(enumerate(COMPOUND_CLASSES))}
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
COMPOUND_WORDS: Mapping[str, str | None] = {name.lower(): name for name in COMPOUND_CLASSES}
# The class orders, and the words, of challenges with these classes.
_CLASSES = {EXPR_CLASSES: (ORDERS, WORDS), COMPOUND_CLASSES: (COMPOUND_ORDERS, COMPOUND_WORDS)}
# What stands where nobody labelled a number: nothing, what the competition writes, and what AffectNet (no face, uncertain) and
# EmotioNet (cannot be seen) write.
UNLABELLED = {"real": ("", "-5", "-2"), "unit": ("", "-1", "999")}
LABEL = "label"


@dataclass(frozen=True, eq=False)
class ExtraFaces:
    """Extra labelled images of a challenge, as tracks that training can mix in.

    Attributes
    ----------
    tracks : one for each class order that occurs, of split "train"; frame k is the k-th of its images. Their names can be no
        folder's and their frame order means nothing.
    known : (tracks, columns) bool, which columns of the scores a track's data set can show; the others are to be masked in its
        loss. Only classes are ever hidden: a value or a unit that is not labelled is left out by itself.
    left_out : images without any label of the challenge, by what stands in the file: its class, else its columns.
    sha256 : of the CSV file's bytes.
    name : of the CSV file, without its folder.
    challenge : whose labels they have.
    """

    tracks: tuple[Track, ...]
    known: NDArray[np.bool_]
    left_out: Mapping[str, int]
    sha256: str
    name: str
    challenge: Challenge = EXPR

    def provenance(self) -> dict[str, Any]:
        """What a run's manifest has to say of these images; a function of the file alone, not of where it lies.

        `frames_of_class` counts by the challenge's strata: classes, active units, parts of a value's range.
        """
        counts = {track.recording: parts_of(self.challenge).count(_labels(track)).tolist() for track in self.tracks}
        return {
            "file": self.name,
            "sha256": self.sha256,
            "images": {track.recording: len(track.frames) for track in self.tracks},
            "frames_of_class": counts,
            "left_out": dict(sorted(self.left_out.items())),
        }


def _labels(track: Track) -> NDArray:
    assert track.labels is not None
    return track.labels


@dataclass(frozen=True)
class _Row:
    """A line of the table: its number, the image's path, the class order, and what each field of the challenge is labelled."""

    line: int
    image: str
    order: str
    labels: tuple[float, ...]
    written: str


def read_extra(path: str | Path, order: str | None = None, challenge: Challenge = EXPR) -> ExtraFaces:
    """Reads a table of extra faces.

    Parameters
    ----------
    path : CSV with the columns path and any of label, valence, arousal and the units, and perhaps order; paths are relative to
        the folder of the CSV. Columns that are not the challenge's say nothing.
    order : the class order of numbers where the file has no such column: a key of ORDERS.
    challenge : whose labels are read.

    Raises UsageError for an unknown or missing order, DataError naming file and line for a label or an image that is not there,
    and for an image with two labels.
    """
    path = Path(path)
    orders = _classes_of(challenge)[0] or ORDERS
    if order is not None and order not in orders:
        raise UsageError(f"unknown class order {order!r}", expected=near_names(order, list(orders)))
    data = files.read_bytes(path, LARGEST_FILE)
    rows = _rows(path, data, order, challenge)
    kept = [row for row in rows if row.labels != challenge.ignored]
    if not kept:
        expected = f"labels in {_some(_columns_of(challenge))}"
        raise DataError(
            f"there are no images to learn {challenge.name} from",
            path=path,
            found=f"{counted(len(rows), 'row')} without",
            expected=expected,
        )
    names = sorted({row.order for row in kept})
    tracks = [_track(path, name, [row for row in kept if row.order == name], challenge) for name in names]
    known = np.stack([_known(name, track, challenge) for name, track in zip(names, tracks, strict=True)])
    left_out = Counter(row.written for row in rows if row.labels == challenge.ignored)
    return ExtraFaces(tuple(tracks), known, dict(left_out), hashlib.sha256(data).hexdigest(), path.name, challenge)


def _columns_of(challenge: Challenge) -> tuple[str, ...]:
    """The column of the table that each field is read from."""
    return tuple(_COLUMN.get(field.kind, field.name) for field in challenge.fields)


_COLUMN = {"class": LABEL}


def _some(names: Sequence[str]) -> str:
    return ",".join(names[:3]) + (",..." if len(names) > 3 else "")


def _classes_of(challenge: Challenge) -> tuple[Mapping[str, Mapping[int, str | None]], Mapping[str, str | None]]:
    """The class orders and the words of a challenge; none where it has no classes."""
    return _CLASSES.get(challenge.class_names, ({}, {}))


def _rows(path: Path, data: bytes, order: str | None, challenge: Challenge) -> list[_Row]:
    columns, table = read_columns(data, path)
    wanted = _columns_of(challenge)
    if "path" not in columns or not set(wanted) & set(columns):
        expected = f"path,{_some(wanted)}"
        raise DataError("not a table of labelled images", path=path, line=1, found=",".join(columns)[:80], expected=expected)
    orders = _classes_of(challenge)[0] or ORDERS
    rows = []
    given: dict[str, _Row] = {}
    for line, cells in table:
        image = cells["path"].strip()
        own = cells.get("order", "").strip().lower() or order or ""
        if own and own not in orders:
            raise DataError(f"unknown class order {own!r}", path=path, line=line, expected=near_names(own, list(orders)))
        if not image or not os.path.isfile(path.parent / image):
            raise DataError("there is no such image", path=path, line=line, found=image or "no path")
        texts = [cells[column].strip() if column in columns else "" for column in wanted]
        labels = tuple(
            _READERS[field.kind](path, line, text, field, own, challenge)
            for field, text in zip(challenge.fields, texts, strict=True)
        )
        written = ",".join(texts).strip(",") or "no label"
        row = _Row(line, image, own or "abaw", labels, written)
        earlier = given.setdefault(os.path.normpath(path.parent / image), row)
        if earlier.labels != row.labels:
            expected = f"{earlier.written}, as in line {earlier.line}"
            raise DataError("an image has two labels", path=path, line=line, found=f"{image}, {written}", expected=expected)
        rows.append(row)
    return rows


def _class(path: Path, line: int, text: str, field: Field, order: str, challenge: Challenge) -> float:
    """The number of a class; the field's `ignore` for a class that the challenge does not have, and where nothing is written."""
    orders, words = _classes_of(challenge)
    spelled = text.lower() if text.lower() in words else text.lower().replace(" ", "_")
    if not text and len(challenge.fields) > 1:
        return field.ignore
    if spelled in words:
        name = words[spelled]
    elif text.isascii() and text.isdigit() and not order:
        raise UsageError(
            "numbers as labels mean nothing without a class order",
            path=path,
            line=line,
            found=text,
            remedy=f"add a column `order`, or name the order of the whole file; known: {', '.join(orders)}",
        )
    elif not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) not in orders[order]:
        expected = f"a class name, or {min(orders[order])} to {max(orders[order])}" if order else "a class name"
        raise DataError("unknown label", path=path, line=line, found=repr(text[:80]), expected=expected)
    else:
        name = orders[order][int(text)]
    return field.ignore if name is None else challenge.class_names.index(name)


def _number(path: Path, line: int, text: str, field: Field, order: str, challenge: Challenge) -> float:
    """A value in the field's range, or its `ignore`."""
    if _is_unlabelled(text, "real"):
        return field.ignore
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not field.low <= value <= field.high:
        raise _no_label(path, line, field, text, f"a number from {field.low} to {field.high}, or nothing")
    return value


def _unit(path: Path, line: int, text: str, field: Field, order: str, challenge: Challenge) -> float:
    """1 for an active unit, 0 for one that is not, or the field's `ignore`."""
    if _is_unlabelled(text, "unit"):
        return field.ignore
    if text not in ("0", "1", "0.0", "1.0"):
        raise _no_label(path, line, field, text, "0, 1, or nothing")
    return float(text)


def _is_unlabelled(text: str, kind: str) -> bool:
    return text.removesuffix(".0") in UNLABELLED[kind]


def _no_label(path: Path, line: int, field: Field, text: str, expected: str) -> DataError:
    return DataError(f"{field.name} is not a label", path=path, line=line, found=repr(text[:80]), expected=expected)


_READERS = {"class": _class, "real": _number, "unit": _unit}


def _track(path: Path, order: str, rows: Sequence[_Row], challenge: Challenge) -> Track:
    name = f"{path.name}:{order}"
    labels = np.array([row.labels for row in rows], np.int8 if challenge.integral else np.float64)
    return Track(
        name=name,
        recording=name,
        split="train",
        rows=len(rows),
        rows_from="annotation",
        frames=np.arange(1, len(rows) + 1, dtype=np.int32),
        labels=labels[:, 0] if labels.shape[1] == 1 else labels,
        directory=path.parent,
        odd_names={frame: row.image for frame, row in enumerate(rows, 1)},
        annotation=path,
    )


def _known(order: str, track: Track, challenge: Challenge) -> NDArray[np.bool_]:
    """The columns (columns,) a data set can show: of classes those of its order; of a team's own images those that occur."""
    parts, labels = parts_of(challenge), _labels(track)
    shown: set[str | None]
    if order != "abaw":
        shown = set(_classes_of(challenge)[0].get(order, {}).values())
    else:
        whole = labels.reshape(len(labels), -1)
        place = next((place for place, field in enumerate(challenge.fields) if _COLUMN.get(field.kind) == LABEL), None)
        shown = set()
        if place is not None:
            numbers = whole[is_labelled(labels, challenge)[:, place], place].astype(int).tolist()
            shown = {challenge.class_names[number] for number in numbers}
    hidden = set(challenge.class_names) - shown if shown & set(challenge.class_names) else set()
    return np.array([column not in hidden for column in parts.columns])
