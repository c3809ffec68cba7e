"""One data root, several challenges: each is scanned from its own folders, lists and samples."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import AU, CE, EXPR, MTL, VA, Challenge
from harness.data.scan import challenges_held, scan, survey
from harness.data.tracks import Track, is_labelled
from harness.demo.drawn import write_drawn_root
from harness.errors import DataError
from harness.images.sampling import labelled_frames
from harness.rows.labelled import has_labels, with_labels

ANNOTATIONS = "5th_ABAW_Annotations"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All challenges in one root."""
    return write_drawn_root(tmp_path_factory.mktemp("data") / "root", tracks=(3, 3, 3), rows=40, other_challenges=True)


def written(path: Path) -> np.ndarray:
    """The numbers of a label file, read by the csv module."""
    with path.open(newline="") as lines:
        return np.array([[float(number) for number in row] for row in list(csv.reader(lines))[1:]])


def folder_of(challenge: Challenge) -> str:
    return {"VA": "VA_Estimation_Challenge", "AU": "AU_Detection_Challenge"}[challenge.name]


@pytest.mark.parametrize("challenge", [VA, AU])
def test_each_number_of_a_label_file_stands_in_its_row_and_column(root: Path, challenge: Challenge) -> None:
    data = scan(root, challenge=challenge)
    assert data.challenge == challenge
    for track in (*data.split("train"), *data.split("val")):
        folder = {"train": "Train_Set", "val": "Validation_Set"}[track.split]
        assert track.labels is not None
        assert track.labels.dtype == (np.int8 if challenge is AU else np.float64)
        assert np.array_equal(track.labels, written(root / ANNOTATIONS / folder_of(challenge) / folder / f"{track.name}.txt"))
        assert track.asked is None
        assert track.lines == track.rows == len(track.labels)


@pytest.mark.parametrize("challenge", [VA, AU, MTL])
def test_the_kept_scan_says_what_the_fresh_one_says(
    root: Path, challenge: Challenge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr("harness.data.cache.SETTLED_NS", 0)
    fresh = scan(root, use_cache=False, challenge=challenge)
    for _ in range(2):
        kept = scan(root, challenge=challenge)
        assert kept.fingerprint() == fresh.fingerprint()
        assert [track.name for track in kept.tracks] == [track.name for track in fresh.tracks]
        for one, other in zip(kept.tracks, fresh.tracks, strict=True):
            assert one.asked is other.asked or np.array_equal(one.asked, other.asked)  # type: ignore[arg-type]
            assert one.labels is other.labels or (one.labels.dtype == other.labels.dtype)  # type: ignore[union-attr]
            assert one.labels is other.labels or np.array_equal(one.labels, other.labels)  # type: ignore[arg-type]
    # The expressions of the same root are kept apart from these.
    assert scan(root).fingerprint() == scan(root, use_cache=False).fingerprint()


def multitask_lines(path: Path, name: str) -> list[tuple[int, list[float]]]:
    """The rows of a track: frame and numbers."""
    lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
    return [(int(line[0][-9:-4]), [float(x) for x in line[1:]]) for line in lines if line[0].rpartition("/")[0] == name]


def test_multi_task_rows_keep_their_order_and_their_repeats_and_no_other_image_is_read(root: Path) -> None:
    data = scan(root, challenge=MTL)
    repeats = 0
    for track in data.split("train"):
        lines = multitask_lines(root / ANNOTATIONS / "MTL_Challenge" / "training_set_annotations.txt", track.name)
        assert track.asked is not None
        assert track.labels is not None
        assert track.asked.tolist() == [frame for frame, _ in lines]
        assert track.lines == len(lines)
        assert track.rows == len(track.labels) == max(frame for frame, _ in lines)
        for frame, numbers in lines:
            assert track.labels[frame - 1].tolist() == numbers
        known = is_labelled(track.labels, MTL).any(axis=1)
        assert set(np.flatnonzero(known) + 1) <= {frame for frame, _ in lines}
        assert track.frames.tolist() == sorted({frame for frame, _ in lines})
        repeats += len(lines) - len({frame for frame, _ in lines})
    assert repeats > 0


def test_the_test_set_of_the_multi_task_challenge_is_its_list_with_all_repeats(root: Path) -> None:
    data = scan(root, challenge=MTL)
    listed = (root / "prediction_files_format" / "MTL_Challenge_test_set_release.txt").read_text().splitlines()[1:]
    asked = [f"{track.name}/{frame:05d}.jpg" for track in data.split("test") for frame in track.asked]  # type: ignore[union-attr]
    assert asked == listed
    assert len(set(asked)) < len(asked)


def test_fingerprints_of_the_challenges_of_a_root_differ(root: Path) -> None:
    assert len({scan(root, challenge=challenge).fingerprint() for challenge in (EXPR, VA, AU, MTL)}) == 4


def test_nothing_of_the_other_challenges_changes_what_expressions_are(root: Path, tmp_path: Path) -> None:
    alone = write_drawn_root(tmp_path / "alone", tracks=(3, 3, 3), rows=40)
    assert scan(alone).fingerprint() == scan(root).fingerprint()


def test_a_root_says_which_challenges_it_holds(root: Path, tmp_path: Path) -> None:
    assert challenges_held(root) == {"EXPR", "VA", "AU", "MTL"}
    (tmp_path / "VA_Estimation_Challenge" / "Train_Set").mkdir(parents=True)
    assert challenges_held(tmp_path) == {"VA"}


def test_a_challenge_without_annotations_says_which_there_are(root: Path) -> None:
    findings = [one for one in survey(root, challenge=CE).findings if one.kind.code == "NO_ANNOTATIONS"]
    assert [one.found for one in findings] == ["CE; there is AU, EXPR, MTL, VA"]


def test_values_and_units_of_multi_task_files_stand_in_where_no_other_annotations_are(tmp_path: Path) -> None:
    header = "image,valence,arousal,expression,aus\n"
    row = "0.5,-0.25,3," + ",".join("1" * 12)
    (tmp_path / "MTL_Challenge").mkdir()
    (tmp_path / "MTL_Challenge" / "train_set.txt").write_text(f"{header}a/00002.jpg,{row}\n")
    track: Track = scan(tmp_path, None, use_cache=False, challenge=VA).tracks[0]
    assert track.labels is not None
    assert track.labels.tolist() == [[-5, -5], [0.5, -0.25]]
    assert track.asked is None


def test_of_a_frame_that_stands_twice_each_number_is_that_of_the_first_row_that_has_it(tmp_path: Path) -> None:
    units = ",".join(["-1"] * 12)
    (tmp_path / "MTL_Challenge").mkdir()
    lines = [f"a/00003.jpg,-5,-5,4,{units}", f"a/00003.jpg,0.5,0.25,-1,{units}", f"a/00001.jpg,0.1,0.2,1,{units}"]
    (tmp_path / "MTL_Challenge" / "train_set.txt").write_text("\n".join(["image,valence,arousal,expression,aus", *lines]) + "\n")
    track = scan(tmp_path, None, use_cache=False, challenge=MTL).tracks[0]
    assert track.asked is not None
    assert track.labels is not None
    assert track.asked.tolist() == [3, 3, 1]
    assert track.labels[2, :3].tolist() == [0.5, 0.25, 4]
    assert not is_labelled(track.labels[1:2], MTL).any()


def test_labels_kept_outside_of_the_splits_may_stand_in_one_file_for_all_tracks(root: Path, tmp_path: Path) -> None:
    data = scan(root, challenge=MTL)
    kept = root / "test_labels_mtl" / "test_set_annotations.txt"
    labelled = with_labels(data, "test", kept.parent)
    assert has_labels(labelled, "test")
    assert not has_labels(data, "test")
    for track in labelled.split("test"):
        assert track.labels is not None
        for frame, numbers in multitask_lines(kept, track.name):
            assert track.labels[frame - 1].tolist() == numbers
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "labels.txt").write_text("\n".join(kept.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="the labels do not fit the track"):
        with_labels(data, "test", tmp_path / "short")
    with pytest.raises(DataError, match="there is no label file"):
        with_labels(data, "test", tmp_path)


@pytest.mark.parametrize("challenge", [EXPR, VA, AU, MTL])
def test_a_labelled_track_without_any_image_takes_nothing_from_the_others(root: Path, challenge: Challenge) -> None:
    first, *others = scan(root, challenge=challenge).split("train")
    without = replace(first, frames=np.empty(0, np.int32))
    together, alone = (labelled_frames(tracks, challenge=challenge) for tracks in ([without, *others], others))
    assert len(alone)
    assert together.frame.tolist() == alone.frame.tolist()
    assert np.array_equal(together.label, alone.label)
