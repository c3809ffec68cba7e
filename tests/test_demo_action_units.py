"""The table of action units: the sums as published, and faces that move the way the words say."""

from __future__ import annotations

import numpy as np
import pytest

from harness.challenge import EXPR_CLASSES
from harness.demo.action_units import DISPLACEMENTS, EXPRESSIONS, displacement, move, strengths_of
from harness.demo.landmarks import EYE_DISTANCE, INNER_LIPS, MIRROR, aligned, eye_centres, portraits

NAMES = dict(enumerate(EXPR_CLASSES))


def motion(name: str) -> np.ndarray:
    return displacement(strengths_of(EXPR_CLASSES.index(name), 1.0))


def test_the_expressions_are_the_sums_of_emfacs() -> None:
    assert dict(EXPRESSIONS) == {
        "Neutral": (),
        "Anger": (4, 5, 7, 17, 23),
        "Disgust": (4, 9, 15, 17),
        "Fear": (1, 2, 4, 5, 20, 25),
        "Happiness": (6, 12, 25),
        "Sadness": (1, 4, 15, 17),
        "Surprise": (1, 2, 5, 27),
        "Other": (18,),
    }
    assert {unit for units in EXPRESSIONS.values() for unit in units} == set(DISPLACEMENTS)


@pytest.mark.parametrize("unit", DISPLACEMENTS)
def test_an_action_unit_moves_both_halves_of_the_face_alike(unit: int) -> None:
    moved = displacement({unit: 1.0})
    mirrored = moved[list(MIRROR)] * [-1, 1]
    np.testing.assert_array_equal(moved, mirrored)
    assert 0 < np.abs(moved).max() < 0.5


def test_the_mirror_is_its_own_inverse_and_swaps_the_halves_of_every_face() -> None:
    assert [MIRROR[point] for point in MIRROR] == list(range(68))
    for portrait in portraits():
        landmarks = aligned(portrait.landmarks)
        for left, right in enumerate(MIRROR):
            if left in (17, 18, 19, 36, 39, 48, 49, 59, 0, 1, 2):
                assert landmarks[left, 0] < landmarks[right, 0]


def test_expressions_are_linear_in_their_action_units() -> None:
    separately = 0.5 * displacement({1: 1.0}) + 0.25 * displacement({12: 1.0})
    np.testing.assert_allclose(displacement({1: 0.5, 12: 0.25}), separately)
    assert not motion("Neutral").any()


def test_an_unknown_action_unit_is_an_error() -> None:
    with pytest.raises(KeyError):
        displacement({99: 1.0})


def test_faces_move_the_way_their_names_say() -> None:
    corners, brows, chin, upper_lids, opening = [48, 54], [19, 24], 8, [37, 38, 43, 44], (66, 62)
    assert (motion("Happiness")[corners, 1] < 0).all()
    assert (motion("Sadness")[corners, 1] > 0).all()
    assert (motion("Other")[corners, 0] * [-1, 1] < 0).all()  # to the middle: a pucker
    assert (motion("Surprise")[brows, 1] < 0).all()
    assert (motion("Anger")[brows, 1] > 0).all()
    assert motion("Surprise")[chin, 1] > 0.2
    assert (motion("Fear")[upper_lids, 1] < 0).all()
    parted = {name for name in NAMES.values() if motion(name)[opening[0], 1] - motion(name)[opening[1], 1] > 0.05}
    assert parted == {"Happiness", "Fear", "Surprise"}


def test_lips_never_cross_in_any_expression_of_any_person() -> None:
    for portrait in portraits():
        resting = aligned(portrait.landmarks)
        for name in EXPR_CLASSES:
            lips = move(resting, strengths_of(EXPR_CLASSES.index(name), 1.0), EYE_DISTANCE)[list(INNER_LIPS)]
            assert (lips[[7, 6, 5], 1] > lips[[1, 2, 3], 1]).all(), (portrait.file, name)


def test_there_is_one_portrait_of_each_of_forty_persons_with_level_eyes_in_place_when_aligned() -> None:
    assert [portrait.file.split("/")[0] for portrait in portraits()] == [f"s{person}" for person in range(1, 41)]
    for portrait in portraits():
        left, right = eye_centres(aligned(portrait.landmarks))
        np.testing.assert_allclose([left, right], [[36, 40], [76, 40]], atol=1e-9)


def test_thin_lips_are_pressed_but_keep_most_of_their_thickness() -> None:
    anger = strengths_of(EXPR_CLASSES.index("Anger"), 1.0)
    for portrait in portraits():
        resting = aligned(portrait.landmarks)
        moved = move(resting, anger, EYE_DISTANCE)
        for outer, inner in ((51, 62), (57, 66)):
            before, after = abs(resting[outer, 1] - resting[inner, 1]), abs(moved[outer, 1] - moved[inner, 1])
            assert 0.6 * before - 1e-9 <= after < before


def test_a_turned_face_moves_less_to_the_side_in_its_narrower_half() -> None:
    resting = aligned(portraits()[12].landmarks)  # turned to the right of the picture
    left, right = resting[62, 0] - resting[60, 0], resting[64, 0] - resting[62, 0]
    assert right < 0.6 * left
    way = move(resting, {20: 1.0}, EYE_DISTANCE) - resting
    np.testing.assert_allclose(-way[48, 0] / way[54, 0], left / right)
    np.testing.assert_allclose(way[48, 1], way[54, 1])
