"""Npz files from outside and from a run: whatever was done to them is one kind of error, and nothing changed is taken."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError
from harness.runs import scores, store
from harness.runs.arrays import name_blocks, stored_arrays, unpack
from harness.runs.foreign_columns import ForeignColumns
from harness.runs.imports import read_foreign
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from tests.score_files import record_as_it_is

CLASSES = ["Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other"]
COLUMNS = ForeignColumns(classes=tuple(CLASSES))
ROWS = 40


def outside_bytes(save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(1).dirichlet(np.ones(8), ROWS).astype(np.float32)
    save(buffer, track=np.full(ROWS, "video1"), frame=np.arange(1, ROWS + 1), model=values)
    return buffer.getvalue()


def mutants(whole: bytes, count: int) -> Iterator[bytes]:
    """Files with some bytes changed, cut off, left out, doubled, or overwritten by bytes from elsewhere in them."""
    random = np.random.default_rng(0)
    for number in range(count):
        data = bytearray(whole)
        start, end = sorted(random.integers(0, len(data), 2).tolist())
        end = min(end, start + 40)
        kind = number % 5
        if kind == 0:
            for position in random.integers(0, len(data), int(random.integers(1, 5))).tolist():
                data[position] = int(random.integers(256))
        elif kind == 1:
            del data[start:]
        elif kind == 2:
            del data[start:end]
        elif kind == 3:
            data[start:start] = data[start:end]
        else:
            source = int(random.integers(0, len(data) - 40))
            data[start:end] = data[source : source + end - start]
        yield bytes(data)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_of_a_thousand_damaged_files_each_is_read_or_refused_by_name(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "x.npz"
    refused: list[str | None] = []
    for data in mutants(outside_bytes(save), 1000):
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_foreign(path, COLUMNS, ROWS)
        except DataError as error:
            refused.append(error.path)
    assert len(refused) > 700
    assert set(refused) == {str(path)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_unpacking_alone_lets_nothing_else_out(tmp_path: Path, save: Callable[..., None]) -> None:
    for data in mutants(outside_bytes(save), 1000):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = unpack(tmp_path, io.BytesIO(data))
        except DataError:
            continue
        assert all(isinstance(array, np.ndarray) for array in found.values())


def test_a_file_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file") as refused:
        unpack(tmp_path / "x.npz", tmp_path / "x.npz")
    assert refused.value.path == str(tmp_path / "x.npz")


def run_with(place: Path, checkpoint: str | None = "digest") -> Run:
    run, _ = store.open_or_create(place / "a", {"kind": "training", "class_names": CLASSES})
    values = np.random.default_rng(2).normal(size=(3, 8)).astype(np.float32)
    stored = TrackScores(np.array([1, 2, 5], np.int32), values)
    digest = scores.write_track(run, "val", "t", stored)
    record = scores.TrackRecord(6, "annotation", 3, (), 0, "", digest)
    scores.write_index(run, "val", scores.ScoreIndex(run.class_names, "logits", checkpoint, {}, {"t": record}))
    return run


def rolled(frame: NDArray[np.int32], score: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    return {"frame": frame, "score": np.roll(score, 1, axis=1)}


def cut(frame: NDArray[np.int32], score: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    return {"frame": frame, "score": score[:, :7]}


def moved(frame: NDArray[np.int32], score: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    return {"frame": frame + 100_000, "score": score}


def disordered(frame: NDArray[np.int32], score: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    return {"frame": frame[::-1], "score": score}


ALTERATIONS = [rolled, cut, moved, disordered]


@pytest.mark.parametrize("alter", ALTERATIONS)
def test_scores_that_are_not_those_that_were_stored_are_refused(
    tmp_path: Path, alter: Callable[..., dict[str, NDArray[np.generic]]]
) -> None:
    run = run_with(tmp_path)
    read = scores.read_track(run, "val", "t")
    path = scores.directory(run, "val") / "t.npz"
    path.write_bytes(scores.npz_bytes(alter(read.frame, read.score)))
    with pytest.raises(DataError, match=r"not those that scores\.json records") as caught:
        scores.read_track(run, "val", "t")
    assert caught.value.path == str(path)
    assert "harness predict a --split val" in str(caught.value.remedy)


@pytest.mark.parametrize("alter", [cut, moved, disordered])
def test_scores_that_do_not_fit_the_run_are_refused_even_where_the_index_agrees(
    tmp_path: Path, alter: Callable[..., dict[str, NDArray[np.generic]]]
) -> None:
    run = run_with(tmp_path)
    read = scores.read_track(run, "val", "t")
    (scores.directory(run, "val") / "t.npz").write_bytes(scores.npz_bytes(alter(read.frame, read.score)))
    record_as_it_is(run, "val", "t")
    with pytest.raises(DataError, match="do not fit the run's classes and the track's rows"):
        scores.read_track(run, "val", "t")


def test_an_index_whose_classes_stand_in_another_order_is_refused(tmp_path: Path) -> None:
    run = run_with(tmp_path)
    index = scores.directory(run, "val") / "scores.json"
    value = files.read_json(index)
    value["class_names"] = value["class_names"][1:] + value["class_names"][:1]
    files.write_json(index, value)
    with pytest.raises(DataError, match="other classes, or of the same in another order"):
        scores.read_index(run, "val")


def test_a_damaged_track_is_answered_with_the_command_that_makes_it_again(tmp_path: Path) -> None:
    run = run_with(tmp_path, checkpoint=None)
    (scores.directory(run, "val") / "t.npz").write_bytes(b"")
    with pytest.raises(DataError, match="`harness predict a --split val`"):
        scores.read_track(run, "val", "t")


def test_names_that_end_before_their_number_are_refused(tmp_path: Path) -> None:
    path, names = tmp_path / "x.npz", np.array(["a", "bb", "ccc"])
    np.savez(path, track=names)
    assert np.concatenate(list(name_blocks(path, "track"))).tolist() == names.tolist()
    array = io.BytesIO()
    np.save(array, names)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("track.npy", array.getvalue()[:-1])
    with pytest.raises(DataError, match="the array 'track' ends too early"):
        list(name_blocks(path, "track"))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_in_a_file_are_those_that_numpy_loads_and_leave_no_file_open(tmp_path: Path, dtype: Any) -> None:
    values = np.random.default_rng(0).standard_normal((50, 7)).astype(dtype)
    np.savez(tmp_path / "t.npz", frame=np.arange(1, 51, dtype=np.int32), feature=values, empty=np.empty((0, 3)))
    before = sorted(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else []
    frame, feature, empty = stored_arrays(tmp_path / "t.npz", ["frame", "feature", "empty"])
    np.testing.assert_array_equal(frame.read(3, 9), np.arange(4, 10))
    np.testing.assert_array_equal(feature.read(0, len(feature)), values)
    into = np.empty((4, 7), dtype)
    feature.read_into(46, into)
    np.testing.assert_array_equal(into, values[46:])
    assert empty.read(0, 0).shape == (0, 3)
    if before:
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_written_anew_is_never_read_as_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    files.write_bytes(path, scores.npz_bytes({"feature": np.zeros((5, 2), np.float32)}))
    (feature,) = stored_arrays(path, ["feature"])
    files.write_bytes(path, scores.npz_bytes({"feature": np.ones((5, 2), np.float32)}))
    with pytest.raises(DataError, match="was changed while it was read"):
        feature.read(0, 5)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        feature.read(0, 5)


@pytest.mark.parametrize("save", [np.savez_compressed, lambda path, feature: path.write_bytes(b"no zip"), None])
def test_what_has_no_rows_to_read_where_they_lie_is_refused_by_name(tmp_path: Path, save: Callable[..., None] | None) -> None:
    path = tmp_path / "t.npz"
    if save is not None:
        save(path, feature=np.zeros((5, 2), np.float32))
    with pytest.raises(DataError, match="the arrays feature cannot be read"):
        stored_arrays(path, ["feature"])
