"""Which tracks a process scores: shards of nearly equal numbers of frames."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.data.tracks import Track
from harness.errors import UsageError

_SHARD = re.compile("([0-9]{1,9})/([0-9]{1,9})")


def parse_shard(text: str) -> tuple[int, int]:
    """`i/n` as (i, n), 1 <= i <= n. Raises UsageError for anything else."""
    match = _SHARD.fullmatch(text)
    if match is not None and 1 <= int(match[1]) <= int(match[2]):
        return int(match[1]), int(match[2])
    raise UsageError("not a shard", found=text[:40], expected="i/n with 1 <= i <= n, for example 2/4")


def shard(tracks: Sequence[Track], index: int, count: int) -> list[Track]:
    """The tracks of shard `index` (1-based) of `count`, in their order.

    Longest first, each to the shard with the fewest frames so far: the shards differ by less than the frames of one short track.
    """
    loads = [0] * min(count, len(tracks))  # of more shards than tracks the last are empty
    chosen: list[Track] = []
    order = sorted(range(len(tracks)), key=lambda position: (-len(tracks[position].frames), position))
    for position in order:
        lightest = loads.index(min(loads))
        loads[lightest] += len(tracks[position].frames)
        if lightest == index - 1:
            chosen.append(tracks[position])
    places = {id(track): position for position, track in enumerate(tracks)}
    return sorted(chosen, key=lambda track: places[id(track)])
