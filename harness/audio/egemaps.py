"""The low-level descriptors of eGeMAPS (Eyben et al. 2016, IEEE Transactions on Affective Computing 7(2)) through openSMILE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.audio.waveform import RATE, Waveform
from harness.errors import MissingExtraError
from harness.runs.resampling import at_times

WIDTH = 25
SHORTEST = 0.1
"""Seconds of sound below which openSMILE has no window of pitch; what is shorter is padded with silence."""


def require() -> None:
    """Raises MissingExtraError without the package opensmile."""
    try:
        import opensmile  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("opensmile", "audio", "eGeMAPS descriptors") from error


def egemaps(waveform: Waveform, times: NDArray[np.float64]) -> NDArray[np.float32]:
    """The 25 descriptors of eGeMAPSv02 (S, 25) at `times` (S,): pitch, jitter, shimmer, loudness, formants, spectral balance.

    openSMILE gives them every 10 ms with the span of each; the middles of the spans are their times.
    """
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    missing = max(0, round(SHORTEST * RATE) - len(waveform.samples))
    table = smile.process_signal(np.pad(waveform.samples, (0, missing)), RATE)
    starts, ends = (table.index.get_level_values(name).total_seconds().to_numpy() for name in ("start", "end"))
    return at_times(np.nan_to_num(table.to_numpy(dtype=np.float64)), waveform.start + 0.5 * (starts + ends), times)
