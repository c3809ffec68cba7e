"""Log-mel energies at the moment of each frame: the sound of features that needs no network. Functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.audio.waveform import RATE, Waveform

BANDS = 64
LOWEST, HIGHEST = 50.0, 7600.0
"""Hertz: below is hum, above the filter of the resampling begins."""
WINDOW = 640
"""Samples of a window, 40 ms: about the time that a frame is shown at 25 per second, and two periods of a low voice of 50 Hz."""
CONTEXT = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
"""Seconds around a frame at which windows of its context begin from their middles."""
SPREAD = 0.2
"""Standard deviation in seconds of the Gaussian weights of the context's windows: the frame's own weighs most."""
FLOOR = 1e-10
"""Power below which everything is silence: -100 dB of full scale, under the noise of 16 bits."""
WIDTH = 2 * BANDS
BLOCK = 4096


def mel_of(hertz: NDArray[np.floating]) -> NDArray[np.float64]:
    """The mel scale of O'Shaughnessy (1987, Speech Communication: Human and Machine): 2595 log10(1 + f / 700)."""
    result: NDArray[np.float64] = 2595.0 * np.log10(1.0 + hertz / 700.0)
    return result


def mel_filters() -> NDArray[np.float64]:
    """Weights (BANDS, WINDOW // 2 + 1) of the powers of a spectrum: triangles that are evenly spaced in mel and sum to 1 each."""
    lowest, highest = mel_of(np.array([LOWEST, HIGHEST]))
    edges = np.linspace(lowest, highest, BANDS + 2)
    bins = mel_of(np.fft.rfftfreq(WINDOW, 1 / RATE))
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(np.minimum(rising, falling), 0.0)
    # Low triangles may be narrower than the spacing of the spectrum: the nearest frequency stands for them.
    empty = weights.sum(axis=1) == 0
    weights[empty, np.abs(bins - edges[1:-1, None])[empty].argmin(axis=1)] = 1.0
    normalised: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def log_mel(waveform: Waveform, times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Natural logarithms (S, WIDTH) of the mel powers at `times` (S,): of a window around each, then of its weighted context.

    Windows are cut at the times themselves and not on a grid, so that a click is largest in the frame that is shown nearest to
    it. Samples outside of the recording count as silence.
    """
    filters = mel_filters().T
    weights = np.exp(-0.5 * (CONTEXT / SPREAD) ** 2)
    weights /= weights.sum()
    result = np.empty((len(times), WIDTH), dtype=np.float32)
    for first in range(0, len(times), BLOCK):
        part = times[first : first + BLOCK]
        own = _powers(waveform, part) @ filters
        around = np.zeros_like(own)
        for weight, offset in zip(weights, CONTEXT, strict=True):
            around += weight * (own if offset == 0 else _powers(waveform, part + offset) @ filters)
        result[first : first + BLOCK] = np.log(np.maximum(np.concatenate([own, around], axis=1), FLOOR))
    return result


def _powers(waveform: Waveform, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Powers (S, WINDOW // 2 + 1) of the Hann windows whose middles are at `times` (S,); a sine of full scale has 1/4."""
    shape = np.hanning(WINDOW + 1)[:-1]
    places = waveform.places(times)[:, None] + np.arange(WINDOW) - WINDOW // 2
    inside = (places >= 0) & (places < len(waveform.samples))
    if len(waveform.samples) == 0:
        return np.zeros((len(times), WINDOW // 2 + 1))
    samples = np.where(inside, waveform.samples[np.clip(places, 0, len(waveform.samples) - 1)], 0.0)
    spectrum = np.fft.rfft(samples * shape, axis=1) / shape.sum()
    power: NDArray[np.float64] = spectrum.real**2 + spectrum.imag**2
    return power
