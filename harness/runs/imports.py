"""Foreign scores as runs: each array of an outside file becomes a run like any other."""

from __future__ import annotations

import contextlib
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge
from harness.data.csv_table import read_columns
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.findings import printable
from harness.kinds.parts import parts_of
from harness.runs import provenance, scores, store
from harness.runs.arrays import announced, joined_names, name_blocks, not_arrays, unpack
from harness.runs.foreign_columns import ForeignColumns, first_names
from harness.runs.scores import TrackScores
from harness.runs.store import Run

MOST_ARRAYS = 256
MOST_CLASSES = 64
LARGEST_CSV = 1024 * 1024 * 1024
_WHOLE = re.compile(r"[0-9]{1,9}")
USUAL_NAME = 64
"""Characters of a track's name in an outside file that are read in any case, so that one that is no track can be named."""


class ForeignArrays(Mapping[str, NDArray[np.float64]]):
    """The arrays of scores (N, columns) in an outside file by name, each read and checked when it is asked for.

    So one of them at most is in memory, however many a file of kilobytes announces.
    """

    def __init__(
        self, path: Path, names: tuple[str, ...], columns: ForeignColumns, unpacked: Callable[[str], NDArray[Any]]
    ) -> None:
        self._path = path
        self._names = names
        self._columns = columns
        self._unpacked = unpacked

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._names:
            raise KeyError(name)
        return self.read(name)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, name: str) -> tuple[NDArray[np.float64], list[str]]:
        """One array in the challenge's order, and what is to be said of it. Raises DataError for what holds no scores."""
        return self._columns.arranged(self._path, name, self._unpacked(name))


@dataclass(frozen=True, eq=False)
class ForeignScores:
    """An outside file of scores.

    `track` (N,) names, `frame` (N,) int64 numbers, arrays (N, columns) by name, what is to be said of them, and their challenge.
    """

    path: Path
    sha256: str
    track: NDArray[np.str_]
    frame: NDArray[np.int64]
    arrays: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...] = ()
    challenge: Challenge = EXPR


def read_foreign(
    path: Path, columns: ForeignColumns, most_rows: int | None = None, longest_name: int = files.LONGEST_NAME
) -> ForeignScores:
    """Looks through an outside file of scores with a row for each track and frame.

    An npz file holds the arrays `track`, `frame` and any number of arrays (N, C) of these columns, each of which becomes a run; a
    structured npy file the fields track, frame and any number of fields of C numbers; a CSV file the columns track, frame and one
    for each of `columns.names`, in any order, and becomes one run of the file's name.

    Columns are put into the challenge's order. A file with more than `most_rows` rows, or an array that is of another shape than
    it must be, is refused before any of it is unpacked, and no more than one array of an npz file is in memory at a time. Raises
    DataError naming array and row for anything that is no score, and for a name longer than `longest_name`.
    """
    if path.suffix.lower() == ".csv":
        return _read_csv(path, columns, most_rows)
    if path.suffix.lower() == ".npy":
        return _read_npy(path, columns, most_rows)
    try:
        heads = announced_arrays(path, most_rows, longest_row=MOST_CLASSES * 16)
        count = _rows_announced(path, heads)
        names = tuple(name for name in heads if name not in ("track", "frame"))
        for name in names:
            _check_shape(path, name, heads[name], count, columns)
        track = joined_names(path, name_blocks(path, "track"), longest_name)
        frame = unpack(path, path, only="frame")["frame"]
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error
    arrays = ForeignArrays(path, names, columns, lambda name: unpack(path, path, only=name)[name])
    return _foreign(path, track, frame, arrays, columns)


def _foreign(
    path: Path, track: NDArray[np.str_], frame: NDArray[Any], arrays: ForeignArrays, columns: ForeignColumns
) -> ForeignScores:
    notes = tuple(note for name in arrays for note in arrays.read(name)[1])
    return ForeignScores(path, files.sha256(path), track, frame.astype(np.int64), arrays, notes, columns.challenge)


def _read_npy(path: Path, columns: ForeignColumns, most_rows: int | None) -> ForeignScores:
    try:
        with path.open("rb") as handle:
            shape, _, dtype = announced(handle)
        fields: Mapping[str, Any] = dtype.fields or {}
        heads: dict[str, Head] = {name: ((*shape, *kind[0].shape), False, kind[0].base) for name, kind in fields.items()}
        count = _rows_announced(path, heads)
        _refuse_more(path, "track", count, most_rows)
        names = tuple(name for name in heads if name not in ("track", "frame"))
        for name in names:
            _check_shape(path, name, heads[name], count, columns)
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error
    return _foreign(path, table["track"], table["frame"], ForeignArrays(path, names, columns, lambda name: table[name]), columns)


def _read_csv(path: Path, columns: ForeignColumns, most_rows: int | None) -> ForeignScores:
    found, table = read_columns(files.read_bytes(path, LARGEST_CSV), path)
    missing = [name for name in ("track", "frame", *columns.names) if name not in found]
    if missing:
        expected = f"track,frame,{first_names(columns.names)}"
        raise DataError(f"the column {missing[0]!r} is absent", path=path, line=1, found=",".join(found)[:80], expected=expected)
    tracks: list[str] = []
    frames: list[int] = []
    rows: list[list[float]] = []
    for line, cells in table:
        _refuse_more(path, "track", len(rows) + 1, most_rows)
        if not _WHOLE.fullmatch(cells["frame"].strip()):
            raise DataError("a frame is a whole number", path=path, line=line, found=repr(cells["frame"][:40]))
        try:
            rows.append([float(cells[name]) for name in columns.names])
        except ValueError as error:
            raise DataError("a score is a number", path=path, line=line, found=str(error)[:80]) from error
        tracks.append(cells["track"].strip())
        frames.append(int(cells["frame"]))
    if not rows:
        raise DataError("the file has no rows", path=path, expected="a row for each track and frame")
    values = np.array(rows)
    arrays = ForeignArrays(path, (path.stem,), columns, lambda name: values)
    return _foreign(path, np.array(tracks), np.array(frames), arrays, columns)


def _refuse_more(path: Path, name: str, rows: int, most_rows: int | None) -> None:
    if most_rows is not None and rows > most_rows:
        raise DataError(
            f"the array {printable(name)!r} has more rows than the data has frames",
            path=path,
            found=f"{rows:,}",
            expected=f"at most {most_rows:,}",
            remedy="name the right root with --data",
        )


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
        raise DataError("the file has no scores", path=path, expected="arrays of shape (N, number of columns)")
    if not track[0]:
        raise DataError("the file has no rows", path=path, expected="a row for each track and frame")
    return track[0]


def _check_shape(path: Path, name: str, head: Head, count: int, columns: ForeignColumns) -> None:
    shape, _, dtype = head
    if shape != (count, len(columns.names)) or dtype.kind != "f":
        remedy = "--classes names those of the classes in the file's order" if columns.classes else None
        raise DataError(
            f"the array {printable(name)!r} does not fit",
            path=path,
            found=f"{dtype} {shape}",
            expected=f"floating point ({count}, {len(columns.names)}): a row for each track and frame; {columns.in_words()}",
            remedy=remedy,
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
            if len(shape):
                _refuse_more(path, entry.filename.removesuffix(".npy"), shape[0], most_rows)
            if math.prod(shape[1:]) * dtype.itemsize > max(longest_row, 4 * files.LONGEST_NAME):
                raise DataError(f"a row of the array {name!r} is too long", path=path, found=f"{dtype} {shape}")
    return heads


def longest_name(root: DataRoot) -> int:
    """How many characters the name of a track in an outside file may have."""
    return max([USUAL_NAME, *(len(track.name) for track in root.tracks)])


def import_runs(
    outside: ForeignScores, root: DataRoot, prefix: str, fresh: bool, say: Callable[[str], None] = lambda name: None
) -> list[tuple[Run, dict[str, int]]]:
    """Makes a run of each array; returns each with the number of scored frames per split.

    None is there before all are written. Each takes its name at once, and `say` is told the name then: where the process dies or
    fails between two of them, the same call makes the rest.

    Raises MismatchError naming tracks or frames that the data root does not have.
    """
    order = np.lexsort((outside.frame, outside.track))
    names, starts = np.unique(outside.track[order], return_index=True)
    whole = dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))
    groups = {name: _without_repeats(outside.frame, rows, root, name) for name, rows in whole.items()}
    refuse_foreign_rows(outside.path, outside.frame, groups, root)
    made = []
    with contextlib.ExitStack() as stack:  # none where one cannot be written
        for name, values in outside.arrays.items():
            _refuse_two_answers(outside, name, values, whole, groups)
            path = store.path_of(prefix + name)
            stack.push(store.telling(say, path.name))
            run = stack.enter_context(store.opened(path, _manifest(outside, name, root), fresh))
            made.append((Run(path), _write(run, outside, groups, values, root)))
    return made


def _without_repeats(frame: NDArray[np.int64], rows: NDArray[np.int64], root: DataRoot, name: str) -> NDArray[np.int64]:
    """The rows of a track, of each image once that the challenge's own list names more than once."""
    asked = next((track.asked for track in root.tracks if track.name == name), None)
    if asked is None:
        return rows
    listed, counts = np.unique(asked, return_counts=True)
    numbers = frame[rows]
    again = np.concatenate([[False], np.diff(numbers) == 0]) & np.isin(numbers, listed[counts > 1])
    return rows[~again]


def _refuse_two_answers(
    outside: ForeignScores,
    name: str,
    values: NDArray[np.float64],
    whole: Mapping[str, NDArray[np.int64]],
    groups: Mapping[str, NDArray[np.int64]],
) -> None:
    """Raises MismatchError if an image that stands twice, as in the challenge's list, has two different scores."""
    for track, rows in whole.items():
        kept = groups[track]
        if len(kept) == len(rows):
            continue
        first = kept[np.searchsorted(outside.frame[kept], outside.frame[rows])]
        unlike = (values[rows] != values[first]).any(axis=1)
        if unlike.any():
            frame = int(outside.frame[rows[np.argmax(unlike)]])
            raise MismatchError(
                f"an image has two different answers in the array {printable(name)!r}",
                path=outside.path,
                found=f"{track}, frame {frame}",
                expected="the same numbers in each of its rows, or one row",
            )


def without_rows(tracks: NDArray[np.str_], root: DataRoot) -> dict[str, list[str]]:
    """The tracks that have images and none of a file's rows, which are of `tracks` (N,), by the splits of which it has others."""
    scored = set(tracks.tolist())
    splits = dict.fromkeys(track.split for track in root.tracks if track.name in scored)
    missing = {
        split: [track.name for track in root.tracks if track.split == split and len(track.frames) and track.name not in scored]
        for split in splits
    }
    return {split: names for split, names in missing.items() if names}


def _manifest(outside: ForeignScores, name: str, root: DataRoot) -> dict[str, Any]:
    return {
        "kind": "import",
        "challenge": outside.challenge.name,
        "class_names": list(parts_of(outside.challenge).columns),
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
