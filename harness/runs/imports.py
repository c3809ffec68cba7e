"""Foreign probabilities as runs: each array of an outside file becomes a run like any other."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError, UsageError, near_names
from harness.findings import printable
from harness.runs import provenance, scores, store
from harness.runs.arrays import announced, not_arrays, unpack
from harness.runs.scores import TrackScores
from harness.runs.store import Run

MOST_ARRAYS = 256
MOST_CLASSES = 64

# Foreign class orders under one name each. Contempt has no class of its own in the competition and is given to Other.
CLASS_ORDERS = {
    "EXPR": EXPR.class_names,
    "AffectNet": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Other"),
    "RAF-DB": ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"),
    "FERPlus": ("Neutral", "Happiness", "Surprise", "Sadness", "Anger", "Disgust", "Fear", "Other"),
}

# Rows of float16 probabilities of eight classes sum to 1 within a few thousandths.
SUM_TOLERANCE = 0.02
# Numbers that were rounded to so many digits are told by them; fewer than two digits are no probabilities any more.
FEWEST_DIGITS, MOST_DIGITS = 2, 4
# What binary fractions add to a difference of decimals.
EXACT = 1e-9


@dataclass(frozen=True, eq=False)
class ForeignScores:
    """An outside file: `track` (N,) names, `frame` (N,) int64 numbers, arrays (N, C) by name, and what is to be said of them."""

    path: Path
    sha256: str
    track: NDArray[np.str_]
    frame: NDArray[np.int64]
    arrays: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...] = ()


def parse_classes(text: str) -> tuple[str, ...]:
    """The class names of a foreign array's columns: names with commas between, or the name of a known order.

    Raises UsageError for a name the challenge does not have, or one that stands twice.
    """
    known = {name.lower(): order for name, order in CLASS_ORDERS.items()}
    if text.lower() in known:
        return known[text.lower()]
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in EXPR.class_names:
            raise UsageError(
                f"unknown class {name!r}", expected=near_names(name, [*EXPR.class_names, *CLASS_ORDERS]), remedy="use these names"
            )
    if len(set(names)) != len(names):
        raise UsageError("a class stands twice", found=text)
    return names


def read_foreign(path: Path, classes: Sequence[str], most_rows: int | None = None) -> ForeignScores:
    """Reads an npz file with arrays `track`, `frame` and any number of arrays (N, C) of probabilities of `classes`.

    The columns are put into the challenge's order; classes the file does not have get probability 0. A file with more than
    `most_rows` rows is refused before it is unpacked. Raises DataError naming array and row for anything that is no probability.
    """
    try:
        refuse_bomb(path, most_rows, longest_row=MOST_CLASSES * 16)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error
    content = unpack(path, path)
    if "track" not in content or "frame" not in content:
        raise DataError(
            "the file has no `track` and `frame`", path=path, found=", ".join(content), expected="arrays track and frame"
        )
    track, frame = content.pop("track"), content.pop("frame")
    if track.ndim != 1 or track.shape != frame.shape or track.dtype.kind != "U" or frame.dtype.kind not in "iu":
        raise DataError(
            "`track` must be names (N,) and `frame` numbers (N,)",
            path=path,
            found=f"{track.dtype} {track.shape}, {frame.dtype} {frame.shape}",
        )
    if not content:
        raise DataError("the file has no probabilities", path=path, expected="arrays of shape (N, number of classes)")
    order = [EXPR.class_names.index(name) for name in classes]
    arrays, notes = {}, []
    for name, values in content.items():
        notes += _check_probabilities(path, name, values, len(track), len(classes))
        arranged = np.zeros((len(track), len(EXPR.class_names)))
        arranged[:, order] = values.astype(np.float64) / values.astype(np.float64).sum(axis=1, keepdims=True)
        arrays[name] = arranged
    return ForeignScores(path, files.sha256(path), track, frame.astype(np.int64), arrays, tuple(notes))


def refuse_bomb(path: Path, most_rows: int | None, longest_row: int) -> None:
    """Raises DataError if what the arrays say of themselves would not fit the data, whatever the file's own size.

    `longest_row` is the number of bytes that a row of an array may have, a name aside.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ARRAYS:
            raise DataError("too many arrays", path=path, found=f"{len(entries):,}", expected=f"at most {MOST_ARRAYS}")
        for entry in entries:
            if not entry.filename.endswith(".npy"):
                raise DataError(f"the member {printable(entry.filename)!r} is no array", path=path, expected="only .npy members")
            with archive.open(entry) as member:
                shape, _, dtype = announced(member)
            name = printable(entry.filename.removesuffix(".npy"))
            if most_rows is not None and len(shape) and shape[0] > most_rows:
                raise DataError(
                    f"the array {name!r} has more rows than the data has frames",
                    path=path,
                    found=f"{shape[0]:,}",
                    expected=f"at most {most_rows:,}",
                    remedy="name the right root with --data",
                )
            if math.prod(shape[1:]) * dtype.itemsize > max(longest_row, 4 * files.LONGEST_NAME):
                raise DataError(f"a row of the array {name!r} is too long", path=path, found=f"{dtype} {shape}")


def _check_probabilities(path: Path, name: str, values: NDArray[Any], count: int, classes: int) -> list[str]:
    """What is to be said of rows that sum to 1 but for their rounding. Raises DataError for what holds no probabilities."""
    if values.shape != (count, classes) or values.dtype.kind != "f":
        raise DataError(
            f"the array {name!r} does not fit",
            path=path,
            found=f"{values.dtype} {values.shape}",
            expected=f"floating point ({count}, {classes}): a row for each track and frame, a column for each class",
            remedy="--classes names the columns in the file's order",
        )
    sums = values.astype(np.float64).sum(axis=1)
    digits = _digits_of(values)
    allowed = SUM_TOLERANCE if digits is None else max(SUM_TOLERANCE, classes * 0.5 * 10.0**-digits)
    off = np.abs(sums - 1)
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (off > allowed + EXACT)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"row {row + 1} of the array {name!r} holds no probabilities ({int(wrong.sum())} such rows)",
            path=path,
            found=str([round(float(value), 4) for value in values[row]]),
            expected="numbers from 0 on that sum to 1",
        )
    rounded = int((off > SUM_TOLERANCE + EXACT).sum())
    if not rounded:
        return []
    return [f"{rounded:,} rows of {name!r} sum to 1 within their rounding to {digits} digits alone, and are made to"]


def _digits_of(values: NDArray[Any]) -> int | None:
    """To how many digits (FEWEST_DIGITS to MOST_DIGITS) all values were rounded; None where they were not."""
    numbers = values.astype(np.float64)
    step = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        if np.abs(numbers - np.round(numbers, digits)).max(initial=0.0) <= max(EXACT, float(step)):
            return digits
    return None


def import_runs(outside: ForeignScores, root: DataRoot, prefix: str, fresh: bool) -> list[tuple[Run, dict[str, int]]]:
    """Makes a run of each array; returns each with the number of scored frames per split.

    Raises MismatchError naming tracks or frames that the data root does not have.
    """
    order = np.lexsort((outside.frame, outside.track))
    names, starts = np.unique(outside.track[order], return_index=True)
    groups = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))
    refuse_foreign_rows(outside.path, outside.frame, groups, root)
    made = []
    with contextlib.ExitStack() as stack:  # all of them, or none where one cannot be made
        for name, values in outside.arrays.items():
            path = store.path_of(prefix + name)
            run = stack.enter_context(store.opened(path, _manifest(outside, name, root), fresh))
            made.append((Run(path), _write(run, outside, groups, values, root)))
    return made


def without_scores(outside: ForeignScores, root: DataRoot) -> dict[str, list[str]]:
    """The tracks that have images and no row in the file, by the splits of which it has others."""
    scored = set(outside.track.tolist())
    splits = dict.fromkeys(track.split for track in root.tracks if track.name in scored)
    missing = {
        split: [track.name for track in root.tracks if track.split == split and len(track.frames) and track.name not in scored]
        for split in splits
    }
    return {split: names for split, names in missing.items() if names}


def _manifest(outside: ForeignScores, name: str, root: DataRoot) -> dict[str, Any]:
    return {
        "kind": "import",
        "challenge": EXPR.name,
        "class_names": list(EXPR.class_names),
        "source": f"{outside.path.name}:{name}",
        "sha256": outside.sha256,
        "data": root.identity(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(root.path.resolve())},
    }


def refuse_foreign_rows(path: Path, frame: NDArray[np.int64], groups: Mapping[str, NDArray[np.int64]], root: DataRoot) -> None:
    """Raises MismatchError naming tracks the data root does not have, and frames that stand twice or that a track does not have.

    Frames counted from 0 show by a frame 0 or, where no track has one, by the images: each frame after one of the file has one,
    and not each of the file itself. `groups` gives the rows of each track in a file, in the order of their numbers in `frame`.
    """
    tracks = {track.name: track for track in root.tracks}
    faults = []
    seen = after = 0
    for name, rows in groups.items():
        numbers = frame[rows]
        track = tracks.get(name)
        if track is None:
            faults.append(f"{name}: not a track of {root.path}")
        elif len(np.unique(numbers)) != len(numbers):
            faults.append(f"{name}: frame {int(numbers[1:][np.diff(numbers) == 0][0])} stands twice")
        elif numbers.min() < 1 or numbers.max() > track.rows:
            worst = int(numbers.max() if numbers.max() > track.rows else numbers.min())
            faults.append(f"{name}: frame {worst} is outside 1..{track.rows}")
        else:
            seen += np.isin(numbers, track.frames).sum()
            after += np.isin(numbers + 1, track.frames).sum()
    if not faults and seen < after == len(frame):
        raise MismatchError(
            "the frames of the file seem to be counted from 0",
            path=path,
            found=f"{len(frame) - int(seen):,} of {len(frame):,} frames have no image, and each frame after one of them has",
            expected="frames counted from 1, as images are",
            remedy="add 1 to the frames of the file",
        )
    if faults:
        raise MismatchError(
            f"the file does not belong to this data root ({len(faults)} tracks)",
            path=path,
            found="\n    ".join(["", *faults[:8]]),
            remedy="name the right root with --data",
        )


def _write(
    run: Run, outside: ForeignScores, groups: dict[str, NDArray[np.int64]], values: NDArray[np.float64], root: DataRoot
) -> dict[str, int]:
    counts = {}
    for split in dict.fromkeys(track.split for track in root.tracks):
        tracks: list[Track] = [track for track in root.tracks if track.split == split]
        if not any(track.name in groups for track in tracks):
            continue
        stored = {}
        for track in tracks:
            rows = groups.get(track.name, np.empty(0, dtype=np.int64))
            stored[track.name] = TrackScores(outside.frame[rows].astype(np.int32), values[rows].astype(np.float32))
        sizes = {track.name: (track.rows, track.rows_from) for track in tracks}
        scores.write_split(run, split, stored, sizes, "probabilities", {"source": outside.path.name})
        counts[split] = sum(len(item.frame) for item in stored.values())
    return counts
