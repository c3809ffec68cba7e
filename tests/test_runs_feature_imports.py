"""Foreign features: every format gives the same set, and what does not fit is refused with its place before a run is there."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import files
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, HarnessError, MismatchError, MissingExtraError
from harness.runs import features, scores, store
from harness.runs.feature_imports import import_features, open_features
from harness.runs.store import Run
from tests.command_line import harness
from tests.simulated_features import write_features
from tests.simulated_runs import labelled_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    return labelled_root(tmp_path / "data", recordings=4)


def take(path: Path, root: DataRoot, fresh: bool = False) -> list[Run]:
    """Imports all arrays of a file."""
    foreign = open_features(path, sum(track.rows for track in root.tracks))
    return [run for run, _ in import_features(foreign, root, "", fresh)]


def arrays(root: DataRoot, path: Path) -> dict[str, Any]:
    """The arrays of an npz file of features, to be changed."""
    return dict(np.load(write_features(root, path)))


def as_npy(content: dict[str, Any], path: Path) -> Path:
    fields = [("track", content["track"].dtype), ("frame", "i4"), ("v", "f4", (8,))]
    table = np.empty(len(content["frame"]), dtype=fields)
    for name in ("track", "frame", "v"):
        table[name] = content[name]
    np.save(path, table)
    return path


def as_hdf5(content: dict[str, Any], path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["track"] = [str(name) for name in content["track"]]
        file["frame"] = content["frame"]
        file.create_dataset("v", data=content["v"], chunks=(16, 8), compression="gzip")
    return path


def as_npz(content: dict[str, Any], path: Path) -> Path:
    np.savez_compressed(path, **content)
    return path


@pytest.mark.parametrize(("suffix", "write"), [(".npz", as_npz), (".npy", as_npy), (".h5", as_hdf5)])
def test_every_format_stores_the_vectors_of_each_frame(
    root: DataRoot, tmp_path: Path, suffix: str, write: Callable[[dict[str, Any], Path], Path]
) -> None:
    content = arrays(root, tmp_path / "v.npz")
    # Within a track the rows may stand in any order.
    first = content["track"] == content["track"][0]
    order = np.concatenate([np.flatnonzero(first)[::-1], np.flatnonzero(~first)])
    (run,) = take(write({name: values[order] for name, values in content.items()}, tmp_path / f"other{suffix}"), root)
    assert run.name == "v"
    assert run.splits("features") == ("train", "val", "test")
    assert run.splits() == ()
    (one,) = features.open_sets(["v"], ["train", "val", "test"])
    assert (one.width, one.is_imported) == (8, True)
    for track in root.tracks:
        stored = features.read([one], track, track.split)
        mine = content["track"] == track.name
        np.testing.assert_array_equal(stored.frame, content["frame"][mine])
        np.testing.assert_array_equal(stored.gather(np.arange(len(stored.frame))), content["v"][mine])


def test_a_folder_of_arrays_has_row_k_for_frame_k(root: DataRoot, tmp_path: Path) -> None:
    place = tmp_path / "audio"
    place.mkdir()
    random = np.random.default_rng(0)
    kept = {track.name: random.standard_normal((track.rows, 5)).astype(np.float16) for track in root.tracks[:3]}
    for name, values in kept.items():
        np.save(place / f"{name}.npy", values)
    (run,) = take(place, root)
    assert run.name == "audio"
    (one,) = features.open_sets(["audio"], ["train"])
    for track in root.split("train"):
        stored = features.read([one], track, "train")
        if track.name in kept:
            np.testing.assert_array_equal(stored.frame, np.arange(1, track.rows + 1))
            np.testing.assert_array_equal(stored.gather(stored.frame.astype(np.int64) - 1), kept[track.name].astype(np.float32))
        else:
            assert len(stored.frame) == 0


def test_what_an_operating_system_leaves_in_a_folder_of_arrays_is_no_array(root: DataRoot, tmp_path: Path) -> None:
    track = root.tracks[0]
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / f"{track.name}.npy", np.ones((track.rows, 5), np.float32))
    (tmp_path / "folder" / f"._{track.name}.npy").write_bytes(b"\0\5\x16\7\0\2")
    (run,) = take(tmp_path / "folder", root)
    (one,) = features.open_sets([run.name], [track.split])
    assert len(features.read([one], track, track.split).frame) == track.rows


def test_frames_counted_from_zero_are_refused_though_no_track_has_a_frame_zero(root: DataRoot, tmp_path: Path) -> None:
    tracks = tuple(replace(track, frames=np.arange(2, track.rows + 1, dtype=np.int32)) for track in root.tracks)
    seen = replace(root, tracks=tracks)
    content = arrays(seen, tmp_path / "f.npz")
    assert content["frame"].min() == 2
    with pytest.raises(MismatchError, match="seem to be counted from 0"):
        take(as_npz({**content, "frame": content["frame"] - 1}, tmp_path / "zero.npz"), seen)
    assert len(take(as_npz(content, tmp_path / "one.npz"), seen)) == 1


def test_vectors_of_another_width_are_refused_with_the_file(root: DataRoot, tmp_path: Path) -> None:
    place = tmp_path / "audio"
    place.mkdir()
    for track, width in zip(root.tracks, (5, 6), strict=False):
        np.save(place / f"{track.name}.npy", np.zeros((track.rows, width), np.float32))
    wrong = sorted(place.iterdir())[1]
    with pytest.raises(DataError, match="another width than in the first file") as refusal:
        take(place, root)
    assert refusal.value.path == str(wrong)


def test_several_arrays_become_several_sets(root: DataRoot, tmp_path: Path) -> None:
    content = arrays(root, tmp_path / "v.npz")
    np.savez(tmp_path / "two.npz", **content, w=content["v"][:, :3])
    assert [run.name for run in take(tmp_path / "two.npz", root)] == ["v", "w"]
    assert [one.width for one in features.open_sets(["v", "w"], ["val"])] == [8, 3]


def test_of_several_arrays_none_becomes_a_set_where_one_cannot(root: DataRoot, tmp_path: Path) -> None:
    content = arrays(root, tmp_path / "v.npz")
    wrong = content["v"].copy()
    wrong[7, 3] = np.nan
    np.savez(tmp_path / "two.npz", **content, w=wrong)
    with pytest.raises(DataError, match="row 8 of 'w'"):
        take(tmp_path / "two.npz", root)
    assert not list(Path("runs").glob("*"))


def not_finite(content: dict[str, Any]) -> None:
    content["v"][7, 3] = np.nan


def too_large(content: dict[str, Any]) -> None:
    content["v"] = content["v"].astype(np.float64)
    content["v"][7, 3] = 1e300


def unknown_track(content: dict[str, Any]) -> None:
    content["track"] = content["track"].astype("U20")
    content["track"][content["track"] == content["track"][0]] = "nobody"


def twice(content: dict[str, Any]) -> None:
    content["frame"][1] = content["frame"][0]


def beyond(content: dict[str, Any]) -> None:
    content["frame"][3] = 5000


def zero(content: dict[str, Any]) -> None:
    content["frame"][0] = 0


def apart(content: dict[str, Any]) -> None:
    order = np.append(np.arange(1, len(content["frame"])), 0)
    for name, values in content.items():
        content[name] = values[order]


def text(content: dict[str, Any]) -> None:
    content["v"] = content["v"].astype("U8")


def whole(content: dict[str, Any]) -> None:
    content["v"] = content["v"].astype(np.int32)


def flat(content: dict[str, Any]) -> None:
    content["v"] = content["v"][:, 0]


def short(content: dict[str, Any]) -> None:
    content["v"] = content["v"][:-1]


def fortran(content: dict[str, Any]) -> None:
    content["v"] = np.asfortranarray(content["v"])


def nameless(content: dict[str, Any]) -> None:
    del content["track"]


def empty(content: dict[str, Any]) -> None:
    del content["v"]


def no_width(content: dict[str, Any]) -> None:
    content["v"] = content["v"][:, :0]


def pickled(content: dict[str, Any]) -> None:
    content["v"] = content["v"].astype(object)


@pytest.mark.parametrize(("change", "message"), [
    (not_finite, r"row 8 of 'v': track video1, frame \d+ holds a number that is not finite"),
    (too_large, r"row 8 of 'v'.* not finite"), (unknown_track, "nobody: not a track"), (twice, r"frame \d+ occurs twice"),
    (beyond, r"frame 5000 is outside 1\.\.90"), (zero, r"frame 0 is outside"),
    (apart, "row 343: the rows of track video1 do not stand together"),
    (text, "'v' does not fit"), (whole, "'v' does not fit"), (flat, "'v' does not fit"), (short, "'v' does not fit"),
    (fortran, "Fortran"), (nameless, "no `track`, `frame` and vectors"), (empty, "no `track`, `frame` and vectors"),
    (no_width, "'v' does not fit"), (pickled, "can be read|does not fit"),
])  # fmt: skip
def test_what_does_not_fit_is_refused_and_leaves_no_run(
    root: DataRoot, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = arrays(root, tmp_path / "v.npz")
    change(content)
    np.savez(tmp_path / "bad.npz", **content)
    with pytest.raises((DataError, MismatchError), match=message) as refusal:
        take(tmp_path / "bad.npz", root)
    assert "bad.npz" in str(refusal.value)
    assert not store.path_of("v").exists()
    assert not list(Path("runs").glob(".*")) if Path("runs").exists() else True


def test_more_rows_than_the_data_has_are_refused_before_they_are_read(root: DataRoot, tmp_path: Path) -> None:
    path = write_features(root, tmp_path / "v.npz")
    with pytest.raises(DataError, match="more rows than the data has frames"):
        open_features(path, 10)
    with pytest.raises(DataError, match="more rows than the data has frames"):
        open_features(as_npy(dict(np.load(path)), tmp_path / "v.npy"), 10)


@pytest.mark.parametrize("name", ["v.npz", "v.npy", "v.pkl", "nothing"])
def test_what_is_no_file_of_features_is_refused_in_words(root: DataRoot, tmp_path: Path, name: str) -> None:
    if name != "nothing":
        (tmp_path / name).write_bytes(b"<html>not here</html>")
    with pytest.raises(HarnessError):
        open_features(tmp_path / name, 1000)


def damaged(path: Path, member: str) -> None:
    """Compressed arrays of which one cannot be inflated from its middle on."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in {"track": np.array(["video1"] * 90), "frame": np.arange(1, 91), "v": np.eye(90, dtype="f4")}.items():
            array = io.BytesIO()
            np.save(array, values)
            archive.writestr(f"{name}.npy", array.getvalue())
        entry = archive.getinfo(f"{member}.npy")
    content = bytearray(path.read_bytes())
    middle = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
    content[middle : middle + 20] = b"\xff" * 20
    path.write_bytes(content)


def damaged_names(path: Path) -> None:
    damaged(path, "track")


def damaged_vectors(path: Path) -> None:
    damaged(path, "v")


def locked(path: Path) -> None:
    """Arrays behind a password, by the words of the archive."""
    damaged(path, "v")
    content = path.read_bytes()
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        parts = content.split(mark)
        content = mark.join([parts[0], *(part[: flags - 4] + b"\x01" + part[flags - 3 :] for part in parts[1:])])
    path.write_bytes(content)


def unended_head(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("track.npy", b"\x93NUMPY\x01\x00\x20\x00" + b"{'descr': [[[['<'*9]]],".ljust(32))


def fewer_rows_than_none(path: Path) -> None:
    table = np.zeros(1, [("track", "<U6"), ("frame", "i8"), ("v", "f4", (8,))])
    with path.open("wb") as file:
        np.save(file, table)
    path.write_bytes(path.read_bytes().replace(b"(1,)", b"(-1,)").replace(b" \n", b"\n"))


def times(path: Path) -> None:
    """A type of HDF5 that NumPy has no equivalent of."""
    import h5py

    with h5py.File(path, "w") as file:
        file["track"], file["frame"] = np.array([b"video1"] * 9), np.arange(1, 10)
        h5py.h5d.create(file.id, b"v", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((9,)))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        *((f"{write.__name__}.npz", write) for write in (damaged_names, damaged_vectors, locked, unended_head)),
        ("fewer.npy", fewer_rows_than_none),
        ("times.h5", times),
    ],
)
def test_whatever_a_library_raises_for_a_file_of_features_is_said_in_words(
    root: DataRoot, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match="this is not a feature file that can be read") as refused:
        take(tmp_path / name, root)
    assert refused.value.path == str(tmp_path / name)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_vectors_that_end_before_their_number_are_refused_and_leave_no_run(root: DataRoot, tmp_path: Path) -> None:
    content = arrays(root, tmp_path / "v.npz")
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as archive:
        for name, values in content.items():
            array = io.BytesIO()
            np.save(array, values)
            archive.writestr(f"{name}.npy", array.getvalue()[: -1 if name == "v" else None])
    with pytest.raises(DataError, match="the array 'v' ends too early"):
        take(tmp_path / "cut.npz", root)
    assert not store.path_of("v").exists()


def test_of_a_folder_the_file_is_named_that_is_none_of_vectors(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    np.save(tmp_path / "v" / "video1.npy", np.zeros((3, 8), np.float32))
    (tmp_path / "v" / "video2.npy").write_bytes(b"<html>not here</html>")
    with pytest.raises(DataError, match="not an npy file") as refused:
        open_features(tmp_path / "v", 1000)
    assert refused.value.path == str(tmp_path / "v" / "video2.npy")


def test_hdf5_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.h5").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match="h5py") as refusal:
        open_features(tmp_path / "v.h5", 10)
    assert "abaw-harness[hdf5]" in str(refusal.value)


def test_a_link_in_an_hdf5_file_is_not_followed(root: DataRoot, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = as_hdf5(arrays(root, tmp_path / "v.npz"), tmp_path / "v.h5")
    with h5py.File(path, "a") as file:
        file["other"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(DataError, match="'other' is not a plain data set"):
        open_features(path, 10_000)


def as_numbers(content: dict[str, Any]) -> None:
    content["track"] = np.arange(len(content["track"]))


def between_frames(content: dict[str, Any]) -> None:
    content["frame"] = content["frame"] + 0.5


def of_fewer_rows(content: dict[str, Any]) -> None:
    content["track"] = content["track"][:-1]


@pytest.mark.parametrize("change", [as_numbers, between_frames, of_fewer_rows])
def test_rows_of_another_kind_are_refused_before_anything_of_them_is_read(
    root: DataRoot, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    h5py = pytest.importorskip("h5py")
    content = arrays(root, tmp_path / "v.npz")
    change(content)
    np.savez(tmp_path / "other.npz", **content)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for name, values in content.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    for path in (tmp_path / "other.npz", tmp_path / "other.h5"):
        with pytest.raises(DataError, match=r"`track` must be names \(N,\) and `frame` numbers \(N,\)"):
            open_features(path, 10_000)


def test_the_same_file_again_changes_nothing_and_another_one_needs_fresh(root: DataRoot, tmp_path: Path) -> None:
    path = write_features(root, tmp_path / "v.npz")
    (run,) = take(path, root)
    before = {str(file): files.sha256(file) for file in sorted(run.path.rglob("*")) if file.is_file()}
    take(path, root)
    assert {str(file): files.sha256(file) for file in sorted(run.path.rglob("*")) if file.is_file()} == before
    write_features(root, path, seed=1)
    with pytest.raises(MismatchError, match="sha256"):
        take(path, root)
    take(path, root, fresh=True)
    assert {str(file): files.sha256(file) for file in sorted(run.path.rglob("*")) if file.is_file()} != before


@pytest.mark.parametrize("content", [np.zeros((3, 4), np.float32), np.zeros((2, 2), [("track", "U2"), ("frame", "i4")])])
def test_a_single_npy_file_must_be_a_row_of_structures(root: DataRoot, content: np.ndarray) -> None:
    np.save("plain.npy", content)
    with pytest.raises(DataError, match="the array has no fields `track`, `frame` and a vector"):
        take(Path("plain.npy"), root)


def test_unreadable_is_what_none_of_two_sets_could_read(root: DataRoot, tmp_path: Path) -> None:
    track = root.split("val")[0]
    one, both = track.frames[[3, 5]].tolist()
    content = arrays(root, tmp_path / "v.npz")
    for name, unreadable in (("a", (one, both)), ("b", (both,))):
        kept = (content["track"] != track.name) | ~np.isin(content["frame"], unreadable)
        rows = {"track": content["track"][kept], "frame": content["frame"][kept], name: content["v"][kept]}
        (run,) = take(as_npz(rows, tmp_path / f"{name}.npz"), root)
        index = scores.read_index(run, "val", scores.FEATURES)
        record = replace(index.tracks[track.name], unreadable=unreadable)
        scores.write_record(run, "val", track.name, scores.key_of(None, index.settings), "", record, scores.FEATURES)
    sets = features.open_sets(["a", "b"], ["val"])
    assert features.read(sets, track, "val", frames_of=features.UNION).unreadable == (both,)
    assert features.read(sets, track, "val", frames_of=features.COMMON).unreadable == (one, both)


def test_tracks_without_any_feature_are_named(root: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = arrays(root, tmp_path / "whole.npz")
    kept = content["track"] != "video2"
    as_npz({name: values[kept] for name, values in content.items()}, tmp_path / "some.npz")
    assert harness("import", tmp_path / "whole.npz", "--features", "--data", root.path) == 0
    assert "warning" not in capsys.readouterr().err
    assert harness("import", tmp_path / "some.npz", "--features", "--data", root.path, "--fresh") == 0
    said = capsys.readouterr().err
    assert "warning: 1 track of val with images without any feature in " in said
    assert said.split("or scores: ")[1].splitlines()[0] == "video2"


def test_features_of_another_challenge_s_tracks_lie_under_its_name(root: DataRoot, tmp_path: Path) -> None:
    (run,) = take(write_features(root, tmp_path / "v.npz"), root)
    track = root.split("val")[0]
    (own,) = features.open_sets(["v"], ["val"])
    before = features.read([own], track, "val").of_set(0)
    (run.path / "features" / "val").rename(run.path / "features" / "val-VA")
    (other,) = features.open_sets(["v"], ["val"], "VA")
    np.testing.assert_array_equal(features.read([other], track, "val").of_set(0), before)


def test_what_is_done_about_a_missing_track_depends_on_where_its_features_come_from(root: DataRoot, tmp_path: Path) -> None:
    (run,) = take(write_features(root, tmp_path / "v.npz"), root)
    track = root.split("val")[0]
    (run.path / "features" / "val" / f"{track.name}.npz").unlink()
    (imported,) = features.open_sets(["v"], ["val"])
    for one, remedy in (
        (imported, "import the file again"),
        (replace(imported, checkpoint="made here"), "`harness features v --split val`"),
    ):
        with pytest.raises(DataError, match=f"the features of track {track.name} are missing or damaged") as refused:
            features.read([one], track, "val")
        assert refused.value.remedy == remedy


@pytest.mark.parametrize(("skipped", "left_out"), [(True, [2, 4]), (False, [])])
def test_frames_without_features_were_left_out_where_the_set_says_that_some_were(skipped: bool, left_out: list[int]) -> None:
    track = Track("a", "a", "val", 6, "annotation", np.array([1, 2, 3, 4, 5], np.int32), None, Path())
    found = features.TrackFeatures(np.array([1, 3], np.int32), (), unreadable=(5,), skipped=skipped, digest="")
    assert found.skipped_of(track).tolist() == left_out
