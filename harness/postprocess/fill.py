"""Probabilities for frames without a face, from the seen frames of the same track."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError

FillMethod = Literal["linear", "nearest", "hold"]
FILL_METHODS: tuple[FillMethod, ...] = ("linear", "nearest", "hold")


def fill(
    frames: ArrayLike,
    probabilities: ArrayLike,
    rows: int,
    method: FillMethod = "linear",
    prior: ArrayLike | None = None,
    skipped: ArrayLike = (),
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities for every row of one track, and which rows are imputed.

    Parameters
    ----------
    frames : (S,) numbers of the scored frames, 1-based, ascending, none above `rows`.
    probabilities : (S, C), one row for each of `frames`; they appear unchanged in the result.
    rows : how many rows the track has.
    method : "linear" weighs the two neighbouring seen frames by nearness; "nearest" takes the nearer one, the earlier at equal
        distance; "hold" takes the previous one. Before the first and after the last seen frame its values are held.
    prior : (C,) what a track without any seen frame gets in every row, usually the class shares of the training labels.
    skipped : numbers of frames that have an image but were left out on purpose (a stride): filled, but not imputed.

    Returns
    -------
    (rows, C) float64 probabilities, and (rows,) bool, True where a row was imputed because its face is missing.

    Raises DataError for a track without any seen frame when there is no prior, ValueError for frames that are not as described.
    """
    numbers = np.asarray(frames, dtype=np.int64)
    values = np.asarray(probabilities, dtype=np.float64)
    _check(numbers, values, rows, method)
    if numbers.size == 0:
        return _prior_rows(prior, rows), np.ones(rows, dtype=bool)

    wanted = np.arange(1, rows + 1)
    before = np.maximum(np.searchsorted(numbers, wanted, side="right") - 1, 0)
    after = np.minimum(np.searchsorted(numbers, wanted, side="left"), numbers.size - 1)
    weight_after = _weight_after(wanted, numbers[before], numbers[after], method)[:, None]
    filled = (1.0 - weight_after) * values[before] + weight_after * values[after]
    filled[numbers - 1] = values

    imputed = np.ones(rows, dtype=bool)
    imputed[numbers - 1] = False
    imputed[np.asarray(skipped, dtype=np.int64) - 1] = False
    return filled, imputed


def _weight_after(
    wanted: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64], method: FillMethod
) -> NDArray[np.float64]:
    """How much of the next seen frame each wanted frame takes, 0..1; outside the seen frames both neighbours are the same one."""
    gap = np.maximum(after - before, 1)
    linear: NDArray[np.float64] = np.clip((wanted - before) / gap, 0.0, 1.0)
    if method == "linear":
        return linear
    if method == "nearest":
        return np.where(linear > 0.5, 1.0, 0.0)
    return np.zeros(wanted.shape)


def _prior_rows(prior: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    if prior is None:
        raise DataError(
            "a track has no seen frame at all, and there are no training labels to take its prior from",
            remedy="name a data root whose Train_Set annotations can be read",
        )
    return np.tile(np.asarray(prior, dtype=np.float64), (rows, 1))


def _check(numbers: NDArray[np.int64], values: NDArray[np.float64], rows: int, method: str) -> None:
    if method not in FILL_METHODS:
        raise ValueError(f"unknown fill method {method!r}; known: {', '.join(FILL_METHODS)}")
    if values.ndim != 2 or numbers.shape != values.shape[:1]:
        raise ValueError(f"frames {numbers.shape} and probabilities {values.shape} do not belong together")
    if numbers.size and (numbers[0] < 1 or numbers[-1] > rows or (np.diff(numbers) <= 0).any()):
        raise ValueError(f"frame numbers must ascend within 1..{rows}")
