"""Filling the frames without a face: what may change, what may not, and how much of which neighbour."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.errors import DataError
from harness.postprocess.fill import FILL_METHODS, FillMethod, fill

CLASSES = 8


@st.composite
def tracks(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """A track of 1 to 60 rows, at least one frame of which is seen."""
    rows = draw(st.integers(1, 60))
    seen = draw(st.sets(st.integers(1, rows), min_size=1))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.array(sorted(seen)), generator.dirichlet(np.ones(CLASSES), len(seen)), rows


def slow_fill(
    frames: NDArray[np.int64], probabilities: NDArray[np.float64], rows: int, method: FillMethod
) -> NDArray[np.float64]:
    """The rules of fill, frame by frame, as one would do it by hand."""
    known = dict(zip(frames.tolist(), probabilities, strict=True))
    result = []
    for row in range(1, rows + 1):
        earlier = [frame for frame in known if frame <= row]
        later = [frame for frame in known if frame >= row]
        if not earlier:
            result.append(known[min(later)])
        elif not later or method == "hold" or max(earlier) == row:
            result.append(known[max(earlier)])
        else:
            previous, following = max(earlier), min(later)
            if method == "nearest":
                result.append(known[previous] if row - previous <= following - row else known[following])
            else:
                gap = following - previous
                result.append(known[previous] * (following - row) / gap + known[following] * (row - previous) / gap)
    return np.array(result)


@given(tracks(), st.sampled_from(FILL_METHODS))
def test_every_method_agrees_with_a_slow_loop(track: tuple[NDArray, NDArray, int], method: FillMethod) -> None:
    filled, _ = fill(*track, method=method)
    np.testing.assert_allclose(filled, slow_fill(*track, method), atol=1e-12)


@given(tracks())
def test_linear_agrees_with_numpy_interp_and_with_pandas_interpolate(track: tuple[NDArray, NDArray, int]) -> None:
    frames, probabilities, rows = track
    filled, _ = fill(frames, probabilities, rows)
    wanted = np.arange(1, rows + 1)
    by_numpy = np.stack([np.interp(wanted, frames, column) for column in probabilities.T], axis=1)
    by_pandas = pd.DataFrame(probabilities, index=frames).reindex(wanted).interpolate("index", limit_direction="both")
    np.testing.assert_allclose(filled, by_numpy, atol=1e-12)
    np.testing.assert_allclose(filled, by_pandas.to_numpy(), atol=1e-12)


@given(tracks())
def test_hold_agrees_with_pandas_forward_fill(track: tuple[NDArray, NDArray, int]) -> None:
    frames, probabilities, rows = track
    filled, _ = fill(frames, probabilities, rows, "hold")
    by_pandas = pd.DataFrame(probabilities, index=frames).reindex(np.arange(1, rows + 1)).ffill().bfill()
    np.testing.assert_array_equal(filled, by_pandas.to_numpy())


@given(tracks(), st.sampled_from(FILL_METHODS))
def test_seen_frames_are_untouched_and_all_others_are_marked_imputed(
    track: tuple[NDArray, NDArray, int], method: FillMethod
) -> None:
    frames, probabilities, rows = track
    filled, imputed = fill(frames, probabilities, rows, method)
    np.testing.assert_array_equal(filled[frames - 1], probabilities)
    assert set(np.flatnonzero(~imputed) + 1) == set(frames.tolist())


@given(tracks(), st.sampled_from(FILL_METHODS))
def test_there_is_a_probability_for_every_row(track: tuple[NDArray, NDArray, int], method: FillMethod) -> None:
    filled, imputed = fill(*track, method=method)
    assert filled.shape == (track[2], CLASSES)
    assert imputed.shape == (track[2],)
    np.testing.assert_allclose(filled.sum(axis=1), 1.0, atol=1e-12)
    assert (filled >= 0).all()


def test_a_gap_gives_nine_tenths_to_the_frame_next_to_it() -> None:
    filled, _ = fill([1, 11], [[1.0, 0.0], [0.0, 1.0]], 11)
    np.testing.assert_allclose(filled[:, 0], [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0], atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_gap_at_the_start_holds_the_first_seen_frame() -> None:
    filled, imputed = fill([4, 5], [[0.2, 0.8], [0.6, 0.4]], 5)
    np.testing.assert_array_equal(filled[:3], [[0.2, 0.8]] * 3)
    assert imputed.tolist() == [True, True, True, False, False]


def test_a_gap_at_the_end_holds_the_last_seen_frame() -> None:
    filled, imputed = fill([1, 2], [[0.6, 0.4], [0.2, 0.8]], 4)
    np.testing.assert_array_equal(filled[2:], [[0.2, 0.8]] * 2)
    assert imputed.tolist() == [False, False, True, True]


def test_the_earlier_of_two_equally_near_frames_is_the_nearest() -> None:
    filled, _ = fill([1, 3], [[1.0, 0.0], [0.0, 1.0]], 3, "nearest")
    assert filled[1].tolist() == [1.0, 0.0]


def test_a_track_without_any_face_gets_the_prior_in_every_row() -> None:
    filled, imputed = fill([], np.empty((0, 3)), 4, prior=[0.5, 0.3, 0.2])
    np.testing.assert_array_equal(filled, [[0.5, 0.3, 0.2]] * 4)
    assert imputed.all()


def test_a_track_without_any_face_and_without_a_prior_is_refused() -> None:
    with pytest.raises(DataError, match="no seen frame"):
        fill([], np.empty((0, 3)), 4)


def test_frames_skipped_on_purpose_are_filled_but_not_imputed() -> None:
    filled, imputed = fill([1, 5], [[1.0, 0.0], [0.0, 1.0]], 6, skipped=[2, 3])
    np.testing.assert_allclose(filled[:, 0], [1, 0.75, 0.5, 0.25, 0, 0])
    assert imputed.tolist() == [False, False, False, True, False, True]


def test_filling_and_averaging_runs_of_equal_frames_commute() -> None:
    generator = np.random.default_rng(3)
    frames = np.array([2, 3, 9, 20])
    one, other = generator.dirichlet(np.ones(CLASSES), (2, 4))
    averaged_first, _ = fill(frames, (one + other) / 2, 25)
    filled_first = (fill(frames, one, 25)[0] + fill(frames, other, 25)[0]) / 2
    np.testing.assert_allclose(averaged_first, filled_first, atol=1e-15)


@pytest.mark.parametrize("frames", [[0, 1], [2, 1], [1, 1], [1, 4]])
def test_frames_out_of_order_or_outside_the_track_are_refused(frames: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        fill(frames, np.full((2, 2), 0.5), 3)


def test_as_many_probabilities_as_frames_are_needed() -> None:
    with pytest.raises(ValueError, match="belong together"):
        fill([1, 2, 3], np.full((2, 2), 0.5), 3)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="linear, nearest, hold"):
        fill([1], [[1.0]], 3, "cubic")  # type: ignore[arg-type]
