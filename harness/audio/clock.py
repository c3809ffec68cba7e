"""When each frame of a film is shown, on the clock that its sound has as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.videos import Decoder


def frame_times(path: Path) -> tuple[NDArray[np.float64], str]:
    """Seconds (F,) at which each frame of a film is shown, and what is wrong with the file, "" if nothing is.

    Frames are those that decode, in order of presentation, as crops and annotations count them; entry k is of frame k + 1. A
    frame without a time stamp is shown between its neighbours; without any stamps the times are not known and nothing is
    returned.
    """
    decoder = Decoder(path)
    stamps = np.array([np.nan if frame.time is None else frame.time for frame in decoder], dtype=np.float64)
    recording = decoder.recording
    known = np.isfinite(stamps)
    if not known.any():
        return np.empty(0), recording.fault or "its frames have no time stamps"
    numbers = np.arange(len(stamps))
    times = np.interp(numbers, numbers[known], stamps[known])
    return np.maximum.accumulate(times), recording.fault
