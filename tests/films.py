"""Small films with sound, made for tests: every frame at a given time, and a click at the times of chosen frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

TICKS = 60_000
"""Parts of a second in which the times of frames are written; MPEG-4 allows no finer ones."""
CLICK = 16
"""Samples of a click at 48 kHz, a third of a millisecond."""


def clicks(times: Sequence[float], seconds: float, rate: int, start: float = 0.0) -> NDArray[np.int16]:
    """Silence (N,) from `start` to `seconds` with a click at each of `times`, in seconds on the film's clock."""
    samples = np.zeros(round((seconds - start) * rate), np.int16)
    for time in times:
        place = round((time - start) * rate)
        samples[place : place + max(1, CLICK * rate // 48_000)] = 20_000
    return samples


def write_film(
    path: Path,
    frame_times: Sequence[float],
    sounds: Sequence[NDArray[np.int16]] = (),
    *,
    rate: int = 48_000,
    layout: str = "stereo",
    start: float = 0.0,
    codec: str = "pcm_s16le",
) -> Path:
    """A film whose frame k is shown at `frame_times[k]` seconds, with a stream of each of `sounds` (N,) that begins at `start`.

    Every channel of `layout` plays the same.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=30)
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, TICKS)
        streams = []
        for _ in sounds:
            stream = cast(av.AudioStream, container.add_stream(codec, rate=rate))
            stream.layout = layout
            streams.append(stream)
        for number, time in enumerate(frame_times):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number * 40 % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for stream, sound in zip(streams, sounds, strict=True):
            channels = av.AudioLayout(layout).nb_channels
            for first in range(0, len(sound), 1024):
                block = np.repeat(sound[first : first + 1024], channels)[None]
                part = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="s16", layout=layout)
                part.sample_rate, part.time_base = rate, Fraction(1, rate)
                part.pts = round(start * rate) + first
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    return path
