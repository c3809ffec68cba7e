"""Foreign scores as runs: each array of an outside file becomes a run like any other."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import Challenge
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.findings import printable
from harness.kinds.parts import parts_of
from harness.runs import own_sample, provenance, scores, store
from harness.runs.arrays import announced, joined_names, name_blocks, not_arrays, unpack
from harness.runs.foreign_columns import ForeignColumns
from harness.runs.foreign_rows import refuse_foreign_rows, refuse_more
from harness.runs.foreign_tables import ForeignTable, read_csv, read_parquet
from harness.runs.own_sample import OwnSample
from harness.runs.scores import TrackScores
from harness.runs.store import Run

MOST_ARRAYS = 256
MOST_CLASSES = 64
MOST_SHOWN = 8
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")
SAVE_PICKLE = (
    "where it was made: d = pickle.load(open({name!r}, 'rb')); "
    "np.savez('outside.npz', track=np.repeat([*d], [len(v) for v in d.values()]), "
    "frame=np.concatenate([np.arange(1, len(v) + 1) for v in d.values()]), model=np.concatenate([*d.values()]))"
    " for a dictionary of track: array (frames, classes); of a DataFrame df: df.to_csv('outside.csv', index=False)"
)
USUAL_NAME = 64
"""Characters of a track's name in an outside file that are read in any case, so that one that is no track can be named."""


class ForeignArrays(Mapping[str, NDArray[np.float64]]):
    """The arrays of scores (N, columns), or class ids (N,), in an outside file by name, each read and checked when asked for.

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

    `track` (N,) names, `frame` (N,) int64 numbers, arrays (N, columns) by name, what is to be said of them, and their columns.
    `votes` are the names of the arrays that hold class ids, so that a row is one answer instead of probabilities.
    """

    path: Path
    sha256: str
    track: NDArray[np.str_]
    frame: NDArray[np.int64]
    arrays: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...] = ()
    columns: ForeignColumns = field(default_factory=ForeignColumns)
    votes: frozenset[str] = frozenset()

    @property
    def challenge(self) -> Challenge:
        """Whose scores they are."""
        return self.columns.challenge


def read_foreign(
    path: Path, columns: ForeignColumns, most_rows: int | None = None, longest_name: int = files.LONGEST_NAME
) -> ForeignScores:
    """Looks through an outside file of scores with a row for each track and frame.

    An npz file holds the arrays `track`, `frame` and any number of arrays (N, C) of these columns, each of which becomes a run; a
    structured npy file the fields track, frame and any number of fields of C numbers; a CSV or Parquet file the columns track,
    frame and one for each of `columns.names`, in any order, and becomes one run of the file's name. Where classes are all that
    is asked for, whole numbers (N,) are class ids, in a table under the name `label`, where class names do as well.

    Columns are put into the challenge's order. A file with more than `most_rows` rows, or an array that is of another shape than
    it must be, is refused before any of it is unpacked, and no more than one array of an npz file is in memory at a time. Raises
    DataError naming array and row for anything that is no score, and for a name longer than `longest_name`, and for a pickle,
    which is never opened.
    """
    if path.suffix.lower() in PICKLES:
        raise DataError(
            "pickles are not read, for opening one runs what is in it",
            path=path,
            expected="an npz, npy, CSV or Parquet file",
            remedy=SAVE_PICKLE.format(name=path.name),
        )
    if path.exists() and not path.is_file():
        raise DataError("not a file", path=path, expected="an npz, npy, CSV or Parquet file")
    if path.suffix.lower() == ".csv":
        return _of_table(path, read_csv(path, columns, most_rows, longest_name), columns)
    if path.suffix.lower() == ".npy":
        return _read_npy(path, columns, most_rows)
    if path.suffix.lower() in (".parquet", ".pq"):
        return _of_table(path, read_parquet(path, columns, most_rows, longest_name), columns)
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
    return _foreign(path, track, frame, arrays, columns, [name for name in names if len(heads[name][0]) == 1])


def _foreign(
    path: Path,
    track: NDArray[np.str_],
    frame: NDArray[Any],
    arrays: ForeignArrays,
    columns: ForeignColumns,
    votes: Sequence[str] = (),
) -> ForeignScores:
    notes = tuple(note for name in arrays for note in arrays.read(name)[1])
    return ForeignScores(path, files.sha256(path), track, frame.astype(np.int64), arrays, notes, columns, frozenset(votes))


def _read_npy(path: Path, columns: ForeignColumns, most_rows: int | None) -> ForeignScores:
    try:
        with path.open("rb") as handle:
            shape, _, dtype = announced(handle)
        fields: Mapping[str, Any] = dtype.fields or {}
        heads: dict[str, Head] = {name: ((*shape, *kind[0].shape), False, kind[0].base) for name, kind in fields.items()}
        count = _rows_announced(path, heads)
        refuse_more(path, "track", count, most_rows)
        names = tuple(name for name in heads if name not in ("track", "frame"))
        for name in names:
            _check_shape(path, name, heads[name], count, columns)
        table = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error
    arrays = ForeignArrays(path, names, columns, lambda name: table[name])
    votes = [name for name in names if len(heads[name][0]) == 1]
    return _foreign(path, table["track"], table["frame"], arrays, columns, votes)


def _of_table(path: Path, table: ForeignTable, columns: ForeignColumns) -> ForeignScores:
    """The one run of a table, which has the file's name."""
    arrays = ForeignArrays(path, (path.stem,), columns, lambda name: table.values)
    return _foreign(path, table.track, table.frame, arrays, columns, [path.stem] if table.values.ndim == 1 else [])


Head = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape of an array, whether it is in Fortran order, and its type."""


def _rows_announced(path: Path, heads: Mapping[str, Head]) -> int:
    """How many rows the file says that it has. Raises DataError if an array is missing, or `track` and `frame` do not fit."""
    if "track" not in heads or "frame" not in heads:
        raise DataError(
            "the file has no `track` and `frame`",
            path=path,
            found=", ".join(map(printable, [*heads][:MOST_SHOWN])) + ", ..." * (len(heads) > MOST_SHOWN),
            expected="arrays track and frame, a row for each frame, and any number of arrays of scores",
            remedy="np.savez('outside.npz', track=track, frame=frame, model=probabilities)",
        )
    (track, _, track_dtype), (frame, _, frame_dtype) = heads["track"], heads["frame"]
    if len(track) != 1 or track != frame or track_dtype.kind != "U" or frame_dtype.kind not in "iu":
        raise DataError(
            "`track` must be names (N,) and `frame` numbers (N,)",
            path=path,
            found=f"{track_dtype} {track}, {frame_dtype} {frame}",
            remedy="save np.array(track, dtype=str) and np.array(frame, dtype=int)",
        )
    if len(heads) == 2:
        raise DataError("the file has no scores", path=path, expected="arrays of shape (N, number of columns)")
    if not track[0]:
        raise DataError("the file has no rows", path=path, expected="a row for each track and frame")
    return track[0]


def _check_shape(path: Path, name: str, head: Head, count: int, columns: ForeignColumns) -> None:
    shape, _, dtype = head
    if shape == (count,) and dtype.kind in "iu" and columns.takes_ids:
        return
    width = len(columns.names)
    if shape != (count, width) or dtype.kind != "f":
        expected = f"floating point ({count}, {width}): a row for each track and frame; {columns.in_words()}"
        remedy = "--classes names those of the classes in the file's order" if columns.classes else None
        if shape == (width, count):
            remedy = "it lies on its side: save array.T"
        elif shape == (count,) and columns.takes_ids:
            remedy = "class ids are whole numbers: save array.astype(int)"
        raise DataError(
            f"the array {printable(name)!r} does not fit",
            path=path,
            found=f"{dtype} {shape}",
            expected=expected + (f"; or class ids, whole numbers ({count},)" if columns.takes_ids else ""),
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
                raise DataError(
                    f"the member {printable(entry.filename)!r} is not an array", path=path, expected="only .npy members"
                )
            with archive.open(entry) as member:
                shape, fortran, dtype = announced(member)
            heads[entry.filename.removesuffix(".npy")] = shape, fortran, dtype
            name = printable(entry.filename.removesuffix(".npy"))
            if len(shape):
                refuse_more(path, entry.filename.removesuffix(".npy"), shape[0], most_rows)
            if math.prod(shape[1:]) * dtype.itemsize > max(longest_row, 4 * files.LONGEST_NAME):
                raise DataError(
                    f"a row of the array {name!r} is too long",
                    path=path,
                    found=f"{dtype} {shape}",
                    expected="a row for each track and frame",
                    remedy="if it lies on its side, save array.T" if len(shape) == 2 and shape[0] <= MOST_CLASSES else None,
                )
    return heads


def longest_name(root: DataRoot) -> int:
    """How many characters the name of a track in an outside file may have."""
    return max([USUAL_NAME, *(len(track.name) for track in root.tracks)])


def import_runs(
    outside: ForeignScores,
    root: DataRoot,
    prefix: str,
    fresh: bool,
    say: Callable[[str], None] = lambda name: None,
    sample: OwnSample | None = None,
) -> list[tuple[Run, dict[str, int]]]:
    """Makes a run of each array; returns each with the number of scored frames per split.

    None is there before all are written. Each takes its name at once, and `say` is told the name then: where the process dies or
    fails between two of them, the same call makes the rest. With a `sample` there is no data root but that file, of which each
    run keeps a copy as its own.

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
            place = root.path.resolve() if sample is None else (path / own_sample.FOLDER).resolve()
            run = stack.enter_context(store.opened(path, _manifest(outside, name, root, place), fresh))
            if sample is not None:
                files.write_bytes(run.path / own_sample.FOLDER / sample.name, sample.data)
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
    """The tracks that have images (where none are known, all) and none of a file's rows, by the splits of which it has others.

    `tracks` (N,) are those of the rows.
    """
    scored, images = set(tracks.tolist()), any(len(track.frames) for track in root.tracks)
    splits = dict.fromkeys(track.split for track in root.tracks if track.name in scored)
    missing = {
        split: [
            track.name
            for track in root.tracks
            if track.split == split and (len(track.frames) or not images) and track.name not in scored
        ]
        for split in splits
    }
    return {split: names for split, names in missing.items() if names}


def _manifest(outside: ForeignScores, name: str, root: DataRoot, place: Path) -> dict[str, Any]:
    # A class id is what somebody decided already: a majority of such rows is taken row by row, as of votes of a text.
    votes = {"votes": True, "postprocessing": {"seconds": 0.0}} if name in outside.votes else {}
    return {
        "kind": "import",
        "challenge": outside.challenge.name,
        "class_names": list(parts_of(outside.challenge).columns),
        "source": f"{outside.path.name}:{name}",
        "sha256": outside.sha256,
        **votes,
        "data": root.identity(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(place)},
    }


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
