"""The warp of the real faces, against SciPy's own interpolation and against what a face can do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates

from harness.challenge import EXPR_CLASSES
from harness.demo.action_units import move, strengths_of
from harness.demo.landmarks import EYE_DISTANCE, INNER_LIPS, aligned, portraits
from harness.demo.warp import (
    CANVAS_SIZE,
    DETAIL,
    GRID_STEP,
    POSITION_STEPS,
    fill_mouth,
    lip_heights,
    sample,
    spline_field,
    still_points,
    to_canvas,
)


def landmarks_of(person: int, expression: str) -> tuple[np.ndarray, np.ndarray]:
    resting = to_canvas(aligned(portraits()[person].landmarks))
    strengths = strengths_of(EXPR_CLASSES.index(expression), 1.0)
    return resting, move(resting, strengths, EYE_DISTANCE * DETAIL)


def own_positions() -> np.ndarray:
    here = np.arange(CANVAS_SIZE, dtype=np.int32) * POSITION_STEPS
    return np.stack(np.meshgrid(here, here), axis=-1)


def test_a_face_that_does_not_move_comes_from_where_it_is() -> None:
    resting, _ = landmarks_of(0, "Neutral")
    np.testing.assert_array_equal(spline_field(resting, resting), own_positions())


def test_at_its_grid_points_the_field_is_the_thin_plate_spline_and_between_them_linear() -> None:
    resting, moved = landmarks_of(3, "Surprise")
    field = spline_field(resting, moved)
    spline = RBFInterpolator(np.concatenate([moved, still_points()]), np.concatenate([resting, still_points()]))
    rows, columns = np.mgrid[0:CANVAS_SIZE:GRID_STEP, 0:CANVAS_SIZE:GRID_STEP]
    exact = spline(np.column_stack([columns.ravel(), rows.ravel()]).astype(float)).reshape(*rows.shape, 2)
    np.testing.assert_allclose(field[::GRID_STEP, ::GRID_STEP] / POSITION_STEPS, exact, atol=1 / POSITION_STEPS)
    half = field[GRID_STEP // 2 :: GRID_STEP, ::GRID_STEP][:-1]
    between = (field[:-GRID_STEP:GRID_STEP, ::GRID_STEP] + field[GRID_STEP::GRID_STEP, ::GRID_STEP]) / 2
    np.testing.assert_allclose(half, between, atol=1)


def test_sampling_is_linear_interpolation_rounded_to_whole_grey_levels() -> None:
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 256, (40, 30)).astype(np.uint8)
    field = rng.integers(-3 * POSITION_STEPS, 45 * POSITION_STEPS, (40, 30, 2)).astype(np.int32)
    places = field / POSITION_STEPS
    expected = map_coordinates(canvas.astype(float), [places[..., 1], places[..., 0]], order=1, mode="nearest")
    # At the last row and column the position is held 1/64 pixel inside the picture.
    assert np.abs(sample(canvas, field) - expected).max() <= 0.5 + 255 * 2 / POSITION_STEPS
    inside = (places >= 0).all(axis=-1) & (places[..., 0] < 28) & (places[..., 1] < 38)
    assert np.abs(sample(canvas, field) - expected)[inside].max() <= 0.5


def test_no_face_is_torn_or_folded_outside_an_open_mouth() -> None:
    """The area that a pixel's square comes from is positive but in an opening and 1.5 crop pixels around it."""
    down, across = np.mgrid[0 : CANVAS_SIZE - 1, 0 : CANVAS_SIZE - 1].astype(float) + 0.5
    for person in range(0, len(portraits()), 3):
        for expression in EXPR_CLASSES[1:]:
            resting, moved = landmarks_of(person, expression)
            field = spline_field(resting, moved) / POSITION_STEPS
            to_right, to_below = field[:-1, 1:] - field[:-1, :-1], field[1:, :-1] - field[:-1, :-1]
            area = to_right[..., 0] * to_below[..., 1] - to_right[..., 1] * to_below[..., 0]
            lips = moved[list(INNER_LIPS)]
            upper, lower, _ = lip_heights(lips, across)
            opening = (across > lips[0, 0] - 3) & (across < lips[4, 0] + 3) & (down > upper - 3) & (down < lower + 3)
            assert area[~opening].min() > 0, (portraits()[person].file, expression)


@pytest.mark.parametrize("expression", ["Surprise", "Happiness"])
def test_an_opened_mouth_is_filled_with_darkness_below_the_upper_teeth(expression: str) -> None:
    resting, moved = landmarks_of(3, expression)
    canvas = np.full((CANVAS_SIZE, CANVAS_SIZE), 200, np.uint8)
    fill_mouth(canvas, resting, moved)
    across, upper = np.round(moved[62]).astype(int)
    lower = round(moved[66, 1])
    assert canvas[lower - 4, across] < 60
    assert canvas[upper + 4, across] > 120
    assert (canvas[: upper - 8] == 200).all()
    assert (canvas[lower + 8 :] == 200).all()


def test_a_closed_mouth_is_left_alone() -> None:
    for expression in ("Neutral", "Anger", "Sadness", "Disgust", "Other"):
        resting, moved = landmarks_of(3, expression)
        canvas = np.full((CANVAS_SIZE, CANVAS_SIZE), 200, np.uint8)
        fill_mouth(canvas, resting, moved)
        assert (canvas == 200).all(), expression


def test_the_curve_of_a_lip_runs_through_its_landmarks() -> None:
    outline = landmarks_of(9, "Happiness")[1][list(INNER_LIPS)]
    upper, lower, between = lip_heights(outline, outline[:, 0])
    np.testing.assert_allclose(upper[:5], outline[:5, 1])
    np.testing.assert_allclose(lower[[0, 7, 6, 5, 4]], outline[[0, 7, 6, 5, 4], 1])
    assert between.all()
    assert not lip_heights(outline, np.array([outline[0, 0] - 1]))[2].any()
