"""Smoothing in seconds: equality with a slow loop and with pandas, what is left out of a window, and the ends of a track."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.postprocess.smooth import DEFAULT_SECONDS, KERNELS, Kernel, half_width, smooth

CLASSES = 4
Track = tuple[NDArray[np.float64], NDArray[np.bool_]]


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    """Probabilities of 1 to 50 rows, some of which are marked imputed."""
    rows = draw(st.integers(1, 50))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))
    return generator.dirichlet(np.full(CLASSES, 0.3), rows), generator.random(rows) < share


def slow_smooth(values: NDArray, imputed: NDArray, half: int, kernel: Kernel) -> NDArray:
    """The rules of smooth, row by row, as one would do it by hand."""
    result = []
    for row in range(len(values)):
        window = [j for j in range(max(row - half, 0), min(row + half, len(values) - 1) + 1) if not imputed[j]]
        if half == 0 or not window:
            result.append(values[row])
            continue
        picked = values[window]
        mean = picked.mean(axis=0)
        if kernel == "mean":
            result.append(mean)
        elif kernel == "gaussian":
            sigma = half / 2
            weights = np.array([np.exp(-((j - row) ** 2) / (2 * sigma**2)) for j in window])
            result.append(weights @ picked / weights.sum())
        else:
            median = np.median(picked, axis=0)
            result.append(median / median.sum() if median.sum() > 0 else mean)
    return np.array(result)


@given(tracks(), st.integers(0, 70), st.sampled_from(KERNELS))
def test_every_kernel_agrees_with_a_slow_loop(track: Track, half: int, kernel: Kernel) -> None:
    values, imputed = track
    expected = slow_smooth(values, imputed, min(half, len(values) - 1), kernel)
    np.testing.assert_allclose(smooth(values, imputed, 1.0, half, kernel), expected, atol=1e-12)


@given(tracks(), st.integers(0, 24))
def test_mean_and_median_agree_with_pandas_rolling(track: Track, half: int) -> None:
    values, imputed = track
    # pandas counts an imputed row as absent when it is NaN; only rows whose window holds an observed one can be compared.
    rolling = pd.DataFrame(np.where(imputed[:, None], np.nan, values)).rolling(2 * half + 1, center=True, min_periods=1)
    mean = rolling.mean().to_numpy()
    defined = ~np.isnan(mean[:, 0])
    np.testing.assert_allclose(smooth(values, imputed, 1.0, half)[defined], mean[defined], atol=1e-9)
    median = rolling.median().to_numpy()
    decided = defined & (median.sum(axis=1) > 0) & (half > 0 and len(values) > 1)
    expected = median[decided] / median[decided].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(smooth(values, imputed, 1.0, half, "median")[decided], expected, atol=1e-9)


@given(tracks(), st.integers(0, 70), st.sampled_from(KERNELS))
def test_every_row_stays_a_probability_distribution(track: Track, half: int, kernel: Kernel) -> None:
    smoothed = smooth(*track, 1.0, half, kernel)
    assert smoothed.shape == track[0].shape
    assert (smoothed >= 0).all()
    np.testing.assert_allclose(smoothed.sum(axis=1), 1.0, atol=1e-9)


@given(tracks(), st.integers(1, 70), st.sampled_from(KERNELS))
def test_what_was_imputed_does_not_reach_any_frame_with_a_face(track: Track, half: int, kernel: Kernel) -> None:
    values, imputed = track
    other = values.copy()
    other[imputed] = np.eye(CLASSES)[0]
    once, again = smooth(values, imputed, 1.0, half, kernel), smooth(other, imputed, 1.0, half, kernel)
    np.testing.assert_array_equal(once[~imputed], again[~imputed])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_window_of_imputed_frames_alone_keeps_the_filled_value(kernel: Kernel) -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(CLASSES), 9)
    imputed = np.array([False, True, True, True, True, True, True, True, False])
    smoothed = smooth(values, imputed, 1.0, 2, kernel)
    np.testing.assert_array_equal(smoothed[3:6], values[3:6])
    assert not np.array_equal(smoothed[2], values[2])


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_window_longer_than_the_track_takes_the_whole_track(kernel: Kernel) -> None:
    values = np.random.default_rng(1).dirichlet(np.ones(CLASSES), 5)
    whole = smooth(values, np.zeros(5, bool), 30.0, 1000.0, kernel)
    if kernel == "gaussian":  # its weights still depend on the distance
        np.testing.assert_allclose(whole, slow_smooth(values, np.zeros(5, bool), 4, kernel), atol=1e-12)
    else:
        np.testing.assert_allclose(whole, np.tile(whole[0], (5, 1)), atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_track_of_one_frame_stays_as_it_is(kernel: Kernel) -> None:
    values = np.array([[0.25, 0.75]])
    np.testing.assert_array_equal(smooth(values, [False], 30.0, 1.67, kernel), values)


@pytest.mark.parametrize("kernel", KERNELS)
def test_pictures_in_no_order_are_not_smoothed(kernel: Kernel) -> None:
    values = np.random.default_rng(2).dirichlet(np.ones(CLASSES), 20)
    np.testing.assert_array_equal(smooth(values, np.zeros(20, bool), None, 1.67, kernel), values)


def test_the_default_window_is_fifty_frames_each_side_at_thirty_frames_per_second() -> None:
    assert half_width(30.0, DEFAULT_SECONDS, 10_000) == 50


@pytest.mark.parametrize(
    ("frame_rate", "seconds", "expected"),
    [(7.5, 1.67, 12), (29.97, 1.67, 50), (20.38, 1.0, 20), (30.0, 0.1, 3), (30.0, 0.0, 0), (25.0, 0.03, 0), (30.0, 1e300, 99)],
)
def test_the_window_holds_the_whole_frames_within_its_seconds(frame_rate: float, seconds: float, expected: int) -> None:
    assert half_width(frame_rate, seconds, 100) == expected


def test_a_slow_recording_has_fewer_frames_in_the_same_seconds() -> None:
    step = np.eye(2)[[0] * 20 + [1] * 20]
    slow, fast = (smooth(step, np.zeros(40, bool), rate, 1.0) for rate in (2.0, 10.0))
    assert np.flatnonzero((slow[:, 0] > 0) & (slow[:, 0] < 1)).size == 4
    assert np.flatnonzero((fast[:, 0] > 0) & (fast[:, 0] < 1)).size == 20


def test_the_median_of_frames_of_three_classes_does_not_become_the_first_class() -> None:
    # Each class holds a third of the window, so each median is zero; the mean decides instead of class 0 winning by its place.
    values = np.eye(4)[[1, 2, 3, 1, 2, 3, 3]]
    smoothed = smooth(values, np.zeros(7, bool), 1.0, 6, "median")
    np.testing.assert_allclose(smoothed[3], [0, 2 / 7, 2 / 7, 3 / 7])


def test_smoothing_is_of_probabilities_not_of_class_numbers() -> None:
    # A median of the class numbers 0, 7 and 3 would be 3 (Fear), which hardly any frame says.
    values = np.eye(8)[[0, 7, 0, 7, 0, 3, 7]]
    assert smooth(values, np.zeros(7, bool), 1.0, 6, "median")[3].argmax() in (0, 7)


def test_a_long_track_loses_no_digits_to_running_sums() -> None:
    values = np.full((200_000, 2), [1.0, 0.0])
    values[-3:] = [1e-12, 1.0]
    smoothed = smooth(values, np.zeros(len(values), bool), 1.0, 1)
    assert smoothed[-1, 0] == pytest.approx(1e-12, rel=1e-12)


@pytest.mark.parametrize("block", [500, 1])
def test_medians_in_several_blocks_equal_medians_in_one(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A window may be larger than a block, and is taken by itself then.
    values = np.random.default_rng(4).dirichlet(np.ones(CLASSES), 100)
    imputed = np.random.default_rng(5).random(100) < 0.3
    whole = smooth(values, imputed, 1.0, 7, "median")
    monkeypatch.setattr("harness.postprocess.smooth.MEDIAN_BLOCK_VALUES", block)
    np.testing.assert_array_equal(smooth(values, imputed, 1.0, 7, "median"), whole)


@pytest.mark.parametrize(
    ("frame_rate", "seconds"), [(0.0, 1.0), (-30.0, 1.0), (float("nan"), 1.0), (30.0, -1.0), (30.0, float("nan"))]
)
def test_impossible_frame_rates_and_windows_are_refused(frame_rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        smooth([[1.0]], [False], frame_rate, seconds)


def test_an_unknown_kernel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="mean, gaussian, median"):
        smooth([[1.0]], [False], 30.0, 1.0, "box")  # type: ignore[arg-type]


def test_a_window_of_whole_frames_is_not_cut_by_the_rounding_of_its_seconds() -> None:
    assert 0.29 * 100 < 29
    assert half_width(100.0, 0.29, 1000) == 29
