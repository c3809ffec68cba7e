"""Vectors on a grid of their own to the moments of frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def at_times(vectors: NDArray[np.floating], centres: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Vectors (G, D) whose middles are at `centres` (G,), ascending, at the times (S,): linear between, the nearest outside.

    Raises ValueError if there is no vector.
    """
    if len(centres) == 0:
        raise ValueError("no vector to interpolate between")
    right = np.clip(np.searchsorted(centres, times), 1, max(len(centres) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(centres) - 1)
    span = centres[right] - centres[left]
    share = np.clip(np.divide(times - centres[left], span, out=np.zeros_like(times), where=span > 0), 0.0, 1.0)[:, None]
    result: NDArray[np.float32] = (vectors[left] * (1.0 - share) + vectors[right] * share).astype(np.float32)
    return result
