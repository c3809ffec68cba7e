"""The scan cache: whatever changes below a root, a cached scan says the same as a fresh one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.data.cache
from harness.data.listing import read_folder
from harness.data.places import FOLDER, folder_for
from harness.data.scan import scan, survey
from tests.data_roots import EDITIONS, Made, age, make_root, sample_text, write, write_labels

LABELS = EDITIONS["5"].annotations
CROPS = "cropped_aligned"
NEW = "cropped_aligned/cropped_aligned_new_50_vids"


def summary(root: Path, use_cache: bool) -> tuple[Any, ...]:
    result = survey(root, use_cache=use_cache)
    tracks = [
        (
            track.name,
            track.split,
            track.rows,
            track.rows_from,
            track.frames.tolist(),
            None if track.labels is None else track.labels.tolist(),
            track.directory,
            track.frame_rate,
            [track.image_path(frame) for frame in track.frames.tolist()],
        )
        for track in result.data.tracks
    ]
    return tracks, result.findings, result.unused, result.data.fingerprint()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An old root that was scanned, so that everything in it is kept."""
    make_root(tmp_path / "root", crops="nested, new videos")
    write(tmp_path / "root/frame_rates.csv", "recording,fps\nvideo2,20.38\n")
    folder = tmp_path / "root" / CROPS / CROPS / "6-30-1920x1080_left"
    (folder / "00002.jpg").rename(folder / "2.png")
    (folder / "00003.jpg").unlink()
    (tmp_path / "root" / FOLDER).mkdir()
    folder_for(tmp_path / "root").mkdir()
    age(tmp_path / "root")
    scan(tmp_path / "root")
    return tmp_path / "root"


def test_a_second_scan_lists_no_folder_and_reads_no_label_or_sample(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = summary(root, use_cache=False)

    def refuse(path: Path) -> Any:
        raise AssertionError(f"read {path}")

    monkeypatch.setattr(harness.data.cache, "read_folder", refuse)
    monkeypatch.setattr(harness.data.disk, "read_labels", refuse)
    monkeypatch.setattr(harness.data.official, "read_sample", refuse)
    assert summary(root, use_cache=True) == fresh


def replace_by_same_size_and_time(path: Path, old: bytes, new: bytes) -> None:
    """The change nobody can see in (size, mtime_ns)."""
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(old, new))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "an image appears": lambda root: (root / CROPS / CROPS / "6-30-1920x1080_left/00003.png").touch(),
    "an image beyond the gap appears": lambda root: (root / NEW / "video2/00005.jpg").touch(),
    "an image goes": lambda root: os.remove(root / NEW / "video2/00001.jpg"),
    "an image is renamed": lambda root: (root / CROPS / CROPS / "6-30-1920x1080_left/2.png").rename(
        root / CROPS / CROPS / "6-30-1920x1080_left/00002.jpg"
    ),
    "a track folder appears": lambda root: write(root / CROPS / CROPS / "new/00001.jpg", ""),
    "a track folder appears beside": lambda root: write(root / "cropped_aligned_new_50_vids/new/00001.jpg", ""),
    "a track folder goes": lambda root: shutil.rmtree(root / CROPS / CROPS / "6-30-1920x1080_left"),
    "a track folder moves": lambda root: (root / CROPS / CROPS / "6-30-1920x1080_left").rename(
        root / NEW / "6-30-1920x1080_left"
    ),
    "a label file grows": lambda root: write_labels(root / LABELS / "Train_Set/video2.txt", [6] * 9),
    "a label changes, the size does not": lambda root: write_labels(root / LABELS / "Train_Set/video2.txt", [5] * 5),
    "a label file appears": lambda root: write_labels(root / LABELS / "Validation_Set/466.txt", [1]),
    "a label file goes": lambda root: os.remove(root / LABELS / "Train_Set/video2.txt"),
    "a label file changes sides": lambda root: (root / LABELS / "Train_Set/video2.txt").rename(
        root / LABELS / "Validation_Set/video2.txt"
    ),
    "the sample changes": lambda root: write(root / EDITIONS["5"].sample, sample_text([Made("video92", "test", [0], [])], "")),
    "another sample appears": lambda root: write(
        root / "more/CVPR_5th_ABAW_EXPR_test_set_sample.txt", sample_text([Made("video92", "test", [0], [])], "")
    ),
    "the sample goes": lambda root: [
        (root / name).rename(root / f"{name}.old") for name in (EDITIONS["5"].sample, EDITIONS["5"].example)
    ],
    "the list of names changes": lambda root: write(root / EDITIONS["5"].names, "video92\n"),
    "a frame rate changes": lambda root: write(root / "frame_rates.csv", "recording,fps\nvideo2,20.39\n"),
    "the frame rates go": lambda root: os.remove(root / "frame_rates.csv"),
    "an annotation folder of a later edition appears": lambda root: write_labels(
        root / "6th ABAW Annotations/EXPR_Recognition_Challenge/Train_Set/video2.txt", [1]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_thing_is_seen(root: Path, change: str) -> None:
    before = summary(root, use_cache=True)
    CHANGES[change](root)
    after = summary(root, use_cache=True)
    assert after != before
    assert after == summary(root, use_cache=False)
    assert summary(root, use_cache=True) == after


def test_a_change_that_keeps_size_and_time_is_seen_while_the_file_was_young_when_read(root: Path) -> None:
    path = root / LABELS / "Train_Set/video2.txt"
    write_labels(path, [6] * 5)
    scan(root)
    replace_by_same_size_and_time(path, b"\n6\n", b"\n5\n")
    assert summary(root, use_cache=True) == summary(root, use_cache=False)


def test_a_folder_whose_time_lies_in_the_future_is_read_each_time(root: Path) -> None:
    folder = root / CROPS / CROPS / "6-30-1920x1080_left"
    future = folder.stat().st_mtime_ns + 10**12
    os.utime(folder, ns=(future, future))
    scan(root)
    (folder / "00001.jpg").unlink()
    os.utime(folder, ns=(future, future))
    assert summary(root, use_cache=True) == summary(root, use_cache=False)


def make_target(root: Path, place: Path) -> None:
    """What a link leads to: crops of two tracks, old, so that only the link says what is new."""
    write(place / "video7/00001.jpg", "")
    write(place / "video2_left/00002.jpg", "")
    age(place)


def age_alone(folder: Path) -> None:
    """Makes a folder older, nothing in it."""
    status = folder.stat()
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns - 60 * 10**9))


LINKS: dict[str, tuple[str, str]] = {
    "to a folder of crops": ("cropped_aligned/batch7", "."),
    "to a track": ("cropped_aligned/cropped_aligned/video7", "video7"),
    "to crops beside": ("cropped_aligned_new_50_vids", "."),
    "to anything": ("more", "."),
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("first", ["appears", "goes"])
def test_what_a_link_leads_to_is_looked_at_anew(root: Path, link: str, first: str) -> None:
    elsewhere = root.parent / "elsewhere"
    place, target = LINKS[link]
    (root / place).symlink_to(elsewhere / target)
    if link == "to anything":
        elsewhere = elsewhere / "cropped_aligned"
    if first == "goes":
        make_target(root, elsewhere)
    for folder in (root / place).parents[:3]:
        age_alone(folder)
    before = summary(root, use_cache=True)
    assert summary(root, use_cache=True) == before == summary(root, use_cache=False)
    if first == "goes":
        elsewhere.rename(root.parent / "away")
    else:
        make_target(root, elsewhere)
    after = summary(root, use_cache=True)
    assert after == summary(root, use_cache=False)
    assert after != before


def test_a_link_to_a_label_file_is_looked_at_anew(root: Path) -> None:
    labels = root / LABELS / "Validation_Set/video7.txt"
    labels.symlink_to(root.parent / "video7.txt")
    age_alone(labels.parent)
    before = summary(root, use_cache=True)
    write_labels(root.parent / "video7.txt", [3, 3])
    after = summary(root, use_cache=True)
    assert after == summary(root, use_cache=False)
    assert after != before


def test_a_change_that_keeps_size_and_modification_time_of_a_file_is_seen_by_its_inode_or_time_of_change(
    root: Path,
) -> None:
    before = summary(root, use_cache=True)
    replace_by_same_size_and_time(root / LABELS / "Train_Set/video2.txt", b"\n6\n", b"\n5\n")
    assert summary(root, use_cache=True) == summary(root, use_cache=False) != before


def test_what_another_user_left_in_the_root_is_not_believed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = folder_for(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "somebody else"))
    assert folder_for(root) != mine
    read: list[str] = []

    def noted(path: Any) -> Any:
        read.append(str(path))
        return read_folder(path)

    monkeypatch.setattr(harness.data.cache, "read_folder", noted)
    scan(root)
    assert str(root) in read


def test_a_copy_of_a_root_is_not_told_by_the_cache_that_was_copied_with_it(root: Path) -> None:
    copy = root.with_name("copy")
    shutil.copytree(root, copy, copy_function=shutil.copy2)
    assert not (copy / FOLDER / folder_for(copy).name).exists()


def test_without_a_home_the_root_is_read_each_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root.with_name("file")
    file.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    assert summary(root, use_cache=True) == summary(root, use_cache=False)


def test_a_fault_is_found_again_from_the_cache(root: Path) -> None:
    write_labels(root / LABELS / "Train_Set/video2.txt", [9] * 5)
    (root / CROPS / CROPS / "6-30-1920x1080_left/00002.jpg").touch()
    age(root)
    found = summary(root, use_cache=False)
    assert {finding.kind.code for finding in found[1]} >= {"LABEL_VALUE", "REPEATED_IMAGE"}
    assert summary(root, use_cache=True) == found
    assert summary(root, use_cache=True) == found


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", b"\xff\xfe\x00"])
def test_a_damaged_cache_is_read_over_and_made_again(root: Path, damage: bytes) -> None:
    stored = folder_for(root) / "scan-EXPR-cropped_aligned.json"
    whole = stored.read_bytes()
    stored.write_bytes(damage)
    assert summary(root, use_cache=True) == summary(root, use_cache=False)
    assert stored.read_bytes() == whole


def test_a_cache_with_one_changed_digit_is_not_believed(root: Path) -> None:
    stored = folder_for(root) / "scan-EXPR-cropped_aligned.json"
    whole = stored.read_bytes()
    place = whole.index(b'"lengths": "') + len(b'"lengths": "')
    stored.write_bytes(whole[:place] + (b"7" if whole[place : place + 1] != b"7" else b"8") + whole[place + 1 :])
    assert summary(root, use_cache=True) == summary(root, use_cache=False)


def test_a_root_nobody_may_write_to_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    root = make_root(tmp_path / "root")
    age(root)
    root.chmod(0o555)
    before = sorted(root.rglob("*"))
    fresh = summary(root, use_cache=True)
    assert sorted(root.rglob("*")) == before
    assert folder_for(root).is_relative_to(tmp_path / "user")
    assert [path.name for path in folder_for(root).iterdir()] == ["scan-EXPR-cropped_aligned.json"]
    assert summary(root, use_cache=True) == fresh
    root.chmod(0o755)


def test_nothing_is_written_through_a_link_that_came_with_the_root(tmp_path: Path) -> None:
    make_root(tmp_path / "root")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / FOLDER).symlink_to(tmp_path / "elsewhere")
    age(tmp_path / "root")
    scan(tmp_path / "root")
    assert not list((tmp_path / "elsewhere").iterdir())
    assert len(list(folder_for(tmp_path / "root").iterdir())) == 1


def test_each_kind_of_crops_has_a_cache_of_its_own(root: Path) -> None:
    aligned = summary(root, use_cache=True)
    write(root / "cropped/batch1/video2/00002.jpg", "")
    scan(root, crops="cropped")
    scan(root, crops=None)
    assert summary(root, use_cache=True) == aligned


def test_names_that_are_no_text_are_kept_too(root: Path) -> None:
    os.mkdir(os.fsencode(root / CROPS) + b"/bad\xff")
    Path(os.fsdecode(os.fsencode(root / NEW / "video2") + b"/\xff.jpg")).touch()
    age(root)
    fresh = summary(root, use_cache=False)
    assert summary(root, use_cache=True) == fresh
    assert summary(root, use_cache=True) == fresh


TRACK_NAMES = ("a", "b_left", "b_right", "c-1")
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(TRACK_NAMES), st.integers(1, 6)),
    st.tuples(st.just("remove"), st.sampled_from(TRACK_NAMES), st.integers(1, 6)),
    st.tuples(st.just("label"), st.sampled_from(TRACK_NAMES), st.integers(-1, 7)),
    st.tuples(st.just("unlabel"), st.sampled_from(TRACK_NAMES), st.just(0)),
    st.tuples(st.just("drop"), st.sampled_from(TRACK_NAMES), st.just(0)),
    st.tuples(st.just("age"), st.just(""), st.integers(0, 5)),
)


def take_step(root: Path, step: tuple[str, str, int]) -> None:
    kind, name, number = step
    folder = root / CROPS / name
    label_file = root / LABELS / "Train_Set" / f"{name}.txt"
    if kind == "add":
        write(folder / f"{number:05d}.jpg", "")
    elif kind == "remove":
        (folder / f"{number:05d}.jpg").unlink(missing_ok=True)
    elif kind == "label":
        write_labels(label_file, [number] * 4)
    elif kind == "unlabel":
        label_file.unlink(missing_ok=True)
    elif kind == "drop":
        shutil.rmtree(folder, ignore_errors=True)
    else:
        age(root, number)


@given(st.lists(STEPS, max_size=12))
@settings(max_examples=40, deadline=None)
def test_after_any_changes_in_any_order_a_cached_scan_is_a_fresh_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    root = make_root(tmp_path_factory.mktemp("changed"), [Made("a", "train", [0] * 4, [1, 2])])
    for step in steps:
        take_step(root, step)
        assert summary(root, use_cache=True) == summary(root, use_cache=False)
