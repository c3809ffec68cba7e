"""Foreign probabilities as runs: each array of an outside file becomes a run like any other."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
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
from harness.runs.arrays import announced, joined_names, name_blocks, not_arrays, unpack
from harness.runs.scores import TrackScores
from harness.runs.store import Run

MOST_ARRAYS = 256
MOST_CLASSES = 64
USUAL_NAME = 64
"""Characters of a track's name in an outside file that are read in any case, so that one that is no track can be named."""

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


class ForeignArrays(Mapping[str, NDArray[np.float64]]):
    """The arrays of probabilities (N, C) in an outside file by name, each read and checked when it is asked for.

    So one of them at most is in memory, however many a file of kilobytes announces.
    """

    def __init__(self, path: Path, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
        self._path = path
        self._names = names
        self._columns = [EXPR.class_names.index(name) for name in classes]

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._names:
            raise KeyError(name)
        return self.read(name)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, name: str) -> tuple[NDArray[np.float64], list[str]]:
        """One array in the challenge's order, and what is to be said of it. Raises DataError for what holds no probabilities."""
        values = unpack(self._path, self._path, only=name)[name]
        notes = _check_probabilities(self._path, name, values)
        arranged = np.zeros((len(values), len(EXPR.class_names)))
        arranged[:, self._columns] = values.astype(np.float64) / values.astype(np.float64).sum(axis=1, keepdims=True)
        return arranged, notes


@dataclass(frozen=True, eq=False)
class ForeignScores:
    """An outside file: `track` (N,) names, `frame` (N,) int64 numbers, arrays (N, C) by name, and what is to be said of them."""

    path: Path
    sha256: str
    track: NDArray[np.str_]
    frame: NDArray[np.int64]
    arrays: Mapping[str, NDArray[np.float64]]
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


def read_foreign(
    path: Path, classes: Sequence[str], most_rows: int | None = None, longest_name: int = files.LONGEST_NAME
) -> ForeignScores:
    """Looks through an npz file with arrays `track`, `frame` and any number of arrays (N, C) of probabilities of `classes`.

    The columns are put into the challenge's order; classes the file does not have get probability 0. A file with more than
    `most_rows` rows, or an array that is of another shape than it must be, is refused before any of it is unpacked, and no more
    than one array of probabilities is in memory at a time. Raises DataError naming array and row for anything that is no
    probability, and for a name longer than `longest_name`.
    """
    try:
        heads = announced_arrays(path, most_rows, longest_row=MOST_CLASSES * 16)
        count = _rows_announced(path, heads)
        names = tuple(name for name in heads if name not in ("track", "frame"))
        for name in names:
            _check_shape(path, name, heads[name], count, len(classes))
        track = joined_names(path, name_blocks(path, "track"), longest_name)
        frame = unpack(path, path, only="frame")["frame"]
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error
    arrays = ForeignArrays(path, names, tuple(classes))
    notes = tuple(note for name in arrays for note in arrays.read(name)[1])
    return ForeignScores(path, files.sha256(path), track, frame.astype(np.int64), arrays, notes)


Head = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape of an array, whether it is in Fortran order, and its type."""


def _rows_announced(path: Path, heads: Mapping[str, Head]) -> int:
    """How many rows the file says that it has. Raises DataError if an array is missing, or `track` and `frame` do not fit."""
    if "track" not in heads or "frame" not in heads:
        raise DataError(
            "the file has no `track` and `frame`",
            path=path,
            found=", ".join(map(printable, heads)),
            expected="arrays track and frame",
        )
    (track, _, track_dtype), (frame, _, frame_dtype) = heads["track"], heads["frame"]
    if len(track) != 1 or track != frame or track_dtype.kind != "U" or frame_dtype.kind not in "iu":
        raise DataError(
            "`track` must be names (N,) and `frame` numbers (N,)",
            path=path,
            found=f"{track_dtype} {track}, {frame_dtype} {frame}",
        )
    if len(heads) == 2:
        raise DataError("the file has no probabilities", path=path, expected="arrays of shape (N, number of classes)")
    if not track[0]:
        raise DataError("the file has no rows", path=path, expected="a row for each track and frame")
    return track[0]


def _check_shape(path: Path, name: str, head: Head, count: int, classes: int) -> None:
    shape, _, dtype = head
    if shape != (count, classes) or dtype.kind != "f":
        raise DataError(
            f"the array {printable(name)!r} does not fit",
            path=path,
            found=f"{dtype} {shape}",
            expected=f"floating point ({count}, {classes}): a row for each track and frame, a column for each class",
            remedy="--classes names the columns in the file's order",
        )


def announced_arrays(path: Path, most_rows: int | None, longest_row: int) -> dict[str, Head]:
    """What the arrays of an npz file say of themselves; nothing of them is unpacked.

    Raises DataError if they would not fit the data, whatever the file's own size. `longest_row` is the number of bytes that a row
    of an array may have, a name aside.
    """
    heads = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ARRAYS:
            raise DataError("too many arrays", path=path, found=f"{len(entries):,}", expected=f"at most {MOST_ARRAYS}")
        for entry in entries:
            if not entry.filename.endswith(".npy"):
                raise DataError(f"the member {printable(entry.filename)!r} is no array", path=path, expected="only .npy members")
            with archive.open(entry) as member:
                shape, fortran, dtype = announced(member)
            heads[entry.filename.removesuffix(".npy")] = shape, fortran, dtype
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
    return heads


def longest_name(root: DataRoot) -> int:
    """How many characters the name of a track in an outside file may have."""
    return max([USUAL_NAME, *(len(track.name) for track in root.tracks)])


def _check_probabilities(path: Path, name: str, values: NDArray[Any]) -> list[str]:
    """What is to be said of rows that sum to 1 but for their rounding. Raises DataError for what holds no probabilities."""
    sums = values.astype(np.float64).sum(axis=1)
    digits = _digits_of(values)
    allowed = SUM_TOLERANCE if digits is None else max(SUM_TOLERANCE, values.shape[1] * 0.5 * 10.0**-digits)
    off = np.abs(sums - 1)
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (off > allowed + EXACT)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"row {row + 1} of the array {printable(name)!r} holds no probabilities ({int(wrong.sum())} such rows)",
            path=path,
            found=str([round(float(value), 4) for value in values[row]]),
            expected="numbers from 0 on that sum to 1",
        )
    rounded = int((off > SUM_TOLERANCE + EXACT).sum())
    if not rounded:
        return []
    return [f"{rounded:,} rows of {printable(name)!r} sum to 1 within their rounding to {digits} digits alone, and are made to"]


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
