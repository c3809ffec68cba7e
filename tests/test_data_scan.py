"""Scanning a data root: every official form gives the same tracks, and every fault is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.layout import edition_of
from harness.data.scan import scan, survey
from harness.data.tracks import DataRoot, recording_of
from harness.errors import DataError, UsageError
from tests.data_roots import CLASSES, CROPS, EDITIONS, TRACKS, Made, age, make_root, sample_text, write, write_labels

RECORDINGS = {
    "6-30-1920x1080_left": "6-30-1920x1080",
    "10-60-1280x720": "10-60-1280x720",
    "10-60-1280x720_right": "10-60-1280x720",
    "video2": "video2",
    "video2_left": "video2",
    "102-30-640x360-1": "102-30-640x360-1",
    "102-30-640x360-2": "102-30-640x360-2",
    "video10_1": "video10_1",
    "101": "101",
    "video92": "video92",
    "14-30-1920x1080": "14-30-1920x1080",
    "40-30-1280x720_left": "40-30-1280x720",
}


def codes(root: Path, **options: Any) -> list[str]:
    return [finding.kind.code for finding in survey(root, use_cache=False, **options).findings]


def table(data: DataRoot) -> list[tuple[str, str, str, int, list[int], list[int] | None]]:
    return [
        (
            track.name,
            track.recording,
            track.split,
            track.rows,
            track.frames.tolist(),
            None if track.labels is None else track.labels.tolist(),
        )
        for track in data.tracks
    ]


def expected_table() -> list[tuple[str, str, str, int, list[int], list[int] | None]]:
    order = {"train": 0, "val": 1, "test": 2}
    made = [track for track in TRACKS if track.split]
    made.sort(key=lambda track: (order[track.split], track.name if track.split != "test" else ""))
    return [
        (
            track.name,
            RECORDINGS[track.name],
            track.split,
            len(track.labels),
            [frame for frame in track.frames if frame <= len(track.labels)],
            None if track.split == "test" else list(track.labels),
        )
        for track in made
    ]


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_edition_gives_the_same_tracks(tmp_path: Path, edition: str) -> None:
    data = scan(make_root(tmp_path, edition=edition), use_cache=False)
    official = bool(EDITIONS[edition].sample or EDITIONS[edition].example or EDITIONS[edition].totals)
    expected = (
        expected_table()
        if official
        else [(*row[:3], row[4][-1] if row[2] == "test" else row[3], *row[4:]) for row in expected_table()]
    )
    assert table(data) == expected
    assert {track.rows_from for track in data.split("test")} == {"sample" if official else "images"}
    assert {track.rows_from for track in data.split("train")} == {"annotation"}


@pytest.mark.parametrize("crops", [name for name in CROPS if name != "batches"])
def test_every_place_of_the_aligned_crops_gives_the_same_tracks(tmp_path: Path, crops: str) -> None:
    assert table(scan(make_root(tmp_path, crops=crops), use_cache=False)) == expected_table()


def test_unaligned_crops_lie_in_batches(tmp_path: Path) -> None:
    make_root(tmp_path, crops="batches")
    data = scan(tmp_path, crops="cropped", use_cache=False)
    assert table(data) == expected_table()
    paths = [track.image_path(frame) for track in data.tracks for frame in track.frames.tolist()]
    assert {path.parent.parent.name for path in paths} == {"batch1", "batch2", "cropped_new_50_vids"}
    assert all(path.exists() for path in paths)


def test_both_kinds_of_crops_in_one_root_are_told_apart(tmp_path: Path) -> None:
    make_root(tmp_path, crops="nested")
    aligned = table(scan(tmp_path, use_cache=False))
    folder = tmp_path / "cropped" / "batch1" / "video2_left"
    folder.mkdir(parents=True)
    (folder / "00002.jpg").touch()
    assert table(scan(tmp_path, use_cache=False)) == aligned
    unaligned = scan(tmp_path, crops="cropped", use_cache=False)
    assert [track.name for track in unaligned.tracks if len(track.frames)] == ["video2_left"]


@pytest.mark.parametrize("absolute", [True, False])
def test_crops_may_be_the_path_of_any_folder(tmp_path: Path, absolute: bool) -> None:
    make_root(tmp_path)
    (tmp_path / "cropped_aligned").rename(tmp_path / "my crops")
    place = str(tmp_path / "my crops") if absolute else "my crops"
    assert table(scan(tmp_path, crops=place, use_cache=False)) == expected_table()


def test_without_crops_rows_and_labels_are_read_and_every_frame_is_missing(tmp_path: Path) -> None:
    data = scan(make_root(tmp_path), crops=None, use_cache=False)
    assert [row[:4] + row[5:] for row in table(data)] == [row[:4] + row[5:] for row in expected_table()]
    assert all(len(track.frames) == 0 for track in data.tracks)


def test_the_test_split_keeps_the_order_of_the_official_file(tmp_path: Path) -> None:
    data = scan(make_root(tmp_path), use_cache=False)
    assert [track.name for track in data.split("test")] == ["video92", "14-30-1920x1080", "40-30-1280x720_left"]


@pytest.mark.parametrize(
    ("track", "recording"),
    [
        ("a_left", "a"),
        ("a_right", "a"),
        ("a-1", "a-1"),
        ("a_1", "a_1"),
        ("a_left_1", "a_left_1"),
        ("left", "left"),
        ("a_top", "a_top"),
    ],
)
def test_only_left_and_right_are_taken_off_a_recordings_name(track: str, recording: str) -> None:
    assert recording_of(track) == recording


def test_images_past_the_last_row_are_clipped_and_reported(tmp_path: Path) -> None:
    result = survey(make_root(tmp_path), use_cache=False)
    track = next(track for track in result.data.tracks if track.name == "video10_1")
    assert (track.rows, track.frames.tolist(), track.clipped) == (2, [1, 2], 2)
    assert [finding.found for finding in result.findings if finding.kind.code == "BEYOND_ROWS"] == ["2 images"]


def test_rows_of_an_unlisted_test_set_are_the_larger_of_image_number_and_decoded_frames(tmp_path: Path) -> None:
    make_root(tmp_path, edition="3")
    write(tmp_path / "frame_rates.csv", "recording,fps,frames\n14-30-1920x1080,29.97,2\n40-30-1280x720,25.0,7\n")
    rows = {
        track.name: (track.rows, track.rows_from, track.frame_rate) for track in scan(tmp_path, use_cache=False).split("test")
    }
    assert rows == {
        "video92": (2, "images", None),
        "14-30-1920x1080": (3, "images", 29.97),
        "40-30-1280x720_left": (7, "images", 25.0),
    }


def test_rows_come_from_sample_then_annotation_then_images(tmp_path: Path) -> None:
    make_root(tmp_path, [Made("a", "test", [0] * 9, range(1, 7)), Made("b", "test", [0] * 5, [1])])
    write_labels(tmp_path / EDITIONS["5"].annotations / "Validation_Set/a.txt", [0] * 8)
    write(tmp_path / "frame_rates.csv", "recording,fps,frames\na,30,11\n")

    def rows() -> dict[str, tuple[int, str, int]]:
        return {
            track.name: (track.rows, track.rows_from, len(track.frames))
            for track in scan(tmp_path, use_cache=False).split("test")
        }

    assert rows() == {"a": (9, "sample", 6), "b": (5, "sample", 1)}
    for name in (EDITIONS["5"].sample, EDITIONS["5"].example):
        os.remove(tmp_path / name)
    assert rows() == {"a": (8, "annotation", 6), "b": (1, "images", 1)}
    write_labels(tmp_path / EDITIONS["5"].annotations / "Validation_Set/a.txt", [0] * 4)
    assert rows()["a"] == (4, "annotation", 4)
    os.remove(tmp_path / EDITIONS["5"].annotations / "Validation_Set/a.txt")
    assert rows()["a"] == (11, "images", 6)


def test_frame_rates_belong_to_recordings_so_both_persons_have_them(tmp_path: Path) -> None:
    make_root(tmp_path)
    write(tmp_path / "frame_rates.csv", "recording,fps\nvideo2,20.38\n")
    rates = {track.name: track.frame_rate for track in scan(tmp_path, use_cache=False).tracks}
    assert {name for name, rate in rates.items() if rate == 20.38} == {"video2", "video2_left"}


def test_without_any_test_list_folders_nobody_labelled_are_the_test_split(tmp_path: Path) -> None:
    make_root(tmp_path, edition="6, old folder")
    shutil.rmtree(tmp_path / "test_set_examples")
    assert [track.name for track in scan(tmp_path, use_cache=False).split("test")] == [
        "14-30-1920x1080",
        "40-30-1280x720_left",
        "466",
        "video92",
    ]
    assert "NO_TEST_SET" in codes(tmp_path)


def test_folders_of_other_challenges_are_not_used_when_there_is_a_test_list(tmp_path: Path) -> None:
    make_root(tmp_path)
    result = survey(tmp_path, use_cache=False)
    assert result.unused == ("466",)


def test_a_given_sample_comes_before_those_found(tmp_path: Path) -> None:
    make_root(tmp_path)
    sample = tmp_path.parent / "other.txt"
    write(sample, sample_text([Made("102-30-640x360-1", "test", [0] * 9, [])], ""))
    data = scan(tmp_path, sample=sample, use_cache=False)
    assert [(track.name, track.rows, len(track.frames)) for track in data.split("test")] == [("102-30-640x360-1", 9, 8)]
    assert data.sample == sample
    assert "TEST_LABELLED" in codes(tmp_path, sample=str(sample))


def test_the_file_of_both_official_splits_is_kept_in_validation_alone(tmp_path: Path) -> None:
    make_root(tmp_path)
    write_labels(tmp_path / EDITIONS["5"].annotations / "Train_Set" / "video10_1.txt", [0, 0])
    result = survey(tmp_path, use_cache=False)
    assert table(result.data) == expected_table()
    assert list(result.both_splits) == ["video10_1"]
    assert [finding.found for finding in result.findings if finding.kind.code == "BOTH_SPLITS"] == ["video10_1"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 0], []),
        ([0, 3], [("0 in line 3", "3 as in ")]),
        ([0], [("2 labels", "1 as in ")]),
    ],
)
def test_label_files_of_both_splits_that_differ_are_a_warning(
    tmp_path: Path, labels: list[int], said: list[tuple[str, str]]
) -> None:
    make_root(tmp_path)
    other = tmp_path / EDITIONS["5"].annotations / "Train_Set" / "video10_1.txt"
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([CLASSES, *map(str, labels)]).encode())
    result = survey(tmp_path, use_cache=False)
    assert table(result.data) == expected_table()
    findings = [finding for finding in result.findings if finding.kind.code == "BOTH_SPLITS_DIFFER"]
    assert [(finding.found, finding.expected.split("/")[0]) for finding in findings] == said
    assert all(Path(finding.file).parent.name == "Validation_Set" for finding in findings)


def test_persons_of_one_recording_on_both_sides_of_a_split_are_a_warning(tmp_path: Path) -> None:
    tracks = [
        Made("135-24_left", "val", [0], [1]),
        Made("135-24_right", "train", [0], [1]),
        Made("video49_left", "train", [0], [1]),
        Made("video49_right", "test", [0], [1]),
        Made("7-1", "train", [0], [1]),
        Made("7-2", "val", [0], [1]),
    ]
    make_root(tmp_path, tracks)
    findings = [finding for finding in survey(tmp_path, use_cache=False).findings if finding.kind.code == "SPLIT_LEAK"]
    assert [finding.found for finding in findings] == [
        "135-24_right in train, 135-24_left in val",
        "video49_left in train, video49_right in test",
    ]
    assert {finding.kind.severity for finding in findings} == {"warning"}


def test_labels_of_several_editions_are_read_from_the_latest(tmp_path: Path) -> None:
    make_root(tmp_path)
    write_labels(tmp_path / "Third ABAW Annotations/EXPR_Classification_Challenge/Train_Set/old.txt", [1])
    write_labels(tmp_path / "annotations/EXPR_Set/Train_Set/older.txt", [1])
    assert table(scan(tmp_path, use_cache=False)) == expected_table()
    assert "SEVERAL_EDITIONS" in codes(tmp_path)


LABEL_FOLDERS = {
    "annotations/EXPR_Set": 1,
    "First ABAW/EXPR_Set": 1,
    "Third ABAW Annotations/EXPR_Classification_Challenge": 3,
    "ABAW Annotations/EXPR_Classification_Challenge": 3,
    "CVPR_2023_5th_ABAW_Annotations/EXPR_Classification_Challenge": 5,
    "5th/ABAW Annotations/EXPR_Classification_Challenge": 5,
    "6th ABAW Annotations/EXPR_Classification_Challenge": 6,
    "Seventh_ABAW/EXPR_Recognition_Challenge": 7,
    "ABAW Annotations/EXPR_Recognition_Challenge": 8,
    "ninth-abaw/EXPR_Recognition_Challenge": 9,
    "batch15th/10th ABAW Annotations/EXPR_Recognition_Challenge": 10,
}


@pytest.mark.parametrize("folder", LABEL_FOLDERS)
def test_a_folder_of_annotations_is_of_the_edition_it_is_named_for(folder: str) -> None:
    assert edition_of(Path("/data") / folder, Path("/data")) == LABEL_FOLDERS[folder]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (older, newer)
        for older, edition in LABEL_FOLDERS.items()
        for newer, later in LABEL_FOLDERS.items()
        if edition < later and Path(older).parts[0] != Path(newer).parts[0]
    ],
)
def test_of_any_two_editions_the_labels_of_the_later_one_are_read(tmp_path: Path, older: str, newer: str) -> None:
    write_labels(tmp_path / older / "Train_Set/video2.txt", [1])
    write_labels(tmp_path / newer / "Train_Set/video2.txt", [2])
    tracks = scan(tmp_path, crops=None, use_cache=False).tracks
    assert [track.labels.tolist() for track in tracks if track.labels is not None] == [[2]]
    several = [finding for finding in survey(tmp_path, None, use_cache=False).findings if finding.kind.code == "SEVERAL_EDITIONS"]
    assert [Path(finding.file) for finding in several] == [tmp_path / older]


def test_annotations_of_other_challenges_are_not_read(tmp_path: Path) -> None:
    make_root(tmp_path)
    write(tmp_path / "5th_ABAW_Annotations/VA_Estimation_Challenge/Train_Set/466.txt", "valence,arousal\n0.1,0.2\n")
    write(tmp_path / "5th_ABAW_Annotations/AU_Detection_Challenge/Train_Set/466.txt", "AU1,AU2\n0,1\n")
    assert table(scan(tmp_path, use_cache=False)) == expected_table()


@pytest.mark.parametrize(
    "name", ["Thumbs.db", ".DS_Store", "._00001.jpg", "desktop.ini", "notes.txt", "00001.txt", "a_00001.jpg"]
)
def test_junk_beside_images_and_crop_folders_is_ignored(tmp_path: Path, name: str) -> None:
    make_root(tmp_path, crops="nested")
    for folder in ("cropped_aligned/cropped_aligned/video2", "cropped_aligned/cropped_aligned", "cropped_aligned", "."):
        (tmp_path / folder / name).write_bytes(b"x")
    (tmp_path / "cropped_aligned/__MACOSX/video2").mkdir(parents=True)
    (tmp_path / "cropped_aligned/.thumbnails").mkdir(parents=True)
    assert table(scan(tmp_path, use_cache=False)) == expected_table()


@pytest.mark.parametrize("name", ["00001.jpg", "1.png", "00001.jpg0"])
@pytest.mark.parametrize("place", [".", "5th_ABAW_Annotations", "{labels}", "{labels}/Train_Set", "prediction_files_format"])
def test_a_stray_picture_hides_nothing(tmp_path: Path, place: str, name: str) -> None:
    make_root(tmp_path / "root")
    (tmp_path / "root" / place.format(labels=EDITIONS["5"].annotations) / name).write_bytes(b"x")
    (tmp_path / "1.png").write_bytes(b"x")
    assert table(scan(tmp_path / "root", use_cache=False)) == expected_table()
    assert table(scan(tmp_path, use_cache=False)) == expected_table()


@pytest.mark.parametrize("name", ["readme.txt", "README.TXT", "Read me first.txt", "LICENSE.txt", "notes.txt"])
def test_a_note_among_the_label_files_is_no_label_file(tmp_path: Path, name: str) -> None:
    make_root(tmp_path)
    write(tmp_path / EDITIONS["5"].annotations / "Train_Set" / name, "Labels of the training set.\n")
    assert table(scan(tmp_path, use_cache=False)) == expected_table()


def test_a_track_may_be_called_like_a_note_in_part(tmp_path: Path) -> None:
    make_root(tmp_path, [Made("notebook", "train", [0], [1]), Made("info7", "train", [0], [1])])
    assert [track.name for track in scan(tmp_path, use_cache=False).tracks] == ["info7", "notebook"]


TRAIN_FOLDER = f"{EDITIONS['5'].annotations}/{EDITIONS['5'].train}"
COPIES = ("video2 - Copy", "video2 - Kopie (2)", "video2 (1)", "video2(1)", "video2 copy", "video2 copy 2", "Copy of video2")


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("changed", [False, True])
def test_a_copy_of_a_label_file_is_an_error_wherever_it_lies(tmp_path: Path, name: str, changed: bool) -> None:
    root = make_root(tmp_path)
    folder = root / TRAIN_FOLDER
    copy = folder.parent / "Validation_Set" / f"{name}.txt"
    shutil.copy(folder / "video2.txt", copy)
    if changed:
        write_labels(copy, [0, 1, 2])
    with pytest.raises(DataError, match="mark them as copies") as caught:
        scan(root, use_cache=False)
    assert (caught.value.path, caught.value.found) == (str(copy), "beside video2.txt")
    # Where no crops are looked for, only the same bytes tell.
    assert ("LABEL_COPY" in [finding.kind.code for finding in survey(root, None, use_cache=False).findings]) is not changed


@pytest.mark.parametrize("name", COPIES)
def test_a_track_with_crops_of_its_own_may_be_called_like_a_copy(tmp_path: Path, name: str) -> None:
    root = make_root(tmp_path, [*TRACKS, Made(name, "train", [0, 1, 2], [1])])
    assert "LABEL_COPY" not in codes(root)
    (root / TRAIN_FOLDER / "video2.txt").unlink()
    shutil.rmtree(root / "cropped_aligned" / name)
    assert "LABEL_COPY" not in codes(root)


def test_any_number_of_folders_in_the_root_hides_nothing(tmp_path: Path) -> None:
    make_root(tmp_path)
    for k in range(150):
        (tmp_path / f"features{k:03d}").mkdir()
    assert table(scan(tmp_path, use_cache=False)) == expected_table()
    assert "NOT_SEARCHED" not in codes(tmp_path)


@pytest.mark.parametrize("edition", ["1", "3", "5", "6", "10"])
def test_among_many_folders_those_with_official_names_are_looked_into_and_the_rest_is_reported(
    tmp_path: Path, edition: str
) -> None:
    make_root(tmp_path / "downloads", edition=edition)
    alone = table(scan(tmp_path, use_cache=False))
    for k in range(101):
        (tmp_path / "downloads" / f"video{k}").mkdir()
    assert table(scan(tmp_path, use_cache=False)) == alone
    skipped = [finding for finding in survey(tmp_path, use_cache=False).findings if finding.kind.code == "NOT_SEARCHED"]
    assert [(Path(finding.file), finding.found) for finding in skipped] == [(tmp_path / "downloads", "101 folders in it")]


def test_crop_folders_inside_a_track_of_images_are_reported(tmp_path: Path) -> None:
    make_root(tmp_path)
    shutil.copytree(tmp_path / "cropped_aligned/video2", tmp_path / "cropped_aligned/101/video7")
    (tmp_path / "cropped_aligned/video92/.thumbnails").mkdir()
    skipped = [finding for finding in survey(tmp_path, use_cache=False).findings if finding.kind.code == "NOT_SEARCHED"]
    assert [(Path(finding.file).name, finding.found) for finding in skipped] == [("101", "1 folder beside images")]


def test_an_empty_crop_folder_with_hidden_folders_is_a_track_without_images(tmp_path: Path) -> None:
    make_root(tmp_path)
    (tmp_path / "cropped_aligned/video2_left/.thumbnails").mkdir(parents=True)
    assert "NO_IMAGES" in codes(tmp_path)
    assert "NO_FOLDER" not in codes(tmp_path)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("place", ["lost+found", "cropped_aligned/video2", "5th_ABAW_Annotations"])
def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, use_cache: bool
) -> None:
    make_root(tmp_path)
    (tmp_path / place).mkdir(exist_ok=True)
    original = os.listdir

    def refuse(directory: str | Path) -> list[str]:
        if Path(directory) == tmp_path / place:
            raise PermissionError(13, "Permission denied")
        return original(directory)

    monkeypatch.setattr(os, "listdir", refuse)
    result = survey(tmp_path, use_cache=use_cache)
    errors = [finding for finding in result.findings if finding.kind.severity == "error"]
    assert [(finding.kind.code, Path(finding.file)) for finding in errors] == [("UNREADABLE_FILE", tmp_path / place)]
    assert "Permission denied" in errors[0].found
    frames = {track.name: len(track.frames) for track in result.data.tracks}
    assert frames["video92"] == 2
    if place != "5th_ABAW_Annotations":
        assert frames["video2"] == (0 if "video2" in place else 3)
        assert frames["101"] == 1


@pytest.mark.parametrize(
    "names", [["1.jpg", "2.JPG", "0003.png"], ["00001.png", "00002.png"], ["00001.jpeg", "00002.PNG"], ["000001.jpg", "12.jpg"]]
)
def test_images_named_in_other_ways_are_found_under_their_own_names(tmp_path: Path, names: list[str]) -> None:
    folder = make_root(tmp_path, [Made("a", "train", [0] * 20, [])]) / "cropped_aligned/a"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    track = scan(tmp_path, use_cache=False).tracks[0]
    assert track.frames.tolist() == [int(name.split(".")[0]) for name in names]
    assert [track.image_path(frame) for frame in track.frames.tolist()] == [folder / name for name in names]


@given(st.sets(st.integers(1, 120_000), max_size=40), st.sampled_from([".jpg", ".png"]))
@settings(max_examples=30, deadline=None)
def test_any_set_of_frame_numbers_comes_back_sorted(
    tmp_path_factory: pytest.TempPathFactory, frames: set[int], suffix: str
) -> None:
    root = make_root(tmp_path_factory.mktemp("root"), [Made("a", "train", [0] * 120_000, sorted(frames))], suffix=suffix)
    (root / "cropped_aligned" / "a").mkdir(parents=True, exist_ok=True)
    track = scan(root, use_cache=False).tracks[0]
    assert track.frames.tolist() == sorted(frames)
    assert track.frames.dtype == np.int32
    assert all(track.image_path(frame).exists() for frame in frames)


def test_names_that_only_look_official_when_put_together_are_told_apart(tmp_path: Path) -> None:
    make_root(tmp_path, [Made("a", "train", [0] * 9, [3])])
    for name in ("00001.jpg0", "0002.jpg"):
        (tmp_path / "cropped_aligned/a" / name).touch()
    assert scan(tmp_path, use_cache=False).tracks[0].frames.tolist() == [2, 3]


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    make_root(tmp_path, crops="nested")
    os.symlink(tmp_path, tmp_path / "again")
    os.symlink(tmp_path / "cropped_aligned", tmp_path / "cropped_aligned" / "batch1")
    assert table(scan(tmp_path, use_cache=False)) == expected_table()


def test_linked_crops_are_followed(tmp_path: Path) -> None:
    make_root(tmp_path / "disk")
    os.symlink(tmp_path / "disk/cropped_aligned", tmp_path / "disk/5th_ABAW_Annotations/cropped_aligned")
    (tmp_path / "root").mkdir()
    for name in ("cropped_aligned", "5th_ABAW_Annotations", "prediction_files_format"):
        os.symlink(tmp_path / "disk" / name, tmp_path / "root" / name)
    assert table(scan(tmp_path / "root", use_cache=False)) == expected_table()


FAULTS: dict[str, Callable[[Path], object]] = {
    "REPEATED_IMAGE": lambda root: (root / "cropped_aligned/video2/1.png").touch(),
    "FRAME_ZERO": lambda root: (root / "cropped_aligned/video2/00000.jpg").touch(),
    "REPEATED_FOLDER": lambda root: shutil.copytree(root / "cropped_aligned/video2", root / "cropped_aligned_new_50_vids/video2"),
    "REPEATED_ANNOTATION": lambda root: write_labels(
        root / "copy of 5th_ABAW_Annotations/EXPR_Classification_Challenge/Train_Set/video2.txt", [0]
    ),
    "UNSAFE_NAME": lambda root: write_labels(root / EDITIONS["5"].annotations / "Train_Set" / "con.txt", [0]),
    "CLASHING_NAMES": lambda root: write_labels(root / EDITIONS["5"].annotations / "Train_Set" / "VIDEO2.txt", [0]),
    "LABEL_VALUE": lambda root: write_labels(root / EDITIONS["5"].annotations / "Train_Set" / "video2.txt", [8]),
    "SAMPLE_HEADER": lambda root: write(root / EDITIONS["5"].sample, "a,b\n"),
    "SAMPLE_ROW": lambda root: write(root / EDITIONS["5"].sample, sample_text([], "") + "video92/00002.jpg,\n"),
    "SEVERAL_SAMPLES": lambda root: write(root / "old/CVPR_5th_ABAW_EXPR_test_set_sample.txt", sample_text(TRACKS[:1], "")),
    "NAMES_LINE": lambda root: write(root / EDITIONS["5"].names, "../evil\n"),
    "FRAME_RATES": lambda root: write(root / "frame_rates.csv", "recording,fps,frames\nvideo2,0,3\n"),
    "NO_CROPS": lambda root: shutil.rmtree(root / "cropped_aligned"),
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_that_would_make_a_reader_guess_stops_the_scan(tmp_path: Path, code: str) -> None:
    make_root(tmp_path)
    FAULTS[code](tmp_path)
    errors = [finding for finding in survey(tmp_path, use_cache=False).findings if finding.kind.severity == "error"]
    assert [finding.kind.code for finding in errors] == [code]
    with pytest.raises(DataError) as caught:
        scan(tmp_path, use_cache=False)
    assert (caught.value.problem, caught.value.path) == (f"{errors[0].kind.meaning} ({code})", errors[0].file)
    assert "harness doctor" in str(caught.value)


def test_nfc_and_nfd_names_clash(tmp_path: Path) -> None:
    make_root(
        tmp_path,
        [
            Made("vid\N{LATIN SMALL LETTER E WITH ACUTE}o", "train", [0], [1]),
            Made("vide\N{COMBINING ACUTE ACCENT}o", "val", [0], [1]),
        ],
    )
    assert "CLASHING_NAMES" in codes(tmp_path)


def test_warnings_do_not_stop_the_scan(tmp_path: Path) -> None:
    make_root(tmp_path)
    shutil.rmtree(tmp_path / "cropped_aligned/video2")
    (tmp_path / "cropped_aligned/10-60-1280x720/00002.jpg").unlink()
    data = scan(tmp_path, use_cache=False)
    assert len(data.tracks) == len(expected_table())
    found = codes(tmp_path)
    assert found.count("NO_FOLDER") == 2
    assert found.count("NO_IMAGES") == 1


def test_an_empty_root_says_so(tmp_path: Path) -> None:
    assert {"NO_CROPS", "NO_TRACKS", "NO_ANNOTATIONS"} <= set(codes(tmp_path))
    with pytest.raises(DataError, match="no folder of face crops"):
        scan(tmp_path, use_cache=False)


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        scan(tmp_path / "nowhere", use_cache=False)


def test_an_unknown_split_names_the_near_one_and_an_empty_one_says_what_to_do(tmp_path: Path) -> None:
    data = scan(make_root(tmp_path, TRACKS[:2], edition="3"), use_cache=False)
    with pytest.raises(UsageError, match="did you mean 'val'"):
        data.split("vall")
    with pytest.raises(DataError, match="harness doctor"):
        data.split("test")


def test_the_fingerprint_is_of_what_is_read_not_of_where_it_lies(tmp_path: Path) -> None:
    make_root(tmp_path / "here")
    first = scan(tmp_path / "here", use_cache=False).fingerprint()
    (tmp_path / "here").rename(tmp_path / "there")
    age(tmp_path / "there")
    assert scan(tmp_path / "there", use_cache=False).fingerprint() == first


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "cropped_aligned/video2/00001.jpg").unlink(),
        lambda root: (root / "cropped_aligned/video2/00004.jpg").touch(),
        lambda root: write_labels(root / EDITIONS["5"].annotations / "Train_Set" / "video2.txt", [6, 6, 6, 6, 0]),
        lambda root: (root / EDITIONS["5"].annotations / "Train_Set" / "video2.txt").unlink(),
        lambda root: write(root / EDITIONS["5"].sample, (root / EDITIONS["5"].sample).read_text().replace(".jpg,\n", ".jpg,0\n")),
        lambda root: write_labels(root / EDITIONS["5"].annotations / "Train_Set" / "new.txt", [0]),
    ],
)
def test_the_fingerprint_changes_with_images_labels_and_sample(tmp_path: Path, change: Callable[[Path], object]) -> None:
    make_root(tmp_path)
    first = scan(tmp_path, use_cache=False).fingerprint()
    change(tmp_path)
    assert scan(tmp_path, use_cache=False).fingerprint() != first


@pytest.mark.realdata
def test_the_real_faces_have_the_counts_of_their_description(real_data: Path) -> None:
    data = scan(real_data / "faces", use_cache=False)
    labels = {split: np.concatenate([track.labels for track in data.split(split)]) for split in ("train", "val")}
    assert {split: len(data.split(split)) for split in ("train", "val", "test")} == {"train": 460, "val": 220, "test": 229}
    assert np.bincount(labels["train"][labels["train"] >= 0]).tolist() == [2136, 137, 8, 8, 1543, 74, 213, 5]
    assert np.bincount(labels["val"][labels["val"] >= 0]).tolist() == [739, 45, 2, 2, 514, 25, 71, 2]
    assert sum(track.rows for track in data.split("test")) == 1422
    assert sum(len(track.frames) for track in data.split("test")) == 1379
    assert sum(np.any(np.diff(track.frames, prepend=0, append=track.rows + 1) > 1) for track in data.tracks) == 126
    assert survey(real_data / "faces", use_cache=False).findings == ()
