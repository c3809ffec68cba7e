"""Packed crops: the same bytes as the single files, stale when the folder changes, damage named."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.data.packed
from harness import files
from harness.data.crops import image_bytes
from harness.data.listing import read_folder
from harness.data.packed import PackedFile, folder_of_packed, pack, pack_root
from harness.data.places import FOLDER
from harness.data.scan import scan, survey
from harness.data.tracks import Track
from harness.errors import DataError
from tests.data_roots import Made, age, make_root

TRACKS = (
    Made("a", "train", [0] * 9, [1, 2, 3, 7]),
    Made("b", "val", [0] * 2, []),
    Made("c", "test", [0] * 3, [2, 3, 4, 5]),
)


def image(name: str, frame: int) -> bytes:
    return f"bytes of {name} {frame} ".encode() * frame


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_root(tmp_path / "root", TRACKS, image=image)
    (root / "cropped_aligned/a/00003.jpg").rename(root / "cropped_aligned/a/3.PNG")
    age(root)
    return root


def pack_all(root: Path, verify: bool = False, said: list[str] | None = None) -> dict[str, str]:
    folders = survey(root).folders
    note = (said if said is not None else []).append
    return {step.track: step.done for step in pack_root(root, "cropped_aligned", folders, verify, note)}


def packed_files(root: Path) -> list[Path]:
    return sorted(folder_of_packed(root, "cropped_aligned").glob("*.crops"))


def images(root: Path) -> dict[tuple[str, int], bytes]:
    return {(track.name, frame): image_bytes(track, frame) for track in scan(root).tracks for frame in track.frames.tolist()}


def test_packed_images_have_the_bytes_of_the_single_files(root: Path) -> None:
    single = images(root)
    assert pack_all(root) == {"a": "packed", "c": "packed"}
    packed = {track.name: track.packed for track in scan(root).tracks}
    assert packed["a"] is not None
    assert packed["b"] is None
    assert images(root) == single
    for path in (root / "cropped_aligned").rglob("*.*"):
        status = path.parent.stat()
        path.write_bytes(b"overwritten")
        os.utime(path.parent, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert images(root) == single


def test_packing_changes_neither_tracks_nor_fingerprint(root: Path) -> None:
    before = scan(root).fingerprint()
    pack_all(root)
    assert scan(root).fingerprint() == before


def test_packing_again_packs_only_what_changed(root: Path) -> None:
    pack_all(root)
    assert pack_all(root) == {"a": "kept", "c": "kept"}
    (root / "cropped_aligned/a/00009.jpg").write_bytes(b"new")
    age(root / "cropped_aligned/a", 10)
    assert pack_all(root) == {"a": "packed", "c": "kept"}
    assert len(packed_files(root)) == 2


@pytest.mark.parametrize("change", ["appears", "goes", "is replaced", "is renamed"])
def test_a_packed_file_is_not_used_once_its_folder_changed(root: Path, change: str) -> None:
    pack_all(root)
    folder = root / "cropped_aligned/a"
    if change == "appears":
        (folder / "00009.jpg").write_bytes(b"new")
    elif change == "goes":
        (folder / "00002.jpg").unlink()
    elif change == "is replaced":
        files.write_bytes(folder / "00002.jpg", b"other")
    else:
        (folder / "00002.jpg").rename(folder / "00004.jpg")
    track = scan(root).split("train")[0]
    assert track.packed is None
    assert all(image_bytes(track, frame) == track.image_path(frame).read_bytes() for frame in track.frames.tolist())


def test_verify_finds_bytes_that_changed_behind_the_folders_time(root: Path) -> None:
    pack_all(root)
    folder = root / "cropped_aligned/a"
    status = folder.stat()
    (folder / "00002.jpg").write_bytes(b"other")
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
    said: list[str] = []
    assert pack_all(root, verify=True, said=said) == {"a": "packed", "c": "compared"}
    assert said == ["a: other bytes in frame 2; packed again"]
    assert images(root)["a", 2] == b"other"


def test_verify_makes_a_damaged_packed_file_again(root: Path) -> None:
    single = images(root)
    pack_all(root)
    packed_files(root)[0].write_bytes(b"")
    said: list[str] = []
    assert pack_all(root, verify=True, said=said)["a"] == "packed"
    assert "too short" in said[0]
    assert images(root) == single


def test_a_folder_younger_than_two_seconds_is_packed_when_it_has_settled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "cropped_aligned/a/00009.jpg").write_bytes(b"young")
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    pack_all(root)
    assert len(waited) == 1
    assert 0 < waited[0] <= 2


def test_a_folder_that_changes_while_it_is_packed_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pack

    def change_meanwhile(directory: Path, *rest: object) -> int:
        (directory / "00009.jpg").write_bytes(b"new")
        return original(directory, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(harness.data.packed, "pack", change_meanwhile)
    with pytest.raises(DataError, match="changed while"):
        pack_all(root)
    assert packed_files(root) == []


@given(st.dictionaries(st.integers(1, 10**6), st.binary(max_size=200), max_size=30))
@settings(max_examples=50, deadline=None)
def test_any_images_come_back(tmp_path_factory: pytest.TempPathFactory, contents: dict[int, bytes]) -> None:
    folder = tmp_path_factory.mktemp("images")
    for frame, data in contents.items():
        (folder / f"{frame:05d}.jpg").write_bytes(data)
    assert pack(folder, read_folder(folder), folder / "x.crops") == sum(map(len, contents.values()))
    packed = PackedFile(folder / "x.crops")
    assert {int(frame): packed.read(int(frame)) for frame in packed.frames} == contents


def test_more_images_than_are_read_ahead_stay_in_order(tmp_path: Path) -> None:
    for frame in range(1, 1001):
        (tmp_path / f"{frame:05d}.jpg").write_bytes(str(frame).encode())
    pack(tmp_path, read_folder(tmp_path), tmp_path / "x.crops")
    packed = PackedFile(tmp_path / "x.crops")
    assert [packed.read(frame) for frame in (1, 256, 257, 512, 1000)] == [b"1", b"256", b"257", b"512", b"1000"]


def reads(path: Path) -> list[bytes]:
    packed = PackedFile(path)
    return [packed.read(int(frame)) for frame in packed.frames]


def test_every_single_changed_byte_is_found(root: Path) -> None:
    pack_all(root)
    path = packed_files(root)[0]
    whole = path.read_bytes()
    right = reads(path)
    generator = np.random.default_rng(0)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed)
        with pytest.raises(DataError, match="damaged"):
            reads(path)
    path.write_bytes(whole)
    assert reads(path) == right


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_a_packed_file_that_is_cut_off_is_named(root: Path, share: float) -> None:
    pack_all(root)
    path = packed_files(root)[0]
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="damaged"):
        image_bytes(scan(root).split("train")[0], 1)


def test_a_frame_that_is_not_packed_is_named(root: Path) -> None:
    pack_all(root)
    with pytest.raises(DataError, match="no frame 5"):
        image_bytes(scan(root).split("train")[0], 5)


def test_an_image_that_cannot_be_read_leaves_no_packed_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "cropped_aligned/a/00002.jpg").unlink()
    (root / "cropped_aligned/a/00002.jpg").symlink_to("nowhere")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with pytest.raises(DataError, match="00002"):
        pack_all(root)
    assert packed_files(root) == []


def test_more_tracks_than_may_be_open_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness.data.packed, "_descriptors", harness.data.packed._Descriptors(3))
    root = make_root(tmp_path, [Made(f"v{k}", "train", [0] * 2, [1, 2]) for k in range(10)], image=image)
    age(root)
    single = images(root)
    pack_all(root)
    before = len(os.listdir("/proc/self/fd"))
    tracks = scan(root).tracks
    assert {(track.name, frame): image_bytes(track, frame) for frame in (1, 2) for track in tracks} == single
    assert len(os.listdir("/proc/self/fd")) <= before + 4


def test_reading_every_image_opens_each_packed_file_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_all(root)
    tracks = scan(root).tracks
    opened: list[str] = []
    original = os.open

    def spy(path: str, *rest: Any, **named: Any) -> int:
        opened.append(os.fspath(path))
        return original(path, *rest, **named)

    monkeypatch.setattr(os, "open", spy)
    for frame in range(1, 10):
        for track in tracks:
            if frame in track.frames:
                image_bytes(track, frame)
    assert sorted(opened) == [str(path) for path in packed_files(root)]


def test_a_packed_file_that_was_made_again_is_read_again(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        folder = tmp_path / content.decode()
        folder.mkdir()
        for frame in range(1, 6):
            (folder / f"{frame:05d}.jpg").write_bytes(content)
        pack(folder, read_folder(folder), tmp_path / "x.crops")
        packed = PackedFile(tmp_path / "x.crops")
        assert [packed.read(frame) for frame in range(1, 6)] == [content] * 5


def read_in_worker(task: tuple[Track, int]) -> bytes:
    return image_bytes(*task)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_at_the_same_time(root: Path, method: str) -> None:
    single = images(root)
    pack_all(root)
    assert images(root) == single
    tasks = [(track, frame) for track in scan(root).tracks for frame in track.frames.tolist()] * 5
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(read_in_worker, tasks, chunksize=3) == [single[track.name, frame] for track, frame in tasks]


def test_tracks_can_be_sent_to_other_processes(root: Path) -> None:
    pack_all(root)
    for track in scan(root).tracks:
        again = pickle.loads(pickle.dumps(track))
        assert (again.packed, again.frames.tolist()) == (track.packed, track.frames.tolist())


def test_a_faster_disk_may_hold_the_packed_files(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "fast"))
    single = images(root)
    pack_all(root)
    packed = scan(root).split("train")[0].packed
    assert packed is not None
    assert packed.is_relative_to(tmp_path / "fast")
    assert not (root / FOLDER).exists()
    assert images(root) == single


def test_an_image_written_over_in_place_is_seen_when_it_is_packed_again(root: Path) -> None:
    name, (directory, listing) = next(item for item in survey(root).folders.items() if len(item[1][1].frames))
    assert set(pack_all(root).values()) == {"packed"}
    assert set(pack_all(root).values()) == {"kept"}
    path = directory / listing.name_of(int(listing.frames[0]))
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = pack_all(root)
    assert done.pop(name) == "packed"
    assert set(done.values()) == {"kept"}
    path.touch()  # the same bytes at another time
    assert pack_all(root)[name] == "compared"
    assert set(pack_all(root).values()) == {"kept"}
