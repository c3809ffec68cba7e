"""Multi-task annotation files stand in where an edition gave no expression labels of tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.multitask import read_multitask
from harness.data.scan import scan, survey
from tests.data_roots import make_root, write

HEADER = "image,valence,arousal,expression,aus"


def row(image: str, expression: object, units: int = 12) -> str:
    return ",".join([image, "0.1", "-5", str(expression), *["0"] * units])


def write_file(path: Path, rows: list[str], header: str = HEADER) -> Path:
    write(path, "\n".join([header, *rows]) + "\n")
    return path


ROWS = [row("video45_1/00001.jpg", 4), row("video45_1/00008.jpg", -1), row("video45_1/00017.jpg", 7), row("a_left/00002.jpg", 0)]
PLACES = [
    ("Third ABAW Annotations/MTL_Challenge/train_set.txt", "Third ABAW Annotations/MTL_Challenge/validation_set.txt"),
    ("training_set_annotations_22.txt", "validation_set_annotations_22.txt"),
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
        row("video45_1/00008.jpg", 1),
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
