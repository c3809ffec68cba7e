"""The drawn data root: what its docstring promises, read back with nothing of the harness's own readers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.demo.drawn import draw_face, drawn_roles, write_drawn_root
from harness.demo.landmarks import aligned, portraits
from harness.demo.performance import Gap, Role

HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawn_root(tmp_path_factory.mktemp("drawn") / "root")


def labels_of(root: Path, split: str) -> dict[str, list[int]]:
    folder = {
        "train": "5th_ABAW_Annotations/EXPR_Classification_Challenge/Train_Set",
        "val": "5th_ABAW_Annotations/EXPR_Classification_Challenge/Validation_Set",
        "test": "test_labels",
    }[split]
    labels = {}
    for path in sorted((root / folder).iterdir()):
        header, *lines = path.read_text().splitlines()
        assert header == HEADER
        labels[path.stem] = [int(line) for line in lines]
    return labels


def frames_of(root: Path, track: str) -> list[int]:
    return sorted(int(path.stem) for path in (root / "cropped_aligned" / track).iterdir())


def missing_frames(root: Path, track: str, rows: int) -> list[int]:
    return sorted(set(range(1, rows + 1)) - set(frames_of(root, track)))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_class_and_some_unlabelled_frames_come_in_every_split(root: Path, split: str) -> None:
    labels = labels_of(root, split)
    assert len(labels) == 4
    assert {label for track in labels.values() for label in track} == set(range(-1, 8))


def test_the_sample_file_lists_every_row_of_the_test_tracks_in_the_order_of_the_names_file(root: Path) -> None:
    names = (root / "names_of_videos_in_each_test_set/Expression_Classification_Challenge_test_set_release.txt").read_text()
    sample = (root / "prediction_files_format/CVPR_5th_ABAW_EXPR_test_set_sample.txt").read_text()
    labels = labels_of(root, "test")
    rows = [f"{name}/{row:05d}.jpg,\n" for name in names.splitlines() for row in range(1, len(labels[name]) + 1)]
    assert set(names.splitlines()) == set(labels)
    assert sample == f"image_location,{HEADER}\n" + "".join(rows)


def test_gaps_lie_at_the_start_at_the_end_inside_and_over_a_whole_track(root: Path) -> None:
    lengths = {track: len(labels) for split in ("train", "val", "test") for track, labels in labels_of(root, split).items()}
    kinds = set()
    for track, rows in lengths.items():
        missing = missing_frames(root, track, rows)
        assert (root / "cropped_aligned" / track).is_dir()
        if not missing:
            kinds.add("none")
        elif len(missing) == rows:
            kinds.add("total")
        elif missing == list(range(1, len(missing) + 1)):
            kinds.add("leading")
        elif missing == list(range(rows - len(missing) + 1, rows + 1)):
            kinds.add("trailing")
        else:
            assert missing[0] > 1
            assert missing[-1] < rows
            kinds.add("interior")
    assert kinds == {"none", "leading", "trailing", "interior", "total"}


def test_the_two_persons_of_one_recording_share_its_length_and_its_rate(root: Path) -> None:
    labels = labels_of(root, "val")
    assert len(labels["video2_left"]) == len(labels["video2_right"])
    rates = dict(line.split(",") for line in (root / "frame_rates.csv").read_text().splitlines())
    assert rates.pop("recording") == "fps"
    assert "video2" in rates
    assert "video2_left" not in rates
    assert set(rates.values()) == {"30", "12.5"}
    tracks = {path.name.removesuffix("_left").removesuffix("_right") for path in (root / "cropped_aligned").iterdir()}
    assert tracks == set(rates)


def test_images_are_colour_jpeg_files_of_112_pixels(root: Path) -> None:
    paths = sorted((root / "cropped_aligned").rglob("*.jpg"))
    assert len(paths) > 300
    for path in paths[::40]:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (112, 112), "RGB")


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(root: Path, tmp_path: Path) -> None:
    again, other = write_drawn_root(tmp_path / "again"), write_drawn_root(tmp_path / "other", seed=1)

    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert content(again) == content(root)
    assert content(other) != content(root)


def test_a_test_can_ask_for_its_own_cast(tmp_path: Path) -> None:
    roles = [Role("a", "a", "train", 0, 5, 10.0, Gap.NONE, 1), Role("b_right", "b", "test", 1, 7, 6.0, Gap.TRAILING, 1)]
    root = write_drawn_root(tmp_path / "root", roles=roles)
    assert frames_of(root, "a") == [1, 2, 3, 4, 5]
    assert frames_of(root, "b_right") == [1, 2, 3, 4, 5]
    assert (root / "frame_rates.csv").read_text() == "recording,fps\na,10\nb,6\n"


def test_no_person_is_in_two_splits_and_no_two_recordings_have_the_same_length() -> None:
    roles = drawn_roles()
    persons = {split: {role.person for role in roles if role.split == split} for split in ("train", "val", "test")}
    assert not persons["train"] & persons["val"] | persons["train"] & persons["test"] | persons["val"] & persons["test"]
    lengths = {role.recording: role.rows for role in roles}
    assert len(set(lengths.values())) == len(lengths)


def test_a_drawn_face_is_dark_where_its_features_are_and_light_on_the_cheeks() -> None:
    landmarks = aligned(portraits()[0].landmarks)
    face = draw_face(landmarks)
    assert face.shape == (112, 112)
    assert face.dtype == np.uint8
    for points in ([19], [24], [36, 37, 38, 39, 40, 41]):
        across, down = np.round(landmarks[points].mean(axis=0)).astype(int)
        assert face[down, across] < 90
    across, down = np.round((landmarks[31] + landmarks[2]) / 2).astype(int)
    assert face[down, across] > 180
