"""Windows: every frame has its place in time, every frame is covered, and overlaps are averaged as a slow loop does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.sequences import WindowSettings, rate_of, track_logits, window_at
from harness.images.windows import WindowSampler, average, covering_starts, drawn_starts, lanes
from harness.runs.features import TrackFeatures
from tests.simulated_features import Held

LENGTHS = st.integers(1, 400)
RATES = st.sampled_from([5.0, 7.5, 12.0, 14.985, 23.976, 25.0, 29.97, 30.0, 30.0003, 31.2, 33.0, 48.0, 50.0, 59.94, 60.0, 120.0])


@given(LENGTHS, RATES, st.sampled_from([5.0, 15.0, 29.97, 30.0]))
def test_every_frame_stands_once_in_the_lanes_and_no_two_on_one_slot(rows: int, frame_rate: float, rate: float) -> None:
    found = lanes(rows, frame_rate, rate)
    frames = np.concatenate([lane.frame for lane in found])
    np.testing.assert_array_equal(np.sort(frames), np.arange(1, rows + 1))
    for lane in found:
        assert (np.diff(lane.slot) >= 1).all()
        assert lane.slot[0] == 0
        assert lane.length == lane.slot[-1] + 1


@given(LENGTHS, RATES, st.sampled_from([15.0, 30.0]))
def test_a_slot_is_where_the_frame_is_in_seconds(rows: int, frame_rate: float, rate: float) -> None:
    found = lanes(rows, frame_rate, rate)
    # A recording a little faster than the rate, or than a multiple of it, is stretched to it.
    stretch = max(frame_rate / (len(found) * rate), 1.0) if rows > len(found) else 1.0
    assert stretch <= 1.05 + 1e-9
    for lane in found:
        seconds = (lane.frame - lane.frame[0]) / frame_rate
        assert (np.abs(lane.slot / rate - seconds) <= 0.5 / rate + (stretch - 1) * seconds + 1e-9).all()


def test_a_slow_recording_leaves_slots_empty_and_a_fast_one_is_taken_apart() -> None:
    (slow,) = lanes(4, 10.0, 30.0)
    assert slow.slot.tolist() == [0, 3, 6, 9]
    fast = lanes(5, 60.0, 30.0)
    assert [lane.frame.tolist() for lane in fast] == [[1, 3, 5], [2, 4]]
    assert [lane.slot.tolist() for lane in fast] == [[0, 1, 2], [0, 1]]
    (nearly,) = lanes(1000, 30.0003, 30.0)
    assert nearly.slot.tolist() == list(range(1000))


@given(LENGTHS, st.integers(1, 130), st.data())
def test_covering_windows_cover_every_slot_and_never_start_before_the_first(length: int, slots: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, slots))
    starts = covering_starts(length, slots, hop)
    covered = {slot for start in starts.tolist() for slot in range(start, start + slots)}
    assert covered >= set(range(length))
    assert starts.min() == 0
    assert starts.max() == max(0, length - slots)


@given(LENGTHS, st.integers(1, 130), st.data())
def test_drawn_windows_cover_every_slot_whatever_the_offset(length: int, slots: int, data: st.DataObject) -> None:
    starts = drawn_starts(length, slots, data.draw(st.integers(0, slots - 1)))
    covered = {slot for start in starts.tolist() for slot in range(start, start + slots)}
    assert covered >= set(range(length))
    assert starts.min() >= 0
    assert starts.max() <= max(0, length - slots)


def test_drawn_windows_move_with_the_offset() -> None:
    assert len({tuple(drawn_starts(300, 64, offset)) for offset in range(64)}) == 64


def test_an_average_is_that_of_a_slow_loop() -> None:
    random = np.random.default_rng(0)
    parts = []
    for _ in range(7):
        frame = np.sort(random.choice(np.arange(1, 21), 8, replace=False))
        parts.append((frame, random.standard_normal((8, 3)).astype(np.float32)))
    found = average(22, parts)
    for number in range(1, 23):
        values = [part[list(frame).index(number)] for frame, part in parts if number in frame]
        if values:
            np.testing.assert_allclose(found[number - 1], np.mean(np.array(values, dtype=np.float64), axis=0))
        else:
            assert np.isnan(found[number - 1]).all()


def make_track(rows: int, frames: list[int], rate: float | None = 30.0) -> Track:
    return Track("t", "t", "val", rows, "annotation", np.array(frames, dtype=np.int32), None, Path("t"), rate)


def make_features(track: Track, width: int = 2) -> TrackFeatures:
    """Features whose first number is the frame's own."""
    values = np.repeat(track.frames[:, None].astype(np.float32), width, axis=1)
    rows = np.arange(len(track.frames), dtype=np.int64)
    held: Any = Held(values)
    return TrackFeatures(track.frames, ((held, rows),), (), False, "")


def slow_logits(track: Track, features: TrackFeatures, slots: int, hop: int) -> np.ndarray:
    """By plain loops, for a recording of 30 frames per second and 30 slots per second."""
    sums: dict[int, list[float]] = {int(frame): [] for frame in features.frame}
    last = max(0, track.rows - slots)
    for start in sorted({*range(0, last + 1, hop), last}):
        window = {frame: frame - 1 - start for frame in sums if start <= frame - 1 < start + slots}
        total = sum(window)
        for frame, place in window.items():
            sums[frame].append(frame * 1000 + place * 7 + total / 1000)
    return np.array([[np.mean(sums[int(frame)])] * 2 for frame in features.frame])


@pytest.mark.parametrize(("rows", "frames"), [
    (50, list(range(1, 51))), (50, [*range(1, 12), *range(30, 51)]), (5, [1, 2, 5]), (1, [1]), (17, [17]), (40, [])
])  # fmt: skip
def test_scores_are_the_mean_over_all_windows_of_a_slow_loop(rows: int, frames: list[int]) -> None:
    track = make_track(rows, frames)
    features = make_features(track)
    sizes = []

    def forward(values: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        mask = masks[..., 0]
        sizes.append(tuple(values.shape))
        assert (values[~mask] == 0).all()
        total = (values[..., :1] * mask[..., None]).sum(dim=1, keepdim=True).double()
        place = torch.arange(values.shape[1])[None, :, None]
        return (values[..., :1].double() * 1000 + place * 7 + total / 1000).expand(-1, -1, 2)

    found = track_logits(forward, track, features, 30.0, WindowSettings(16, 6, 30.0, 3), [2], 2)
    assert found.shape == (len(frames), 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_logits(track, features, 16, 6).reshape(-1, 2), rtol=1e-6)
    # One size for every forward pass, the last one padded.
    assert set(sizes) <= {(3, 16, 2)}


def test_a_window_holds_the_seen_frames_at_their_time_and_nothing_at_the_others() -> None:
    (lane,) = lanes(20, 30.0, 30.0)
    window = window_at(lane, 5, 8, np.array([2, 6, 7, 9, 13, 14], dtype=np.int32))
    assert window.place.tolist() == [0, 1, 3, 7]
    assert window.position.tolist() == [1, 2, 3, 4]


def sampler(seed: int = 0) -> WindowSampler:
    lanes_of = [lanes(rows, 30.0, 30.0)[0] for rows in (100, 7, 300, 50)]
    teaching = [np.arange(0, 100, 3), np.array([2]), np.array([150, 151]), np.empty(0, np.int64)]
    return WindowSampler(lanes_of, [np.asarray(places, dtype=np.int64) for places in teaching], 16, seed)


def test_a_pass_has_every_frame_that_teaches_and_no_window_that_teaches_nothing() -> None:
    drawn = sampler()
    for number in range(10):
        windows = drawn.pass_samples(number)
        assert len({tuple(row) for row in windows.tolist()}) == len(windows)
        for lane, places in enumerate(drawn.teaching):
            starts = windows[windows[:, 0] == lane, 1]
            for place in places:
                assert ((starts <= place) & (place < starts + 16)).any()
            for start in starts:
                assert ((places >= start) & (places < start + 16)).any()


def test_steps_are_functions_of_seed_and_step_and_use_whole_passes_one_after_the_other() -> None:
    first, second = sampler(), sampler()
    backwards = {step: second.step_samples(step, 4) for step in reversed(range(12))}
    steps = [first.step_samples(step, 4) for step in range(12)]
    for step, windows in enumerate(steps):
        np.testing.assert_array_equal(windows, backwards[step])
    whole = np.concatenate([first.pass_samples(0), first.pass_samples(1), first.pass_samples(2), first.pass_samples(3)])
    np.testing.assert_array_equal(np.concatenate(steps)[: len(whole)], whole[: 12 * 4])
    assert not np.array_equal(sampler(1).step_samples(0, 4), steps[0])


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(DataError, match="no labelled frame with features"):
        WindowSampler(lanes(10, 30.0, 30.0), [np.empty(0, np.int64)], 4, 0)


def test_an_unknown_rate_is_refused_or_the_one_that_was_said() -> None:
    assert rate_of(make_track(5, [1], 25.0), 30.0) == 25.0
    assert rate_of(make_track(5, [1], None), 30.0) == 30.0
    with pytest.raises(DataError, match="the frame rate of the recording t is unknown"):
        rate_of(make_track(5, [1], None), None)
