"""Makes small data roots in every official form: folders, names and files as each edition handed them out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

CLASSES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
SAMPLE_HEADER = "image_location," + CLASSES


@dataclass(frozen=True)
class Made:
    """A track to make: its split ("train", "val", "test" or "" for a folder nobody names), labels or rows, image numbers."""

    name: str
    split: str
    labels: Sequence[int]
    frames: Sequence[int]


@dataclass(frozen=True)
class Edition:
    """Where one edition keeps annotations and the files of its test set; "" for what it did not hand out."""

    annotations: str
    train: str = "Train_Set"
    names: str = ""
    sample: str = ""
    example: str = ""
    totals: str = ""
    header: str = CLASSES


_NAMES = "names_of_videos_in_each_test_set"
EDITIONS = {
    "1": Edition(
        "annotations/EXPR_Set",
        "Training_Set",
        "expression_test_set.txt",
        totals="Expr_Challenge_video_and_total_number_of_frames.txt",
        header=CLASSES.removesuffix(",Other"),
    ),
    "1, Train_Set": Edition("annotations/EXPR_Set", names="expression_test_set.txt", header=CLASSES.removesuffix(",Other")),
    "2": Edition("annotations/EXPR_Set", names="test_set_EXPR_Challenge.txt", header=CLASSES.removesuffix(",Other")),
    "3": Edition(
        "Third ABAW Annotations/EXPR_Classification_Challenge",
        names="CVPR_2022_3rd_ABAW_Competition _Test_Set_Release_&_Submission_Instructions/"
        "Expression_Classification_Challenge_test_set_release.txt",
    ),
    "5": Edition(
        "5th_ABAW_Annotations/EXPR_Classification_Challenge",
        names=f"{_NAMES}/Expression_Classification_Challenge_test_set_release.txt",
        sample="prediction_files_format/CVPR_5th_ABAW_EXPR_test_set_sample.txt",
        example="test_set_examples/CVPR_5th_ABAW_EXPR_test_set_example.txt",
    ),
    "6": Edition(
        "6th ABAW Annotations/EXPR_Recognition_Challenge",
        names=f"{_NAMES}/Expression_Recognition_Challenge_test_set_release.txt",
        sample="prediction_files_format/CVPR_6th_ABAW_Expr_test_set_sample.txt",
        example="test_set_examples/CVPR_6th_ABAW_Expr_test_set_example.txt",
    ),
    "6, old folder": Edition(
        "6th ABAW Annotations/EXPR_Classification_Challenge",
        example="test_set_examples/CVPR_6th_ABAW_Expr_test_set_example.txt",
    ),
    "8": Edition(
        "ABAW Annotations/EXPR_Recognition_Challenge",
        names=f"{_NAMES}/Expression_Recognition_Challenge_test_set_release.txt",
        example="test_set_examples/CVPR_6th_ABAW_Expr_test_set_example.txt",
    ),
    "10": Edition(
        "ABAW Annotations/EXPR_Recognition_Challenge",
        names=f"{_NAMES}/Expression_Recognition_Challenge_test_set_release.txt",
        sample="prediction_files_format/ABAW_Expr_test_set_sample.txt",
        example="test_set_examples/ABAW_Expr_test_set_example.txt",
    ),
}

# Where the crops of the k-th track lie, as each archive unpacks.
CROPS: dict[str, Callable[[int], str]] = {
    "flat": lambda index: "cropped_aligned",
    "nested": lambda index: "cropped_aligned/cropped_aligned",
    "nested, new videos": lambda index: f"cropped_aligned/cropped_aligned{'_new_50_vids' if index % 2 else ''}",
    "new videos beside": lambda index: "cropped_aligned_new_50_vids" if index % 2 else "cropped_aligned",
    "odd places": lambda index: ("downloads/part 1/cropped_aligned", "cropped_aligned", "more/cropped_aligned_new_50_vids")[
        index % 3
    ],
    "batches": lambda index: f"cropped/{('batch1', 'batch2', 'cropped_new_50_vids')[index % 3]}",
}

# Both persons of a recording in the three official forms, parts that are recordings of their own, and plain names.
TRACKS = (
    Made("6-30-1920x1080_left", "train", [0, 0, 1, -1], [1, 2, 3, 4]),
    Made("10-60-1280x720", "train", [4, 4, 4], [2]),
    Made("10-60-1280x720_right", "train", [-1, -1, 5], [1, 3]),
    Made("video2", "train", [6] * 5, [1, 2, 3]),
    Made("video2_left", "train", [3, 2], []),
    Made("102-30-640x360-1", "val", [-1, 0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7, 8]),
    Made("102-30-640x360-2", "train", [0], [1]),
    Made("video10_1", "val", [0, 0], [1, 2, 3, 4]),
    Made("101", "val", [-1, -1], [2]),
    Made("video92", "test", [0] * 4, [1, 2]),
    Made("14-30-1920x1080", "test", [0] * 3, [1, 2, 3]),
    Made("40-30-1280x720_left", "test", [0] * 2, [2]),
    Made("466", "", [], [1, 2]),
)


def make_root(
    root: Path,
    tracks: Iterable[Made] = TRACKS,
    edition: str = "5",
    crops: str = "flat",
    image: Callable[[str, int], bytes] = lambda name, frame: b"",
    suffix: str = ".jpg",
) -> Path:
    """Makes a data root below `root`; images are empty files unless `image` says what they hold."""
    form = EDITIONS[edition]
    tracks = list(tracks)
    for index, track in enumerate(tracks):
        if track.frames:
            folder = root / CROPS[crops](index) / track.name
            folder.mkdir(parents=True)
            for frame in track.frames:
                (folder / f"{frame:05d}{suffix}").write_bytes(image(track.name, frame))
        if track.split in ("train", "val"):
            split = form.train if track.split == "train" else "Validation_Set"
            write_labels(root / form.annotations / split / f"{track.name}.txt", track.labels, form.header)
    test_tracks = [track for track in tracks if track.split == "test"]
    if test_tracks:
        write_test_set(root, test_tracks, form)
    return root


def write_labels(path: Path, labels: Sequence[int], header: str = CLASSES) -> None:
    """Writes a label file."""
    write(path, "\n".join([header, *map(str, labels)]) + "\n")


def write_test_set(root: Path, tracks: Sequence[Made], form: Edition) -> None:
    """Writes the list of names, the sample and the example file, and the 1st edition's totals."""
    if form.names:
        write(root / form.names, "".join(f"{track.name}\n" for track in tracks))
    if form.sample:
        write(root / form.sample, sample_text(tracks, ""))
    if form.example:
        write(root / form.example, sample_text(tracks, "0"))
    if form.totals:
        sentence = "The video {} of the test set has total {} frames\n"
        write(root / form.totals, "".join(sentence.format(track.name, len(track.labels)) for track in tracks))


def sample_text(tracks: Sequence[Made], value: str) -> str:
    """A sample file with `value` as answer of each row."""
    rows = [f"{track.name}/{frame:05d}.jpg,{value}\n" for track in tracks for frame in range(1, len(track.labels) + 1)]
    return SAMPLE_HEADER + "\n" + "".join(rows)


def write(path: Path, text: str) -> None:
    """Writes text with the line ends it has, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def age(root: Path, seconds: float = 60) -> None:
    """Moves the modification times of everything below a root into the past."""
    for directory, folders, names in os.walk(root):
        for name in (*folders, *names, "."):
            path = Path(directory) / name
            status = path.stat()
            earlier = status.st_mtime_ns - int(seconds * 1e9)
            os.utime(path, ns=(earlier, earlier))
