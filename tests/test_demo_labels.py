"""Labels of the other challenges: what is acted, and files in the official forms that leave those of EXPR alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.challenge import EXPR_CLASSES, UNITS
from harness.data.scan import scan
from harness.demo.action_units import strengths_of
from harness.demo.drawn import drawn_roles, write_drawn_root
from harness.demo.labels import CIRCUMPLEX, affect_of, units_of
from harness.demo.layout import ALL_ANNOTATIONS, MULTITASK, MULTITASK_LIST, REPEATED_EVERY
from harness.demo.performance import perform


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn root with the labels of all challenges."""
    return write_drawn_root(tmp_path_factory.mktemp("all") / "root", other_challenges=True)


def test_a_unit_is_active_where_the_face_is_moved_by_it_enough_to_see() -> None:
    for performance in perform(drawn_roles(), 0):
        units = units_of(performance)
        for row in range(performance.role.rows):
            moved = strengths_of(int(performance.expression[row]), float(performance.intensity[row]))
            expected = [int(moved.get(int(unit[2:]), 0.0) >= 0.25) for unit in UNITS]
            assert units[row].tolist() == expected


def test_affect_is_the_expression_s_place_on_the_circumplex_times_its_strength() -> None:
    for performance in perform(drawn_roles(), 0):
        values = affect_of(performance)
        for row in range(performance.role.rows):
            name, strength = EXPR_CLASSES[performance.expression[row]], performance.intensity[row]
            if strength == 0:
                assert values[row].tolist() == [0, 0]
            elif name == "Other":
                assert values[row].tolist() == [-5, -5]
            else:
                np.testing.assert_allclose(values[row], np.array(CIRCUMPLEX[name]) * strength, atol=5e-4)


def test_every_row_of_a_track_has_a_line_of_each_challenge(root: Path) -> None:
    for track in scan(root).members("train"):
        for folder, columns in (("VA_Estimation_Challenge", 2), ("AU_Detection_Challenge", 12)):
            lines = (root / ALL_ANNOTATIONS / folder / "Train_Set" / f"{track.name}.txt").read_text().splitlines()
            assert len(lines) == track.rows + 1
            assert {len(line.split(",")) for line in lines} == {columns}


def test_the_multi_task_files_name_images_that_are_there_and_repeat_some(root: Path) -> None:
    lines = (root / ALL_ANNOTATIONS / MULTITASK / "training_set_annotations.txt").read_text().splitlines()
    assert lines[0] == "image,valence,arousal,expression,aus"
    images = [line.partition(",")[0] for line in lines[1:]]
    assert all((root / "cropped_aligned" / image).is_file() for image in images)
    assert len(images) - len(set(images)) == len(images) // (REPEATED_EVERY + 1) > 0
    labels = {track.name: track.labels for track in scan(root).members("train")}
    for line in lines[1:]:
        fields = line.split(",")
        assert len(fields) == 16
        track, frame = fields[0].removesuffix(".jpg").split("/")
        labels_of = labels[track]
        assert labels_of is not None
        assert int(fields[3]) == labels_of[int(frame) - 1]
    listed = (root / MULTITASK_LIST).read_text().splitlines()[1:]
    assert all(image.endswith(".jpg") for image in listed)


def test_the_expression_challenge_is_what_it_is_without_the_others(root: Path, drawn_root: Path) -> None:
    assert scan(root).fingerprint() == scan(drawn_root).fingerprint()
