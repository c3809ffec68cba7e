"""The opening between the lips."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PIECES = 6  # straight pieces of the curve between two landmarks


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
