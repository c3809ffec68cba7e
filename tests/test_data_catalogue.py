"""Every finding about data has an example that brings it about, and stands in the documentation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import files
from harness.data.catalogue import KINDS
from harness.data.doctor import Options, examine
from harness.findings import FindingKind
from tests.data_roots import EDITIONS, TRACKS, Made, make_root, sample_text, write, write_labels
from tests.faces import with_matrix
from tests.test_data_doctor import face, image
from tests.test_data_videos import make_video

CROPS = Path("cropped_aligned")
TRAIN = Path(EDITIONS["5"].annotations) / "Train_Set"
LABELS = TRAIN / "video2.txt"
SAMPLE = EDITIONS["5"].sample


def without_test_files(root: Path) -> None:
    for name in (SAMPLE, EDITIONS["5"].example, EDITIONS["5"].names):
        os.remove(root / name)


def without_anything(root: Path) -> None:
    for path in root.iterdir():
        shutil.rmtree(path)


def copy_of_another_track(root: Path) -> None:
    shutil.rmtree(root / CROPS / "101")
    shutil.copytree(root / CROPS / "video92", root / CROPS / "101")


def track_without_rows(root: Path) -> None:
    os.remove(root / SAMPLE)
    os.remove(root / EDITIONS["5"].example)
    shutil.rmtree(root / CROPS / "video92")


def image_of_a_frame_no_recording_has(root: Path) -> None:
    os.remove(root / SAMPLE)
    os.remove(root / EDITIONS["5"].example)
    shutil.copy(next((root / CROPS / "video92").iterdir()), root / CROPS / "video92" / "999999999.jpg")


def only_multitask(root: Path) -> None:
    shutil.rmtree((root / LABELS).parent.parent)
    row = "video2/00001.jpg,0.5,0.5,1" + ",0" * 12
    write(root / "training_set_annotations.txt", f"image,valence,arousal,expression,aus\n{row}\n{row}\n")


def unreadable(root: Path) -> None:
    os.remove(root / LABELS)
    (root / LABELS).symlink_to("nowhere")


# What to do to a sound root, and to the folder of videos beside it, for each code.
EXAMPLES: dict[str, Callable[[Path], object]] = {
    "NO_CROPS": lambda root: shutil.rmtree(root / CROPS),
    "NO_TRACKS": without_anything,
    "LABEL_ENCODING": lambda root: (root / LABELS).write_bytes("Neutral".encode("utf-16")),
    "LABEL_HEADER": lambda root: (root / LABELS).write_text("valence,arousal\n"),
    "LABEL_VALUE": lambda root: write_labels(root / LABELS, [8]),
    "LABEL_REPEATS": only_multitask,
    "LABEL_EMPTY": lambda root: write_labels(root / LABELS, []),
    "UNREADABLE_FILE": unreadable,
    "REPEATED_IMAGE": lambda root: shutil.copy(root / CROPS / "video2/00001.jpg", root / CROPS / "video2/1.jpg"),
    "FRAME_ZERO": lambda root: (root / CROPS / "video2/00000.jpg").write_bytes(face(0)),
    "REPEATED_FOLDER": lambda root: shutil.copytree(root / CROPS / "video2", root / CROPS / "batch1/video2"),
    "REPEATED_ANNOTATION": lambda root: write_labels(
        root / "copy/5th_ABAW_Annotations/EXPR_Classification_Challenge/Train_Set/video2.txt", [0]
    ),
    "LABEL_COPY": lambda root: shutil.copy(root / LABELS, (root / LABELS).with_stem("video2 (1)")),
    "UNSAFE_NAME": lambda root: write_labels(root / TRAIN / "nul.txt", [0]),
    "CLASHING_NAMES": lambda root: write_labels(root / TRAIN / "Video2.txt", [0]),
    "SAMPLE_HEADER": lambda root: write(root / SAMPLE, "image\n"),
    "SAMPLE_ROW": lambda root: write(root / SAMPLE, sample_text(TRACKS[-2:-1], "") + "x/00003.jpg,\n"),
    "SEVERAL_SAMPLES": lambda root: write(root / "old/CVPR_5th_ABAW_EXPR_test_set_sample.txt", sample_text(TRACKS[:1], "")),
    "NAMES_LINE": lambda root: write(root / EDITIONS["5"].names, "a/b\n"),
    "FRAME_RATES": lambda root: write(root / "frame_rates.csv", "recording,fps\nvideo2,fast\n"),
    "NO_ROWS": track_without_rows,
    "TOO_MANY_FRAMES": image_of_a_frame_no_recording_has,
    "DAMAGED_IMAGE": lambda root: (root / CROPS / "101/00002.jpg").write_bytes(b""),
    "NO_ANNOTATIONS": lambda root: shutil.rmtree(root / "5th_ABAW_Annotations"),
    "NO_TEST_SET": without_test_files,
    "NOT_SEARCHED": lambda root: [files.make_directory(root / "features" / f"{k}") for k in range(101)],
    "NO_SAMPLE": lambda root: [(root / name).rename(root / f"{name}.old") for name in (SAMPLE, EDITIONS["5"].example)],
    "SAMPLE_AND_NAMES": lambda root: write(root / EDITIONS["5"].names, "video92\n"),
    "SEVERAL_EDITIONS": lambda root: write_labels(
        root / "Third ABAW Annotations/EXPR_Classification_Challenge/Train_Set/video2.txt", [0]
    ),
    "BOTH_SPLITS": lambda root: write_labels(root / TRAIN / "video10_1.txt", [0]),
    "BOTH_SPLITS_DIFFER": lambda root: write_labels(root / TRAIN / "video10_1.txt", [0, 1]),
    "SPLIT_LEAK": lambda root: write_labels(root / TRAIN / "101_left.txt", [0]),
    "TEST_LABELLED": lambda root: write_labels(root / TRAIN / "video92.txt", [0]),
    "NO_FOLDER": lambda root: shutil.rmtree(root / CROPS / "101"),
    "NO_IMAGES": lambda root: os.remove(root / CROPS / "101/00002.jpg"),
    "OTHER_IMAGES": lambda root: (root / CROPS / "101/left.jpg").write_bytes(face(0)),
    "BEYOND_ROWS": lambda root: (root / CROPS / "101/00009.jpg").write_bytes(face(0)),
    "NO_VALID_LABEL": lambda root: write_labels(root / LABELS, [-1]),
    "SEVEN_CLASSES": lambda root: write_labels(root / LABELS, [0], "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"),
    "UNUSED_FOLDER": lambda root: (root / CROPS / "467").mkdir(),
    "NO_FRAME_RATES": lambda root: None,
    "ROWS_AND_FRAMES": lambda root: write(root / "frame_rates.csv", "recording,fps,frames\nvideo2,30,99\n"),
    "OTHER_SIZE": lambda root: (root / CROPS / "101/00002.jpg").write_bytes(face(0, size=40)),
    "NOT_OFFICIAL_SIZE": lambda root: [path.write_bytes(face(0, size=40)) for path in (root / CROPS).rglob("*.jpg")],
    "ODD_IMAGE": lambda root: (root / CROPS / "101/00002.jpg").write_bytes(face(0, kind="PNG")),
    "REPEATED_BYTES": lambda root: shutil.copy(root / CROPS / "video2/00001.jpg", root / CROPS / "video2/00002.jpg"),
    "SAME_IMAGES": copy_of_another_track,
    "SHARED_IMAGES": lambda root: (root / CROPS / "101/00002.jpg").write_bytes(image("video2", 1)),
    "VIDEO_FAULT": lambda root: write(root.parent / "videos/101.mp4", "no video"),
    "VIDEO_COUNT": lambda root: [
        path := make_video(root.parent / "videos/101.avi", 40, codec="mjpeg"),
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10]),
    ],
    "REPEATED_VIDEO": lambda root: make_video(root.parent / "videos/more/video92.avi", 4),
    "NO_VIDEO": lambda root: None,
    "VIDEO_NOTE": lambda root: with_matrix(root.parent / "videos/video92.mp4", -1, 0, 0, 1),
    "UNUSED_VIDEO": lambda root: make_video(root.parent / "videos/holiday.avi", 4),
    "NOT_OFFICIAL_TOTALS": lambda root: None,
}


def test_every_code_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(kind.code for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_the_example_of_a_code_brings_it_about(tmp_path: Path, kind: FindingKind) -> None:
    code = kind.code
    root = make_root(tmp_path / "root", image=image)
    videos = make_video(tmp_path / "videos" / "video92.mp4", 4).parent if "VIDEO" in code else None
    EXAMPLES[code](root)
    assert code in examine(root, Options(videos=videos)).findings.codes()


def test_a_sound_root_with_everything_brings_about_no_error_and_no_warning(tmp_path: Path) -> None:
    tracks = [Made("a_left", "train", [0, 1], [1, 2]), Made("b", "val", [2], [1]), Made("c", "test", [0], [1])]
    root = make_root(tmp_path / "root", tracks, image=image)
    for name, frames in (("a", 2), ("b", 2), ("c", 2)):
        make_video(tmp_path / "videos" / f"{name}.mp4", frames)
    findings = examine(root, Options(videos=tmp_path / "videos")).findings
    assert findings.codes() == ["NOT_OFFICIAL_TOTALS"]
