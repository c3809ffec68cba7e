"""Shards: every track in one of them, with nearly as many frames in each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.runs.shards import parse_shard, shard
from tests.simulated_runs import tracks_of


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "", "１/２", f"1/{'9' * 5000}"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a shard"):
        parse_shard(text)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=40), st.integers(1, 6))
def test_shards_split_the_tracks_without_loss_and_nearly_evenly(lengths: list[int], count: int) -> None:
    tracks = tracks_of(lengths)
    parts = [shard(tracks, index, count) for index in range(1, count + 1)]
    assert sorted(track.name for part in parts for track in part) == sorted(track.name for track in tracks)
    loads = [sum(len(track.frames) for track in part) for part in parts]
    assert max(loads) - min(loads) <= max(lengths)


def test_of_a_billion_shards_each_track_is_one() -> None:
    tracks = tracks_of([3, 5, 4])
    assert [[track.name for track in shard(tracks, index, 999_999_999)] for index in (1, 2, 3, 4, 999_999_999)] == [
        *([tracks[place].name] for place in (1, 2, 0)),
        *([], []),
    ]


def test_six_hundred_tracks_fall_within_five_percent() -> None:
    lengths = np.random.default_rng(0).lognormal(8, 0.8, 600).astype(int).tolist()
    for count in (2, 4, 8):
        loads = [sum(len(track.frames) for track in shard(tracks_of(lengths), index, count)) for index in range(1, count + 1)]
        assert max(loads) <= 1.05 * min(loads)
