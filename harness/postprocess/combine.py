"""One prediction from several models: the weighted mean of their probabilities or values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def combine(probabilities: Sequence[ArrayLike], weights: Sequence[float] | None = None) -> NDArray[np.float64]:
    """The weighted mean of arrays (S, C) of equal shape; weights are normalised to sum 1, equal when None.

    Raises ValueError if shapes differ, if there is not one weight each, or if weights are negative or all zero.
    """
    shares = _shares(len(probabilities), weights)
    arrays = [np.asarray(array, dtype=np.float64) for array in probabilities]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        raise ValueError(f"arrays to combine have different shapes: {sorted(shapes)}")
    total = np.zeros(arrays[0].shape)
    for array, share in zip(arrays, shares, strict=True):
        total += share * array
    return total


def _shares(count: int, weights: Sequence[float] | None) -> NDArray[np.float64]:
    values = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    if count == 0 or values.shape != (count,):
        raise ValueError(f"{count} arrays to combine, {len(values)} weights")
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        raise ValueError(f"weights must be non-negative and not all zero: {values.tolist()}")
    shares: NDArray[np.float64] = values / values.sum()
    return shares
