"""Vectors on a grid of their own to the moments of frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import Track
from harness.errors import DataError


def at_times(vectors: NDArray[np.floating], centres: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Vectors (G, D) whose middles are at `centres` (G,), ascending, at the times (S,): linear between, the nearest outside.

    Raises ValueError if there is no vector.
    """
    if len(centres) == 0:
        raise ValueError("no vector to interpolate between")
    right = np.clip(np.searchsorted(centres, times), 1, max(len(centres) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(centres) - 1)
    span = centres[right] - centres[left]
    share = np.clip(np.divide(times - centres[left], span, out=np.zeros_like(times), where=span > 0), 0.0, 1.0)[:, None]
    result: NDArray[np.float32] = (vectors[left] * (1.0 - share) + vectors[right] * share).astype(np.float32)
    return result


@dataclass(frozen=True)
class Timing:
    """Vectors that come at a rate of their own: number k is of the time from (k - 1) / rate to k / rate.

    Attributes
    ----------
    rate : vectors per second.
    repeat : whether a frame takes the vector of its time as it is; else it lies between the middles of the two nearest.
    fps : frames per second of recordings whose rate is not known.
    """

    rate: float
    repeat: bool = False
    fps: float | None = None

    def most(self, track: Track) -> int:
        """The largest number of a vector that a track can have: one that begins before the track ends."""
        return max(1, int(np.ceil(track.rows / self._frame_rate(track) * self.rate - 1e-9)))

    def to_frames(
        self, numbers: NDArray[np.int64], vectors: NDArray[np.float32], track: Track
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The frames (S,) of a track within the times of vectors (G, D) numbered `numbers` (G,), and a vector (S, D) for each.

        Raises DataError for a recording whose frame rate is unknown.
        """
        times = np.arange(track.rows, dtype=np.float64) / self._frame_rate(track)
        own = np.floor(times * self.rate + 1e-9).astype(np.int64) + 1
        covered = np.isin(own, numbers)
        frames = (np.flatnonzero(covered) + 1).astype(np.int32)
        if self.repeat:
            return frames, vectors[np.searchsorted(numbers, own[covered])].astype(np.float32)
        middles = (numbers.astype(np.float64) - 0.5) / self.rate
        return frames, at_times(vectors, middles, times[covered])

    def _frame_rate(self, track: Track) -> float:
        rate = track.frame_rate if track.frame_rate is not None else self.fps
        if rate is None:
            raise DataError(
                f"the frame rate of the recording {track.recording} is unknown, so the vectors cannot be put in time",
                remedy="`harness doctor DATA --videos DIR` measures the rates, --fps 30 says that of all recordings without one",
            )
        return rate
