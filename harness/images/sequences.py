"""Batches of windows of stored features, and the logits of a track averaged over its windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.windows import Lane, average, covering_starts, lanes
from harness.runs.features import TrackFeatures

UNKNOWN_RATE = (
    "a temporal model needs time: `harness doctor DATA --videos DIR` measures the rates, "
    "--fps 30 says that of all recordings without one"
)


def rate_of(track: Track, otherwise: float | None) -> float:
    """The frame rate of a track's recording, `otherwise` if it is unknown. Raises DataError if that is None too."""
    rate = track.frame_rate if track.frame_rate is not None else otherwise
    if rate is None:
        raise DataError(f"the frame rate of the recording {track.recording} is unknown", remedy=UNKNOWN_RATE)
    return rate


@dataclass(frozen=True, eq=False)
class Window:
    """The seen frames of a window: `place` int64 (n,) of each in it, and `position` int64 (n,) of each in the features."""

    place: NDArray[np.int64]
    position: NDArray[np.int64]


def window_at(lane: Lane, start: int, slots: int, seen: NDArray[np.int32]) -> Window:
    """The window of a lane from slot `start` on, of the frames that are in `seen`."""
    frame, place = lane.part(start, slots)
    position = np.searchsorted(seen, frame)
    found = position < len(seen)
    found[found] = seen[position[found]] == frame[found]
    return Window(place[found], position[found].astype(np.int64))


def tensors(
    windows: Sequence[tuple[TrackFeatures, Window]], batch: int, slots: int, widths: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Features float32 (batch, slots, D) and masks bool (batch, slots, K) of up to `batch` windows; the others are padding.

    `widths` are those of the K sets, D in all.
    """
    features = np.zeros((batch, slots, sum(widths)), dtype=np.float32)
    masks = np.zeros((batch, slots, len(widths)), dtype=bool)
    for row, (track, window) in enumerate(windows):
        first, count = int(window.place[0]), len(window.place)
        if int(window.place[-1]) - first + 1 == count:
            track.gather_into(window.position, features[row, first : first + count])
        else:
            features[row, window.place] = track.gather(window.position)
        masks[row, window.place] = track.present[window.position]
    return torch.from_numpy(features), torch.from_numpy(masks)


@dataclass(frozen=True)
class WindowSettings:
    """`slots` in a window, `hop` slots from one to the next, `rate` slots per second, `batch` windows per forward pass."""

    slots: int
    hop: int
    rate: float
    batch: int


def track_logits(
    forward: Callable[[Tensor, Tensor], Tensor],
    track: Track,
    features: TrackFeatures,
    frame_rate: float,
    settings: WindowSettings,
    widths: Sequence[int],
    classes: int,
) -> NDArray[np.float32]:
    """Logits float32 (S, C) of a track's frames with features: the mean of the logits of all windows a frame is in.

    `forward` gives logits (B, T, C) of features (B, T, D) and masks (B, T, K); each pass has one size, and no batch mixes tracks.
    """
    windows = list(_covering(track, features.frame, frame_rate, settings))
    parts = []
    for first in range(0, len(windows), settings.batch):
        chosen = windows[first : first + settings.batch]
        logits = forward(*tensors([(features, window) for window in chosen], settings.batch, settings.slots, widths))
        values = logits.float().cpu().numpy()
        # `average` counts from 1, as frame numbers do.
        parts += [(window.position + 1, values[row, window.place]) for row, window in enumerate(chosen)]
    if not parts:
        return np.empty((0, classes), dtype=np.float32)
    return average(len(features.frame), parts).astype(np.float32)


def _covering(track: Track, seen: NDArray[np.int32], frame_rate: float, settings: WindowSettings) -> Iterator[Window]:
    """The windows that cover every row of a track, those without any seen frame left out."""
    for lane in lanes(track.rows, frame_rate, settings.rate):
        for start in covering_starts(lane.length, settings.slots, settings.hop):
            window = window_at(lane, int(start), settings.slots, seen)
            if len(window.place):
                yield window
