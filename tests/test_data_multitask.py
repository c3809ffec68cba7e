"""Multi-task annotation files stand in where an edition gave no expression labels of tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.multitask import read_multitask, read_rows
from harness.data.scan import scan, survey
from tests.data_roots import make_root, write

HEADER = "image,valence,arousal,expression,aus"


def row(image: str, expression: object, units: int = 12) -> str:
    return ",".join([image, "0.1", "-5", str(expression), *["0"] * units])


def write_file(path: Path, rows: list[str], header: str = HEADER) -> Path:
    write(path, "\n".join([header, *rows]) + "\n")
    return path


ROWS = [row("video45_1/00001.jpg", 4), row("video45_1/00008.jpg", -1), row("video45_1/00017.jpg", 7), row("a_left/00002.jpg", 0)]
UNIT = ",0" * 12
PLACES = [
    ("Third ABAW Annotations/MTL_Challenge/train_set.txt", "Third ABAW Annotations/MTL_Challenge/validation_set.txt"),
    ("training_set_annotations_22.txt", "validation_set_annotations_22.txt"),
    ("ABAW_11/MTL/training_set_annotations.txt", "ABAW_11/MTL/validation_set_annotations.txt"),
    ("ABAW Annotations/MTL_Challenge/train_set.txt", "ABAW Annotations/MTL_Challenge/validation_set.txt"),
]


@pytest.mark.parametrize("place", PLACES)
def test_sparse_rows_become_labels_and_the_rest_is_unlabelled(tmp_path: Path, place: tuple[str, str]) -> None:
    write_file(tmp_path / place[0], ROWS)
    write_file(tmp_path / place[1], [row("b/00003.jpg", 6)])
    write(tmp_path / "cropped_aligned/video45_1/00008.jpg", "")
    write(tmp_path / "cropped_aligned/video45_1/00018.jpg", "")
    tracks = {(track.name, track.split): track for track in scan(tmp_path, use_cache=False).tracks}
    assert list(tracks) == [("a_left", "train"), ("video45_1", "train"), ("b", "val")]
    labelled = tracks["video45_1", "train"]
    assert labelled.labels is not None
    assert (labelled.rows, labelled.frames.tolist()) == (17, [8])
    assert {k + 1: int(label) for k, label in enumerate(labelled.labels) if label >= 0} == {1: 4, 17: 7}
    assert tracks["b", "val"].rows_from == "annotation"


def test_label_files_of_tracks_come_first(tmp_path: Path) -> None:
    make_root(tmp_path, edition="3")
    before = [track.name for track in scan(tmp_path, use_cache=False).tracks]
    write_file(tmp_path / PLACES[0][0], ROWS)
    assert [track.name for track in scan(tmp_path, use_cache=False).tracks] == before


@pytest.mark.parametrize(
    "line",
    [
        row("a/00001.jpg", 8),
        row("a/00001.jpg", "1.5"),
        row("a/00001.jpg", ""),
        row("a/00001.jpg", 1, units=11),
        row("a/1.jpg", 1),
        row("../00001.jpg", 1),
        row("a/00000.jpg", 1),
        row("a/99999999.jpg", 1),
        row("00001.jpg", 1),
        row("a/00001.jpg", 1).replace("0.1", "1.1"),
        row("a/00001.jpg", 1)[:-1] + "2",
        "",
    ],
)
def test_a_faulty_row_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = write_file(tmp_path / PLACES[0][0], [*ROWS[:2], line, *ROWS[2:]])
    findings = [finding for label_file in read_multitask(path).values() for finding in label_file.findings]
    assert [(finding.kind.code, finding.line) for finding in findings] == [("LABEL_VALUE", 4)]
    assert [finding.kind.code for finding in survey(tmp_path, crops=None, use_cache=False).findings if finding.line] == [
        "LABEL_VALUE"
    ]


@pytest.mark.parametrize(("rows", "header", "code"), [([], HEADER, "LABEL_EMPTY"), (ROWS, "image,expression", "LABEL_HEADER")])
def test_a_file_without_header_or_rows_is_named(tmp_path: Path, rows: list[str], header: str, code: str) -> None:
    write_file(tmp_path / PLACES[1][0], rows, header)
    found = [finding.kind.code for finding in survey(tmp_path, crops=None, use_cache=False).findings]
    assert code in found


def test_all_labels_of_a_track_are_read_row_by_row(tmp_path: Path) -> None:
    lines = [f"a/00007.jpg,0.25,-0.5,3{UNIT}", f"b/00001.jpg,-5,-5,-1{',-1' * 12}", f"a/00002.jpg,0.5,-5,-1,1,-1{',0' * 10}"]
    read = read_rows(write_file(tmp_path / "train_set.txt", lines))
    assert read.findings == ()
    assert {name: rows.frames.tolist() for name, rows in read.tracks.items()} == {"a": [7, 2], "b": [1]}
    missing = [-5.0, -5.0, -1.0, *[-1.0] * 12]
    # A value without the other, and a unit without all others, count as not labelled; an expression stands for itself.
    assert read.tracks["a"].labels.tolist() == [[0.25, -0.5, 3, *[0] * 12], missing]
    assert read.tracks["b"].labels.tolist() == [missing]


def test_rows_that_name_an_image_again_count_and_are_told(tmp_path: Path) -> None:
    lines = [f"a/00001.jpg,0.5,0.5,{label}{UNIT}" for label in (-1, 4, 4, 2)] + [f"b/00001.jpg,0.5,0.5,1{UNIT}"] * 2
    path = write_file(tmp_path / "train_set.txt", lines)
    read = read_rows(path)
    assert read.tracks["a"].labels[:, 2].tolist() == [-1, 4, 4, 2]
    assert read.tracks["b"].frames.tolist() == [1, 1]
    (finding,) = read.findings
    assert (finding.kind.code, finding.kind.severity, finding.line) == ("LABEL_REPEATS", "note", None)
    assert finding.found == "4 rows, 3 of them with other labels than the first"
    assert read_multitask(path)["a"].labels.tolist() == [4]


def test_repeats_of_the_same_labels_stop_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / PLACES[1][0], [*ROWS, ROWS[0]])
    found = survey(tmp_path, crops=None, use_cache=False)
    assert [finding.found for finding in found.findings if finding.kind.code == "LABEL_REPEATS"] == ["1 row"]
    assert [track.name for track in scan(tmp_path, crops=None, use_cache=False).tracks] == ["a_left", "video45_1"]


@pytest.mark.parametrize("copies", [1, 3])
def test_the_official_numbers_of_rows_are_read_as_they_are(tmp_path: Path, copies: int) -> None:
    generator = np.random.default_rng(0)
    frames = generator.permutation(np.repeat(np.arange(1, 2001), copies))
    labels = generator.integers(-1, 8, len(frames))
    lines = [f"video1/{frame:05d}.jpg,0.5,-0.5,{label}{UNIT}" for frame, label in zip(frames, labels, strict=True)]
    rows = read_rows(write_file(tmp_path / "train_set.txt", lines)).tracks["video1"]
    np.testing.assert_array_equal(rows.frames, frames)
    np.testing.assert_array_equal(rows.labels[:, 2], labels)
    assert len(np.unique(rows.frames)) == len(frames) // copies
