"""Makes a twin of the official expression data: its tracks, rows, label counts and gaps, with invented content.

    python benchmarks/twin.py ORACLE OUTPUT

ORACLE is a folder with two tables that teams published: expr_trainval_tracks.csv (txtid, source_dir, total_frames_in_txt,
invalid_frames, class_0 .. class_7) and expr_test_rows.csv (video, n_sample_rows, n_with_face_feature). Track names, splits, rows,
labelled frames of each class and the missing frames of test tracks come from them. The order of the labels, the place of gaps,
and those of training and validation are invented, from a fixed seed; images are empty files. The file that is in both official
splits is put in both. Some 2.5 million files: `harness doctor OUTPUT --no-images` then has to find the published totals.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from harness.challenge import EXPR, format_of

ANNOTATIONS = "5th_ABAW_Annotations/EXPR_Classification_Challenge"
IN_BOTH_SPLITS = "122-60-1920x1080-1"
# Shares of labelled frames without a face that a team counted: 12,044 of 597,361 in training, 3,698 of 284,230 in validation.
MISSING_SHARE = {"Train_Set": 0.020, "Validation_Set": 0.013}
# Labels of a video and gaps come in runs; these are their mean lengths in frames.
LABEL_RUN = 120
GAP_RUN = 15


def make_twin(oracle: Path, output: Path) -> None:
    """Makes the twin below `output`, which must not exist."""
    generator = np.random.default_rng(0)
    output.mkdir(parents=True)
    with open(oracle / "expr_trainval_tracks.csv", encoding="utf-8-sig", newline="") as table:
        labelled = list(csv.DictReader(table))
    with open(oracle / "expr_test_rows.csv", encoding="utf-8-sig", newline="") as table:
        test = list(csv.DictReader(table))
    for row in tqdm(labelled, desc="labelled tracks", disable=None):
        labels = draw_labels(row, generator)
        splits = ("Train_Set", "Validation_Set") if row["txtid"] == IN_BOTH_SPLITS else (row["source_dir"],)
        for split in splits:
            write_labels(output / ANNOTATIONS / split / f"{row['txtid']}.txt", labels)
        missing = round(MISSING_SHARE[splits[-1]] * len(labels))
        make_images(output, row["txtid"], draw_seen(len(labels), missing, generator))
    for row in tqdm(test, desc="test tracks", disable=None):
        rows, seen = int(row["n_sample_rows"]), int(row["n_with_face_feature"])
        make_images(output, row["video"], draw_seen(rows, rows - seen, generator))
    write_test_set(output, [(row["video"], int(row["n_sample_rows"])) for row in test])


def draw_labels(row: dict[str, str], generator: np.random.Generator) -> list[int]:
    """The labels of a track, -1 included, in runs of random order."""
    counts = {-1: int(row["invalid_frames"]), **{label: int(row[f"class_{label}"]) for label in range(len(EXPR.class_names))}}
    runs = [(label, len(part)) for label, count in counts.items() for part in split_into_runs(count, LABEL_RUN, generator)]
    return [label for index in generator.permutation(len(runs)) for label in [runs[index][0]] * runs[index][1]]


def split_into_runs(count: int, mean: int, generator: np.random.Generator) -> list[NDArray[np.int64]]:
    """The numbers 0 .. count - 1 cut at random into runs of about `mean`."""
    cuts = np.sort(generator.choice(np.arange(1, max(count, 1)), size=max(0, (count - 1) // mean), replace=False))
    return [part for part in np.split(np.arange(count), cuts) if len(part)]


def draw_seen(rows: int, missing: int, generator: np.random.Generator) -> list[int]:
    """1-based numbers of the frames with an image, `missing` of `rows` left out in runs."""
    seen = np.ones(rows, bool)
    gaps = split_into_runs(missing, GAP_RUN, generator)
    kept = split_into_runs(rows - missing, max(1, (rows - missing) // (len(gaps) + 1)), generator)
    pieces = [(True, len(part)) for part in kept] + [(False, len(part)) for part in gaps]
    start = 0
    for index in generator.permutation(len(pieces)):
        is_seen, length = pieces[index]
        seen[start : start + length] = is_seen
        start += length
    return (np.flatnonzero(seen) + 1).tolist()


def make_images(output: Path, track: str, frames: list[int]) -> None:
    """Empty files stand in for images: only names are looked at."""
    folder = output / "cropped_aligned" / "cropped_aligned" / track
    folder.mkdir(parents=True)
    for frame in frames:
        os.close(os.open(folder / f"{frame:05d}.jpg", os.O_CREAT | os.O_WRONLY, 0o644))


def write_labels(path: Path, labels: list[int]) -> None:
    """Writes one label file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([EXPR.header, *map(str, labels)]) + "\n")


def write_test_set(output: Path, tracks: list[tuple[str, int]]) -> None:
    """Writes the sample file and the list of test tracks under their names of the 5th edition."""
    form = format_of("EXPR", 5)
    rows = [f"{track}/{frame:05d}.jpg," for track, count in tracks for frame in range(1, count + 1)]
    sample, names = output / "prediction_files_format", output / "names_of_videos_in_each_test_set"
    sample.mkdir()
    names.mkdir()
    (sample / form.sample_files[0]).write_text("\n".join([form.header, *rows]) + "\n")
    (names / form.names_files[0]).write_text("".join(f"{track}\n" for track, _ in tracks))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python benchmarks/twin.py ORACLE OUTPUT")
    make_twin(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"made {sys.argv[2]}; look at it with: harness doctor {sys.argv[2]} --no-images")
