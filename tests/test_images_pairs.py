"""Pre-training on videos: which frames are drawn by track, and which other frame of the track goes with each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import DataError
from harness.images import sampling
from harness.images.sampling import LabelledFrames, NearbyFrames, TrackSampler, uniforms_for

# The images of each track: whole, with gaps, one alone, and one that is in no reach of another.
TRACKS = ([*range(1, 41)], [1, 2, 3, 9, 10, 30, 31], [5], [1, 100])
REACH = np.array([3, 7, 50, 98], np.int64)


def frames_of(tracks: tuple[list[int], ...] = TRACKS) -> LabelledFrames:
    index = np.repeat(np.arange(len(tracks), dtype=np.int32), [len(numbers) for numbers in tracks])
    return LabelledFrames(
        index, np.array([number for numbers in tracks for number in numbers], np.int32), np.zeros(len(index), np.int8)
    )


def partners_by_a_loop(frames: LabelledFrames, step: int, rows: NDArray[np.int64]) -> list[int]:
    """One number picks one of the other frames within reach, in their order."""
    uniforms = uniforms_for(sampling._NEARBY, 3, step, len(rows))
    found = []
    for row, number in zip(rows.tolist(), uniforms.tolist(), strict=True):
        near = [
            other
            for other in range(len(frames))
            if other != row
            and frames.track[other] == frames.track[row]
            and abs(int(frames.frame[other]) - int(frames.frame[row])) <= REACH[frames.track[row]]
        ]
        found.append(near[int(number * len(near))] if near else row)
    return found


def test_the_other_frame_of_a_pair_is_what_a_loop_over_all_frames_finds() -> None:
    frames = frames_of()
    nearby = NearbyFrames(frames, REACH, seed=3)
    rows = np.random.default_rng(0).permutation(len(frames))
    for step in range(20):
        assert nearby.step_partners(step, rows).tolist() == partners_by_a_loop(frames, step, rows)


def test_a_frame_with_none_nearby_is_its_own_partner_and_no_other_is() -> None:
    frames = frames_of()
    rows = np.arange(len(frames))
    alone = np.flatnonzero(NearbyFrames(frames, REACH, seed=0).step_partners(0, rows) == rows)
    assert [(int(frames.track[row]), int(frames.frame[row])) for row in alone] == [(2, 5), (3, 1), (3, 100)]


def test_all_frames_within_reach_are_drawn_alike_often() -> None:
    frames = frames_of()
    row = int(np.flatnonzero((frames.track == 1) & (frames.frame == 3))[0])
    drawn = NearbyFrames(frames, REACH, seed=1).step_partners(0, np.full(6000, row))
    counts = Counter(frames.frame[drawn].tolist())
    assert set(counts) == {1, 2, 9, 10}
    # Six standard deviations of a binomial of 6,000 draws with a share of a quarter.
    assert all(abs(count - 1500) < 6 * (6000 * 0.25 * 0.75) ** 0.5 for count in counts.values())


def test_a_pass_takes_one_frame_of_every_track_and_steps_follow_without_a_seam() -> None:
    frames = frames_of()
    sampler = TrackSampler(frames, frame_step=10, seed=5)
    for index in range(5):
        assert sorted(frames.track[sampler.pass_samples(index)].tolist()) == [0, 1, 2, 3]
    drawn = np.concatenate([sampler.step_samples(step, 3) for step in range(8)])
    assert drawn.tolist() == np.concatenate([sampler.pass_samples(index) for index in range(6)]).tolist()
    # Whatever was asked for before, a step is the same.
    assert TrackSampler(frames, 10, 5).step_samples(7, 3).tolist() == drawn[21:24].tolist()
    assert TrackSampler(frames, 10, 6).step_samples(7, 3).tolist() != drawn[21:24].tolist()


def test_every_stretch_of_a_track_is_seen_alike_often_however_many_images_it_has() -> None:
    frames = frames_of()
    sampler = TrackSampler(frames, frame_step=10, seed=0)
    rows = np.concatenate([sampler.pass_samples(index) for index in range(3000)])
    # Of the second track: frames 1-10 with five images, 21-30 with one, 31-40 with one.
    counts = Counter((frames.frame[rows[frames.track[rows] == 1]] - 1) // 10)
    assert set(counts) == {0, 2, 3}
    assert all(abs(count - 1000) < 6 * (3000 * 2 / 9) ** 0.5 for count in counts.values())
    within = Counter(frames.frame[rows[(frames.track[rows] == 1) & (frames.frame[rows] <= 10)]].tolist())
    assert set(within) == {1, 2, 3, 9, 10}


def test_tracks_without_any_image_are_refused() -> None:
    with pytest.raises(DataError, match="no frame with an image"):
        TrackSampler(frames_of(([], [])), 10, 0)
