"""Foreign features as runs: vectors of frames, read track by track from npz, npy or HDF5 files, or a folder of npy files.

A file is looked over before a run is written: what its arrays say of themselves must fit the data, every track and frame must
exist. The vectors are then read in the order of the file and never all at once, so the rows of a track stand together in it.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, HarnessError, MismatchError, MissingExtraError, UsageError
from harness.findings import printable
from harness.runs import provenance, scores, store
from harness.runs.arrays import ROWS_AT_ONCE, announced, joined_names, name_blocks, not_arrays, unpack
from harness.runs.foreign_rows import refuse_foreign_rows
from harness.runs.imports import announced_arrays
from harness.runs.resampling import Timing
from harness.runs.scores import FEATURES, ScoreIndex, TrackRecord, TrackScores
from harness.runs.store import Run
from harness.words import counted

MOST_NUMBERS = 65536
"""The widest vector that is taken for features."""
LARGEST_CHUNK = 64 * 1024**2
"""Bytes of a chunk of an HDF5 file, which is unpacked as a whole."""
FEWEST_AT_ONCE = 16
FORMATS = (".npz", ".npy", ".h5", ".hdf5")


@dataclass(frozen=True, eq=False)
class Vectors:
    """One array of vectors: its name, how wide it is, and a way to read so many rows at a time, from the first to the last."""

    name: str
    width: int
    read: Callable[[Sequence[int]], Iterator[NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class ForeignFeatures:
    """An outside file of features: `track` (N,) and `frame` int64 (N,) of each row, and its arrays of vectors."""

    path: Path
    sha256: str
    track: NDArray[np.str_]
    frame: NDArray[np.int64]
    arrays: tuple[Vectors, ...]


def open_features(path: Path, most_rows: int, longest_name: int = files.LONGEST_NAME) -> ForeignFeatures:
    """Opens a file or folder of features without reading its vectors; one with more than `most_rows` rows is refused.

    Raises DataError naming the file and the array for what does not fit, a name longer than `longest_name` among it, and
    MissingExtraError for HDF5 without the package h5py.
    """
    if path.is_dir():
        return _open_folder(path, most_rows)
    files.refuse_unreadable(path)
    if path.suffix not in FORMATS:
        raise UsageError("features of an unknown format", found=path.name, expected=f"{', '.join(FORMATS)}, or a folder of .npy")
    try:
        if path.suffix == ".npz":
            return _open_npz(path, most_rows, longest_name)
        return _open_npy(path, most_rows) if path.suffix == ".npy" else _open_hdf5(path, most_rows, longest_name)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> HarnessError:
    return not_arrays(path, error, "this is not a feature file that can be read", "`track`, `frame` and vectors")


def _blocks(path: Path, vectors: Vectors, counts: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The vectors of an array, so many rows at a time. Raises DataError for what cannot be read after all."""
    try:
        yield from vectors.read(counts)
    except Exception as error:
        raise _unreadable(path, error) from error


def _open_npz(path: Path, most_rows: int, longest_name: int) -> ForeignFeatures:
    heads = announced_arrays(path, most_rows, longest_row=MOST_NUMBERS * 8)
    _need(path, list(heads))
    _check_rows(path, *((heads[name][2], heads[name][0]) for name in ("track", "frame")))
    rows = heads["frame"][0][0]
    arrays = []
    for name, (shape, fortran, dtype) in heads.items():
        if name not in ("track", "frame"):
            width = _width(path, name, shape, dtype, rows, fortran)
            arrays.append(Vectors(name, width, _zip_reader(path, name, width, dtype)))
    track, frame = joined_names(path, name_blocks(path, "track"), longest_name), unpack(path, path, only="frame")["frame"]
    return ForeignFeatures(path, files.sha256(path), track, frame.astype(np.int64), tuple(arrays))


def _zip_reader(path: Path, name: str, width: int, dtype: np.dtype[Any]) -> Callable[[Sequence[int]], Iterator[NDArray[Any]]]:
    def read(counts: Sequence[int]) -> Iterator[NDArray[Any]]:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            announced(member)
            for count in counts:
                yield _rows(member, path, name, count, width, dtype)

    return read


def _rows(member: IO[bytes], path: Path, name: str, count: int, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    wanted = count * width * dtype.itemsize
    data = member.read(wanted)
    if len(data) < wanted:
        raise DataError(f"the array {printable(name)!r} ends too early", path=path)
    return np.frombuffer(data, dtype=dtype).reshape(count, width)


def _open_npy(path: Path, most_rows: int) -> ForeignFeatures:
    """A structured array with the fields track, frame and vectors."""
    with open(path, "rb") as handle:
        shape, _, dtype = announced(handle)
    if dtype.names is None or len(shape) != 1:
        raise DataError(
            "the array has no fields `track`, `frame` and a vector",
            path=path,
            found=f"{dtype} {shape}",
            expected="a structured array; of plain ones a folder, <track>.npy with row k for frame k",
        )
    _refuse_long(path, shape[0], most_rows)
    _need(path, dtype.names)
    _check_rows(path, *((dtype[name].base, (*shape, *dtype[name].shape)) for name in ("track", "frame")))
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    arrays = []
    for name in dtype.names:
        if name not in ("track", "frame"):
            field = dtype[name]
            width = _width(path, name, (shape[0], *field.shape), field.base, shape[0])
            arrays.append(Vectors(name, width, _slice_reader(table[name])))
    return ForeignFeatures(
        path, files.sha256(path), np.array(table["track"]), np.array(table["frame"]).astype(np.int64), tuple(arrays)
    )


def _slice_reader(values: Any) -> Callable[[Sequence[int]], Iterator[NDArray[Any]]]:
    def read(counts: Sequence[int]) -> Iterator[NDArray[Any]]:
        start = 0
        for count in counts:
            yield np.asarray(values[start : start + count])
            start += count

    return read


def _open_folder(path: Path, most_rows: int) -> ForeignFeatures:
    """A folder of <track>.npy, row k for frame k."""
    paths = sorted(file for file in path.glob("*.npy") if not files.is_junk(file.name))
    if not paths:
        raise DataError("a folder without any .npy file", path=path, expected="<track>.npy, row k for frame k")
    digests, tracks, frames, width = [], [], [], None
    for file in paths:
        files.refuse_unreadable(file)
        try:
            with open(file, "rb") as handle:
                shape, fortran, dtype = announced(handle)
        except (ValueError, OSError) as error:
            raise DataError(f"not an npy file: {error}", path=file) from error
        found = _width(file, file.stem, shape, dtype, shape[0] if shape else 0, fortran)
        _refuse_long(file, shape[0], most_rows)
        width = found if width is None else width
        if found != width:
            raise DataError("vectors of another width than in the first file", path=file, found=str(found), expected=str(width))
        tracks.append(np.full(shape[0], file.stem))
        frames.append(np.arange(1, shape[0] + 1, dtype=np.int64))
        digests.append(f"{file.name} {files.sha256(file)}\n")

    def read(counts: Sequence[int]) -> Iterator[NDArray[Any]]:
        for file in paths:
            values = np.load(file, mmap_mode="r", allow_pickle=False)
            if len(values):
                yield np.asarray(values)

    sha256 = files.sha256_of_bytes("".join(digests).encode("utf-8", "surrogateescape"))
    vectors = Vectors(path.resolve().name, width or 0, read)
    return ForeignFeatures(path, sha256, np.concatenate(tracks), np.concatenate(frames), (vectors,))


def _open_hdf5(path: Path, most_rows: int, longest_name: int) -> ForeignFeatures:
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "hdf5", "reading HDF5 files") from error
    with h5py.File(path, "r") as file:
        for name in file:
            _check_dataset(path, name, file, most_rows)
        names = list(file)
        _need(path, names)
        text = h5py.check_string_dtype(file["track"].dtype)
        kind = file["track"].dtype if text is None else np.dtype(f"<U{text.length or longest_name}")
        # Looked at before anything is read: a few kilobytes may unpack to any shape.
        _check_rows(path, (kind, file["track"].shape), (file["frame"].dtype, file["frame"].shape))
        shapes = {name: (file[name].shape, file[name].dtype) for name in names if name not in ("track", "frame")}
        arrays = [
            Vectors(name, _width(path, name, shape, dtype, len(file["frame"])), _hdf5_reader(path, name))
            for name, (shape, dtype) in shapes.items()
        ]
        track, frame = joined_names(path, _hdf5_names(path, file), longest_name), file["frame"][:]
    return ForeignFeatures(path, files.sha256(path), track, frame.astype(np.int64), tuple(arrays))


def _check_dataset(path: Path, name: str, file: Any, most_rows: int) -> None:
    """Raises DataError for what is not a plain data set of an HDF5 file, or unpacks to more than the data can need."""
    import h5py

    entry = file.get(name, getlink=True)
    dataset = file[name] if isinstance(entry, h5py.HardLink) else None
    # Links, virtual and external data sets would read files that nobody named.
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(f"{printable(name)!r} is not a plain data set", path=path, expected="track, frame and vectors, no groups")
    _refuse_long(path, dataset.shape[0] if dataset.shape else 0, most_rows)
    if dataset.chunks and math.prod(dataset.chunks) * dataset.dtype.itemsize > LARGEST_CHUNK:
        raise DataError(f"the chunks of {printable(name)!r} are too large", path=path, found=str(dataset.chunks))


def _hdf5_names(path: Path, file: Any) -> Iterator[NDArray[np.str_]]:
    """The names in the data set `track`, as many at a time as fit into memory even if each is as long as it can be.

    A text of any length is kept beside the data sets, once for all the rows that have it.
    """
    beside = path.stat().st_size - sum(file[name].id.get_storage_size() for name in file)
    count = min(ROWS_AT_ONCE, max(FEWEST_AT_ONCE, LARGEST_CHUNK // max(1, beside)))
    names = file["track"].asstr()
    for start in range(0, len(names), count):
        yield np.asarray(names[start : start + count]).astype(np.str_)


def _hdf5_reader(path: Path, name: str) -> Callable[[Sequence[int]], Iterator[NDArray[Any]]]:
    def read(counts: Sequence[int]) -> Iterator[NDArray[Any]]:
        import h5py

        with h5py.File(path, "r") as file:
            yield from _slice_reader(file[name])(counts)

    return read


def _refuse_long(path: Path, rows: int, most_rows: int) -> None:
    if rows > most_rows:
        raise DataError(
            "the file has more rows than the data has frames",
            path=path,
            found=f"{rows:,}",
            expected=f"at most {most_rows:,}",
            remedy="name the right root with --data",
        )


def _need(path: Path, names: Sequence[str]) -> None:
    if "track" not in names or "frame" not in names or len(names) < 3:
        raise DataError(
            "the file has no `track`, `frame` and vectors",
            path=path,
            found=", ".join(map(printable, names)),
            expected="all three",
        )


def _width(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int, fortran: bool = False) -> int:
    """How wide the vectors of an array are. Raises DataError if it holds none, or not one for each row."""
    if len(shape) != 2 or shape[0] != rows or dtype.kind != "f" or not 1 <= shape[1] <= MOST_NUMBERS or fortran:
        raise DataError(
            f"the array {printable(name)!r} does not fit",
            path=path,
            found=f"{dtype} {shape}{', in Fortran order' * fortran}",
            expected=f"floating point ({rows}, D) in C order, a vector for each track and frame, D at most {MOST_NUMBERS:,}",
        )
    return shape[1]


def _check_rows(path: Path, track: tuple[np.dtype[Any], tuple[int, ...]], frame: tuple[np.dtype[Any], tuple[int, ...]]) -> None:
    """Raises DataError unless types and shapes of `track` and `frame` are those of names and numbers of as many rows."""
    (names, shape), (numbers, length) = track, frame
    if len(shape) != 1 or shape != length or names.kind != "U" or numbers.kind not in "iu":
        raise DataError(
            "`track` must be names (N,) and `frame` numbers (N,)", path=path, found=f"{names} {shape}, {numbers} {length}"
        )
    if names.itemsize > 4 * files.LONGEST_NAME:
        raise DataError("a row of the array 'track' is too long", path=path, found=f"{names} {shape}")


def import_features(
    foreign: ForeignFeatures,
    root: DataRoot,
    prefix: str,
    fresh: bool,
    timing: Timing | None = None,
    say: Callable[[str], None] = lambda name: None,
) -> list[tuple[Run, dict[str, int]]]:
    """Makes a run of each array of vectors, whole or not at all; returns each with the number of frames per split.

    None is there before all are written. Each takes its name at once, and `say` is told the name then: where the process dies or
    fails between two of them, the same call makes the rest.

    With a `timing` the numbers of the rows are not frames but count vectors at a rate of their own.

    Raises MismatchError naming tracks or frames that the data root does not have or that stand twice, DataError naming the row of
    a number that is not finite, or of a track whose rows do not stand together.
    """
    starts = np.flatnonzero(np.append(True, foreign.track[1:] != foreign.track[:-1])) if len(foreign.track) else np.empty(0, int)
    names = foreign.track[starts].tolist()
    if len(set(names)) < len(names):
        row = next(starts[k] for k in range(len(names)) if names[k] in names[:k])
        raise DataError(
            f"row {row + 1}: the rows of track {names[list(starts).index(row)]} do not stand together",
            path=foreign.path,
            remedy="sort the rows by track",
        )
    groups = dict(zip(names, np.split(np.arange(len(foreign.track)), starts[1:]), strict=True))
    ordered = {name: rows[np.argsort(foreign.frame[rows], kind="stable")] for name, rows in groups.items()}
    if timing is None:
        refuse_foreign_rows(foreign.path, foreign.frame, ordered, root)
    else:
        _compare_vectors(foreign, ordered, root, timing)
    made = []
    with contextlib.ExitStack() as stack:  # none where one cannot be written
        for vectors in foreign.arrays:
            stack.push(store.telling(say, prefix + vectors.name))
            made.append(_import(foreign, vectors, ordered, root, prefix, fresh, timing, stack))
    return [(run, _counts(run, splits)) for run, splits in made]


def _compare_vectors(foreign: ForeignFeatures, groups: Mapping[str, NDArray[np.int64]], root: DataRoot, timing: Timing) -> None:
    """Raises MismatchError naming tracks that are not there, and vectors that stand twice or are of no time of their track."""
    tracks = {track.name: track for track in root.tracks}
    faults = []
    for name, rows in groups.items():
        numbers = foreign.frame[rows]
        if name not in tracks:
            faults.append(f"{name}: not a track of {root.path}")
        elif (np.diff(numbers) == 0).any():
            faults.append(f"{name}: vector {int(numbers[1:][np.diff(numbers) == 0][0])} occurs twice")
        elif numbers[0] < 1 or numbers[-1] > timing.most(tracks[name]):
            worst = int(numbers[-1] if numbers[0] >= 1 else numbers[0])
            faults.append(f"{name}: vector {worst} is outside 1..{timing.most(tracks[name])}")
    if faults:
        raise MismatchError(
            f"the vectors are not of this data root at {timing.rate:g} per second ({counted(len(faults), 'track')})",
            path=foreign.path,
            found="\n    ".join(["", *faults[:8]]),
            remedy="name the right root with --data, or the right rate with --rate",
        )


def _import(
    foreign: ForeignFeatures,
    vectors: Vectors,
    groups: Mapping[str, NDArray[np.int64]],
    root: DataRoot,
    prefix: str,
    fresh: bool,
    timing: Timing | None,
    stack: contextlib.ExitStack,
) -> tuple[Run, Sequence[str]]:
    """Makes the run of one array, which takes its name when the stack ends; returns it and the splits that it has rows of."""
    path = store.path_of(prefix + vectors.name)
    settings: dict[str, Any] = {"source": f"{foreign.path.name}:{vectors.name}", "sha256": foreign.sha256, "width": vectors.width}
    if timing is not None:
        settings |= {"rate": timing.rate, "repeat": timing.repeat, "fps": timing.fps}
    manifest: dict[str, Any] = {
        "kind": "import",
        "challenge": root.challenge.name,
        "class_names": [],
        "source": f"features of {settings['source']}",
        "sha256": foreign.sha256,
        "data": root.identity(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(root.path.resolve())},
    }
    splits = {split: list(root.members(split)) for split in dict.fromkeys(track.split for track in root.tracks)}
    splits = {split: tracks for split, tracks in splits.items() if any(track.name in groups for track in tracks)}
    if Run(path).manifest_path.is_file() and not fresh:
        store.open_or_create(path, manifest)
    else:
        run = stack.enter_context(store.opened(path, manifest, fresh))
        _write(run, foreign, vectors, groups, splits, settings, timing)
    return Run(path), list(splits)


def _counts(run: Run, splits: Sequence[str]) -> dict[str, int]:
    """The number of frames with vectors by split."""
    indices = {split: scores.read_index(run, split, FEATURES) for split in splits}
    return {split: sum(record.seen for record in index.tracks.values()) for split, index in indices.items()}


def _write(
    run: Run,
    foreign: ForeignFeatures,
    vectors: Vectors,
    groups: Mapping[str, NDArray[np.int64]],
    splits: Mapping[str, Sequence[Track]],
    settings: Mapping[str, Any],
    timing: Timing | None,
) -> None:
    records: dict[str, dict[str, TrackRecord]] = {split: {} for split in splits}
    blocks = _blocks(foreign.path, vectors, [len(rows) for rows in groups.values()])
    for (name, rows), block in zip(groups.items(), blocks, strict=True):
        first = int(rows.min())
        values = _finite(foreign, vectors, block, first)[rows - first]
        kept = TrackScores(foreign.frame[rows].astype(np.int32), values)
        for split, tracks in splits.items():
            for track in tracks:
                if track.name == name:
                    timed = kept if timing is None else TrackScores(*timing.to_frames(foreign.frame[rows], values, track))
                    records[split][name] = _keep(run, track, timed, settings)
    nothing = TrackScores(np.empty(0, np.int32), np.empty((0, vectors.width), np.float32))
    for split, tracks in splits.items():
        ordered = {track.name: records[split].get(track.name) or _keep(run, track, nothing, settings) for track in tracks}
        scores.write_index(run, split, ScoreIndex((), "features", None, settings, ordered), FEATURES)


def _keep(run: Run, track: Track, kept: TrackScores, settings: Mapping[str, Any]) -> TrackRecord:
    sha256 = scores.write_track(run, track.split, track.name, kept, FEATURES)
    record = TrackRecord(track.rows, track.rows_from, len(kept.frame), (), 0, "", sha256)
    scores.write_record(run, track.split, track.name, scores.key_of(None, settings), "", record, FEATURES)
    return record


def _finite(foreign: ForeignFeatures, vectors: Vectors, block: NDArray[Any], first: int) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = block.astype(np.float32)
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"row {first + row + 1} of {vectors.name!r}: track {foreign.track[first + row]}, frame {foreign.frame[first + row]} "
            f"holds a number that is not finite ({int(wrong.sum())} such rows of this track)",
            path=foreign.path,
            remedy="leave frames without features out",
        )
    return values
