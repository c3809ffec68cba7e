"""Probabilities averaged over a window in time, with the recording's own frame rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

Kernel = Literal["mean", "gaussian", "median"]
KERNELS: tuple[Kernel, ...] = ("mean", "gaussian", "median")

# ±50 frames at 30 frames per second, the best window of HSE's sweep on the EXPR validation set (ABAW 3, 5 and 8 notebooks of
# EmotiEffLib: macro-F1 .384 without smoothing, .424 with it).
DEFAULT_SECONDS = 1.67

# What makes frame rates known.
RATE_REMEDY = "`harness doctor DATA --videos DIR` measures the rates, --fps 30 says them"

# How many tracks are named that were not smoothed.
MOST_NAMED = 10

# The half-width of the window in standard deviations of the Gaussian: sigma is a quarter of the whole window.
GAUSSIAN_HALF_WIDTH_IN_SIGMAS = 2.0

# How many values a block of sliding windows may hold while medians are taken: 64 MB of float64.
MEDIAN_BLOCK_VALUES = 8_000_000


def describe_unsmoothed(names: Sequence[str], tracks: int) -> str | None:
    """One line on the tracks, `names` of `tracks`, that are not smoothed because their frame rate is unknown; None for none."""
    if not names:
        return None
    if len(names) == tracks:
        what = "no smoothing, nor Viterbi decoding: the frame rates are unknown, so frames count as unordered pictures"
        return f"{what}; {RATE_REMEDY}"
    named = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    what = f"{len(names)} of {tracks} tracks not smoothed, nor decoded by Viterbi, because their frame rates are unknown"
    return f"{what}: {named}; {RATE_REMEDY}"


def smooth(
    probabilities: ArrayLike,
    imputed: ArrayLike,
    frame_rate: float | None,
    seconds: float = DEFAULT_SECONDS,
    kernel: Kernel = "mean",
    shares: bool = True,
) -> NDArray[np.float64]:
    """Each row of one track as the average of the rows within `seconds` before and after it.

    Parameters
    ----------
    probabilities : (rows, C), every frame of the track in order.
    imputed : (rows,) True where a row was filled for want of a face; such rows are left out of every window, but get a value
        themselves. Where a window holds nothing else, the row keeps its filled value.
    frame_rate : frames per second of the recording, any positive real number. None means pictures in no order: nothing changes.
    seconds : half-width of the window. At the ends of the track the window shrinks to what exists.
    kernel : "mean"; "gaussian" with a standard deviation of half the half-width; "median" column by column.
    shares : whether the columns are shares of one whole, whose medians are made to sum to 1 again.

    Returns (rows, C) float64. Raises ValueError for a negative half-width, a frame rate that is not positive, an unknown kernel.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    observed = ~np.asarray(imputed, dtype=bool)
    half = half_width(frame_rate, seconds, len(values))
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; known: {', '.join(KERNELS)}")
    if observed.shape != values.shape[:1]:
        raise ValueError(f"probabilities {values.shape} and imputed {observed.shape} do not belong together")
    if half == 0 or not observed.any():
        return values.copy()
    counts = _window_sums(observed[:, None].astype(np.float64), half)[:, 0]
    if kernel == "median":
        smoothed = _running_median(values, observed, half, counts)
        if shares:
            smoothed = _summing_to_one(smoothed, values, observed, half)
    else:
        smoothed = _running_mean(values, observed, half, kernel)
    smoothed[counts == 0] = values[counts == 0]
    return smoothed


def half_width(frame_rate: float | None, seconds: float, rows: int) -> int:
    """How many frames before and after a frame its window holds: the whole frames within `seconds`, at most rows - 1."""
    if not seconds >= 0:
        raise ValueError(f"the half-width of a window cannot be {seconds} seconds")
    if frame_rate is None:
        return 0
    if not (frame_rate > 0 and math.isfinite(frame_rate)):
        raise ValueError(f"a frame rate cannot be {frame_rate}")
    # 0.1 s at 30 frames per second is 3 frames, whatever the rounding of the product says.
    frames = seconds * frame_rate + 1e-9
    return max(min(rows - 1, math.floor(frames) if math.isfinite(frames) else rows - 1), 0)


def _running_mean(values: NDArray[np.float64], observed: NDArray[np.bool_], half: int, kernel: Kernel) -> NDArray[np.float64]:
    """Weighted means over the observed rows of each window; windows without any come out as zeros."""
    weights = observed[:, None].astype(np.float64)
    sums_of = _window_sums if kernel == "mean" else _gaussian_sums
    totals = sums_of(values * weights, half)
    return totals / np.maximum(sums_of(weights, half), np.finfo(np.float64).tiny)


def _window_sums(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Sums over the rows i-half..i+half of (rows, C), in time independent of the window.

    The rows are cut into blocks as long as a window, so a window is the end of one block and the beginning of the next. Sums
    running from the block borders are added, never subtracted: non-negative numbers lose no digits, however long the track.
    """
    rows, columns = values.shape
    width = 2 * half + 1
    blocks = -(-(rows + 2 * half) // width)
    padded = np.zeros((blocks * width, columns))
    padded[half : half + rows] = values
    blocked = padded.reshape(blocks, width, columns)
    from_start = np.cumsum(blocked, axis=1).reshape(-1, columns)
    to_end = np.cumsum(blocked[:, ::-1], axis=1)[:, ::-1].reshape(-1, columns)
    sums: NDArray[np.float64] = to_end[:rows] + from_start[width - 1 : width - 1 + rows]
    # A window that is exactly one block was counted twice.
    sums[::width] = to_end[:rows:width]
    return sums


def _gaussian_sums(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Sums over the rows i-half..i+half of (rows, C), weighted by a Gaussian of the distance."""
    distances = np.arange(-half, half + 1)
    weights = np.exp(-0.5 * (distances * GAUSSIAN_HALF_WIDTH_IN_SIGMAS / half) ** 2)
    rows = len(values)
    return np.stack([np.convolve(column, weights)[half : half + rows] for column in values.T], axis=1)


def _running_median(
    values: NDArray[np.float64], observed: NDArray[np.bool_], half: int, counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Medians of each column over the observed rows of each window, of which there are `counts`."""
    rows, columns = values.shape
    width = 2 * half + 1
    padded = np.full((rows + 2 * half, columns), np.nan)
    padded[half : half + rows] = np.where(observed[:, None], values, np.nan)
    windows = sliding_window_view(padded, width, axis=0)
    medians = np.zeros((rows, columns))
    step = max(MEDIAN_BLOCK_VALUES // (width * columns), 1)
    for start in range(0, rows, step):
        # Sorting puts the frames left out (NaN) behind the others, so the middle of the first `counts` values is the median.
        ordered = np.sort(windows[start : start + step], axis=-1)
        count = np.maximum(counts[start : start + step].round().astype(np.int64), 1)[:, None, None]
        lower = np.take_along_axis(ordered, (count - 1) // 2, axis=-1)[..., 0]
        upper = np.take_along_axis(ordered, count // 2, axis=-1)[..., 0]
        medians[start : start + step] = 0.5 * (lower + upper)
    return medians


def _summing_to_one(
    medians: NDArray[np.float64], values: NDArray[np.float64], observed: NDArray[np.bool_], half: int
) -> NDArray[np.float64]:
    """Medians of shares as shares; where no class holds half of a window they can all be zero, and the mean decides there."""
    sums = medians.sum(axis=1, keepdims=True)
    undecided = ~(sums[:, 0] > 0)
    medians[undecided] = _running_mean(values, observed, half, "mean")[undecided]
    sums[undecided] = 1.0
    normalised: NDArray[np.float64] = medians / sums
    return normalised
