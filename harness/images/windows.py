"""Windows over the frames of a track, evenly spaced in seconds: where each frame stands in them, and which windows there are.

A track's time is cut into slots of 1 / `rate` seconds. Every frame, seen or not, labelled or not, has its slot by its number
and the frame rate of its recording. A recording slower than `rate` leaves slots empty. One that is faster is taken apart into
lanes of every k-th frame, each of which fits; together they hold every frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.images.sampling import WINDOWS, PassSequence, stream

SNAP = 1.05
"""A recording faster than the rate, or a multiple, by up to this factor counts as of it: stated rates vary a little."""


@dataclass(frozen=True, eq=False)
class Lane:
    """Every k-th frame of a track: `frame` int64 (N,) numbers from 1, on the slots `slot` int64 (N,), ascending, of `length`."""

    frame: NDArray[np.int64]
    slot: NDArray[np.int64]
    length: int

    def part(self, start: int, slots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The frames of the window of `slots` slots from `start` on, and their places 0..slots-1 in it."""
        first, last = np.searchsorted(self.slot, [start, start + slots])
        return self.frame[first:last], self.slot[first:last] - start


def lanes(rows: int, frame_rate: float, rate: float) -> list[Lane]:
    """The lanes of a track of `rows` frames at `frame_rate` frames per second, at `rate` slots per second."""
    count = max(1, math.ceil(frame_rate / (rate * SNAP)))
    spacing = max(1.0, count * rate / frame_rate)
    result = []
    for first in range(1, min(count, rows) + 1):
        frame = np.arange(first, rows + 1, count, dtype=np.int64)
        slot = np.floor(np.arange(len(frame)) * spacing + 0.5).astype(np.int64)
        result.append(Lane(frame, slot, int(slot[-1]) + 1))
    return result


def covering_starts(length: int, slots: int, hop: int) -> NDArray[np.int64]:
    """Where the windows of `slots` slots start that cover a lane of `length` slots: every `hop`, and a last one at its end.

    A lane shorter than a window has one window, from its first slot on.
    """
    last = max(0, length - slots)
    return np.unique(np.append(np.arange(0, last + 1, hop), last)).astype(np.int64)


def drawn_starts(length: int, slots: int, offset: int) -> NDArray[np.int64]:
    """Where the windows of one training pass over a lane start: a tiling shifted by `offset` (0..slots-1), kept inside the lane.

    Every slot is in one window at least.
    """
    last = max(0, length - slots)
    return np.unique(np.clip(np.arange(offset - slots, length, slots), 0, last)).astype(np.int64)


def average(rows: int, parts: list[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> NDArray[np.float64]:
    """The mean (rows, C) over windows, each with frame numbers from 1 (n,) and values (n, C); NaN where no window has a frame."""
    classes = parts[0][1].shape[1] if parts else 0
    total, count = np.zeros((rows, classes)), np.zeros((rows, 1))
    for frame, values in parts:
        total[frame - 1] += values
        count[frame - 1] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


@dataclass
class WindowSampler:
    """The endless sequence of training windows of one run: functions of (seed, step) alone.

    Every pass shifts the windows of each lane by another offset, over all frames alike; only windows without any frame that
    teaches are left out.

    Parameters
    ----------
    lanes : of all tracks.
    teaching : for each lane the slots, ascending, of the frames that were seen and have a label.
    slots : length of a window.
    seed : of the run.
    """

    lanes: Sequence[Lane]
    teaching: Sequence[NDArray[np.int64]]
    slots: int
    seed: int

    def __post_init__(self) -> None:
        if not any(len(places) for places in self.teaching):
            raise DataError("no labelled frame with features to train on", remedy="`harness doctor` names what is missing")
        self._sequence = PassSequence(self.pass_samples)

    def pass_samples(self, index: int) -> NDArray[np.int64]:
        """The windows (N, 2) of pass `index`, in order: which lane, and from which slot on."""
        random = stream(self.seed, WINDOWS, index)
        offsets = random.integers(0, self.slots, size=len(self.lanes))
        windows = []
        for number, (lane, places) in enumerate(zip(self.lanes, self.teaching, strict=True)):
            starts = drawn_starts(lane.length, self.slots, int(offsets[number]))
            starts = starts[np.searchsorted(places, starts) < np.searchsorted(places, starts + self.slots)]
            windows.append(np.stack([np.full(len(starts), number, dtype=np.int64), starts], axis=1))
        return random.permutation(np.concatenate(windows))

    def step_samples(self, step: int, batch: int) -> NDArray[np.int64]:
        """The windows (batch, 2) that step `step` sees, over all processes."""
        return self._sequence.step(step, batch)
