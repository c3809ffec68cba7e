"""Writes performances and their pictures as a data root in the official layout of the 5th edition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness import files
from harness.challenge import EXPR
from harness.demo.performance import Performance

CROPS = "cropped_aligned"
ANNOTATIONS = "5th_ABAW_Annotations/EXPR_Classification_Challenge"
SPLIT_FOLDERS = {"train": "Train_Set", "val": "Validation_Set"}
TEST_LABELS = "test_labels"  # what the organisers keep to themselves; no split of a data root, but `make demo` scores against it
NAMES_FILE = "names_of_videos_in_each_test_set/Expression_Classification_Challenge_test_set_release.txt"
SAMPLE_FILE = "prediction_files_format/CVPR_5th_ABAW_EXPR_test_set_sample.txt"
SAMPLE_HEADER = f"image_location,{EXPR.header}"
FRAME_RATES = "frame_rates.csv"

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


def _write_pictures(folder: Path, pictures: Pictures) -> None:
    files.make_directory(folder)
    for frame, jpeg in pictures:
        files.write_bytes(folder / f"{frame:05d}.jpg", jpeg, sync=False)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
