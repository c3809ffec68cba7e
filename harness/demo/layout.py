"""Writes performances and their pictures as a data root in the official layout of the 5th edition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from harness import files
from harness.challenge import AU, EXPR, IMAGE, MTL, VA, Challenge
from harness.demo.labels import affect_lines, affect_of, unit_lines, units_of
from harness.demo.performance import Performance

CROPS = "cropped_aligned"
ALL_ANNOTATIONS = "5th_ABAW_Annotations"
ANNOTATIONS = f"{ALL_ANNOTATIONS}/EXPR_Classification_Challenge"
SPLIT_FOLDERS = {"train": "Train_Set", "val": "Validation_Set"}
TEST_LABELS = "test_labels"  # what the organisers keep to themselves; no split of a data root, but `make demo` scores against it
NAMES_FILE = "names_of_videos_in_each_test_set/Expression_Classification_Challenge_test_set_release.txt"
SAMPLE_FILE = "prediction_files_format/CVPR_5th_ABAW_EXPR_test_set_sample.txt"
SAMPLE_HEADER = f"image_location,{EXPR.header}"
FRAME_RATES = "frame_rates.csv"
LISTS = "names_of_videos_in_each_test_set"
SAMPLES = "prediction_files_format"
# Challenges with a file per track beside EXPR: folder of annotations, of what the organisers keep, list, sample, lines of labels.
OTHERS = (
    (
        VA,
        "VA_Estimation_Challenge",
        "test_labels_va",
        "Valence_Arousal_Estimation_Challenge_test_set_release.txt",
        "CVPR_5th_ABAW_VA_test_set_sample.txt",
        affect_lines,
    ),
    (
        AU,
        "AU_Detection_Challenge",
        "test_labels_au",
        "Action_Unit_Detection_Challenge_test_set_release.txt",
        "CVPR_5th_ABAW_AU_test_set_sample.txt",
        unit_lines,
    ),
)
MULTITASK = "MTL_Challenge"
MULTITASK_FILES = {"train": "training_set_annotations.txt", "val": "validation_set_annotations.txt"}
MULTITASK_TEST_LABELS = "test_labels_mtl/test_set_annotations.txt"
MULTITASK_LIST = f"{SAMPLES}/MTL_Challenge_test_set_release.txt"
MULTITASK_STEP = 3
"""Every third frame with a face is in the multi-task set, as the official one takes some frames only."""
REPEATED_EVERY = 25
"""So often an image stands twice in a list of the multi-task set, as in the official lists."""


_KEPT_BACK = {**{entry[0].name: entry[2] for entry in OTHERS}, MTL.name: str(Path(MULTITASK_TEST_LABELS).parent)}


def test_labels(challenge: Challenge) -> str:
    """The folder below an embedded data root that holds what the organisers of a challenge keep to themselves."""
    return _KEPT_BACK.get(challenge.name, TEST_LABELS)


# A picture: 1-based frame number and the bytes of its JPEG file.
Pictures = Iterator[tuple[int, bytes]]


def write(root: Path, performances: Iterable[Performance], pictures: Callable[[Performance], Pictures]) -> None:
    """Writes a whole data root into the folder `root`.

    Test tracks stand in the names file and in the sample file in the order of `performances`. A track without any picture gets an
    empty folder. Files end lines with LF.
    """
    performances = list(performances)
    for performance in performances:
        _write_pictures(root / CROPS / performance.role.track, pictures(performance))
    for performance in performances:
        role = performance.role
        folder = f"{ANNOTATIONS}/{SPLIT_FOLDERS[role.split]}" if role.split in SPLIT_FOLDERS else TEST_LABELS
        files.write_text(root / folder / f"{role.track}.txt", _lines([EXPR.header, *map(str, performance.labels.tolist())]))
    tested = [performance.role for performance in performances if performance.role.split == "test"]
    files.write_text(root / NAMES_FILE, _lines([role.track for role in tested]))
    rows = [f"{role.track}/{row:05d}.jpg," for role in tested for row in range(1, role.rows + 1)]
    files.write_text(root / SAMPLE_FILE, _lines([SAMPLE_HEADER, *rows]))
    rates = {performance.role.recording: performance.role.frame_rate for performance in performances}
    files.write_text(root / FRAME_RATES, _lines(["recording,fps", *(f"{name},{rate:g}" for name, rate in rates.items())]))


def write_other_challenges(root: Path, performances: Sequence[Performance]) -> None:
    """Writes the labels, lists and samples of VA, AU and MTL into a data root; nothing of EXPR is touched."""
    tested = [performance for performance in performances if performance.role.split == "test"]
    for challenge, folder, kept, names, sample, lines_of in OTHERS:
        for performance in performances:
            split = SPLIT_FOLDERS.get(performance.role.split)
            place = root / ALL_ANNOTATIONS / folder / split if split else root / kept
            files.write_text(place / f"{performance.role.track}.txt", _lines([challenge.header, *lines_of(performance)]))
        files.write_text(root / LISTS / names, _lines([performance.role.track for performance in tested]))
        rows = [f"{name}/{row:05d}.jpg," for name, count in _rows(tested) for row in range(1, count + 1)]
        files.write_text(root / SAMPLES / sample, _lines([f"image_location,{challenge.header}", *rows]))
    header = f"{IMAGE},{MTL.header}"
    for split, name in MULTITASK_FILES.items():
        rows = _multitask_rows([performance for performance in performances if performance.role.split == split])
        files.write_text(root / ALL_ANNOTATIONS / MULTITASK / name, _lines([header, *rows]))
    rows = _multitask_rows(tested)
    files.write_text(root / MULTITASK_TEST_LABELS, _lines([header, *rows]))
    files.write_text(root / MULTITASK_LIST, _lines([header, *(row.partition(",")[0] for row in rows)]))


def _rows(performances: Iterable[Performance]) -> Iterator[tuple[str, int]]:
    return ((performance.role.track, performance.role.rows) for performance in performances)


def _multitask_rows(performances: Sequence[Performance]) -> list[str]:
    """Rows of the multi-task set: image, valence, arousal, expression, units; some images stand twice."""
    rows = []
    for performance in performances:
        affect, units = affect_of(performance), units_of(performance)
        for row in np.flatnonzero(performance.seen)[::MULTITASK_STEP]:
            values = ["-5", "-5"] if affect[row, 0] == -5 else [f"{value:.3f}" for value in affect[row]]
            numbers = [*values, str(performance.labels[row]), *map(str, units[row].tolist())]
            rows.append(",".join([f"{performance.role.track}/{row + 1:05d}.jpg", *numbers]))
            if len(rows) % REPEATED_EVERY == 0:
                rows.append(rows[-1])
    return rows


def _write_pictures(folder: Path, pictures: Pictures) -> None:
    files.make_directory(folder)
    for frame, jpeg in pictures:
        files.write_bytes(folder / f"{frame:05d}.jpg", jpeg, sync=False)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
