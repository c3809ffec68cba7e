"""Moves a photographed face by its landmarks: thin-plate splines, and something to see behind parted lips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.demo.landmarks import CROP_SIZE, EYE_DISTANCE, EYE_HEIGHT, INNER_LIPS

MARGIN = 8  # pixels of a crop around it, so that a moving head does not show an edge
DETAIL = 2  # canvas pixels per crop pixel
CANVAS_SIZE = (CROP_SIZE + 2 * MARGIN) * DETAIL
GRID_STEP = 8  # canvas pixels between the points where the spline is evaluated
POSITION_STEPS = 64  # positions are whole multiples of 1/64 pixel: solvers that differ in the last bit give the same pictures

# Grey levels of a mouth in shares of the bright skin's, and the visible height of the upper teeth at most, in eye distances.
MOUTH_DARK, TEETH_BRIGHT, TEETH_HEIGHT = 0.2, 1.0, 0.10
PIECES = 6  # straight pieces of the curve between two landmarks


def to_canvas(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Crop coordinates (N, 2) as canvas coordinates; the centres of pixels are whole numbers in both."""
    return np.asarray((positions + MARGIN) * DETAIL + (DETAIL - 1) / 2)


def still_points() -> NDArray[np.float64]:
    """Canvas positions (N, 2) that no expression moves: the hairline, the temples, and a frame outside the picture."""
    across, top = CROP_SIZE / 2, EYE_HEIGHT - 1.15 * EYE_DISTANCE
    hairline = [(across + side * EYE_DISTANCE, top) for side in (-1.2, -0.6, 0.0, 0.6, 1.2)]
    temples = [(across + side * EYE_DISTANCE, EYE_HEIGHT + down * EYE_DISTANCE) for side in (-1.4, 1.4) for down in (-0.4, 0.4)]
    frame = [(across + x * CROP_SIZE, across + y * CROP_SIZE) for x in (-1.0, -0.35, 0.35, 1.0) for y in (-1.0, 1.0)]
    return to_canvas(np.array(hairline + temples + frame))


def spline_field(resting: NDArray[np.float64], moved: NDArray[np.float64]) -> NDArray[np.int32]:
    """Where each canvas pixel of the moved face comes from.

    The thin-plate spline (Bookstein, 1989) that takes the landmarks `moved` (N, 2) back to `resting` (N, 2), both in canvas
    pixels, and leaves `still_points` alone. It is solved for the whole face, evaluated on a coarse grid and interpolated.

    Returns
    -------
    int32 (CANVAS_SIZE, CANVAS_SIZE, 2), x and y in 1/POSITION_STEPS of a canvas pixel.
    """
    from scipy.interpolate import RBFInterpolator

    still = still_points()
    spline = RBFInterpolator(np.concatenate([moved, still]), np.concatenate([resting - moved, np.zeros_like(still)]))
    knots = np.arange(0, CANVAS_SIZE + GRID_STEP, GRID_STEP)
    coarse = spline(np.stack(np.meshgrid(knots, knots), axis=-1).reshape(-1, 2)).reshape(len(knots), len(knots), 2)
    fine = _between(_between(np.round(coarse * POSITION_STEPS).astype(np.int32)).transpose(1, 0, 2)).transpose(1, 0, 2)
    offset = (fine + GRID_STEP**2 // 2) // GRID_STEP**2
    here = np.arange(CANVAS_SIZE, dtype=np.int32) * POSITION_STEPS
    return np.asarray(offset + np.stack(np.meshgrid(here, here), axis=-1), np.int32)


def _between(knots: NDArray[np.int32]) -> NDArray[np.int32]:
    """GRID_STEP times as many values along the first axis of knots (K, ...), linear between them and GRID_STEP times as large."""
    share = np.arange(GRID_STEP, dtype=np.int32).reshape(1, -1, *[1] * (knots.ndim - 1))
    return (knots[:-1, None] * (GRID_STEP - share) + knots[1:, None] * share).reshape(-1, *knots.shape[1:])


def sample(canvas: NDArray[np.uint8], field: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The canvas (H, W) at the positions of `field`, interpolated linearly in whole numbers; its edges go on outside."""
    column, row = (
        np.clip(field[..., 0], 0, (canvas.shape[1] - 1) * POSITION_STEPS - 1),
        np.clip(field[..., 1], 0, (canvas.shape[0] - 1) * POSITION_STEPS - 1),
    )
    right, below = column % POSITION_STEPS, row % POSITION_STEPS
    start = row // POSITION_STEPS * canvas.shape[1] + column // POSITION_STEPS
    flat = canvas.ravel().astype(np.int32)
    above = flat[start] * (POSITION_STEPS - right) + flat[start + 1] * right
    start += canvas.shape[1]
    under = flat[start] * (POSITION_STEPS - right) + flat[start + 1] * right
    value = above * (POSITION_STEPS - below) + under * below
    return np.asarray((value + POSITION_STEPS**2 // 2) // POSITION_STEPS**2, np.uint8)


def fill_mouth(canvas: NDArray[np.uint8], resting: NDArray[np.float64], moved: NDArray[np.float64]) -> None:
    """Paints the dark of an opened mouth and the upper teeth where the lips of `moved` are farther apart than those of `resting`.

    Both are landmarks (68, 2) in canvas pixels. The paint begins at 3 pixels more than at rest and covers from 7 on.
    """
    lips, closed = moved[list(INNER_LIPS)], resting[list(INNER_LIPS)]
    low, high = np.floor(lips.min(axis=0)).astype(int) - 2, np.ceil(lips.max(axis=0)).astype(int) + 3
    down, across = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float64)
    upper, lower, between = lip_heights(lips, across)
    share = (across - lips[0, 0]) / (lips[4, 0] - lips[0, 0])
    closed_upper, closed_lower, _ = lip_heights(closed, closed[0, 0] + share * (closed[4, 0] - closed[0, 0]))
    opened = np.clip(((lower - upper) - (closed_lower - closed_upper) - 3) / 4, 0, 1) * between
    inside = np.clip((np.minimum(down - upper, lower - down) + 1) / 2, 0, 1)
    middle, width = lips[:, 0].mean(), np.ptp(lips[:, 0]) / 2
    sideways = np.clip((0.9 - np.abs(across - middle) / width) * 3, 0, 1)
    teeth_end = upper + np.minimum(TEETH_HEIGHT * EYE_DISTANCE * DETAIL, 0.55 * (lower - upper))
    teeth = np.clip((teeth_end - down) / 2, 0, 1) * np.clip((down - upper) / 2, 0, 1) * sideways
    skin = float(np.percentile(canvas, 75))
    paint = skin * (MOUTH_DARK + (TEETH_BRIGHT - MOUTH_DARK) * teeth)
    strength = np.round(64 * opened * inside) / 64
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    canvas[window] = np.round(canvas[window] * (1 - strength) + np.round(paint) * strength).astype(np.uint8)


def lip_heights(
    outline: NDArray[np.float64], across: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where the upper and the lower edge of a lip outline lie at the positions `across`.

    Parameters
    ----------
    outline : (N, 2), from the left corner along the upper lip to the right corner, and back along the lower lip.
    across : horizontal positions, any shape.

    Returns
    -------
    Heights of both edges, and whether the position lies between the corners; each of the shape of `across`.
    """
    corner = len(outline) // 2
    upper = _curve(outline[: corner + 1])
    lower = _curve(np.concatenate([outline[:1], outline[: corner - 1 : -1]]))
    between = (across >= outline[0, 0]) & (across <= outline[corner, 0])
    return np.interp(across, *upper.T), np.interp(across, *lower.T), between


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth curve through points (N, 2) from left to right: Catmull-Rom splines as (PIECES * (N - 1) + 1, 2) points."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    share = np.arange(PIECES)[:, None] / PIECES
    linear, square = (end - before) / 2, before - 2.5 * start + 2 * end - after / 2
    cubic = (after - before) / 2 + 1.5 * (start - end)
    curve = start + share * (linear + share * (square + share * cubic))
    curve = np.concatenate([curve.reshape(-1, 2), points[-1:]])
    curve[:, 0] = np.maximum.accumulate(curve[:, 0])
    return np.asarray(curve)
