"""The sound of a recording on the clock of its film: one channel at one rate, each sample at the time at which it is heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError
from harness.words import counted

RATE = 16_000
"""Samples per second of every waveform: what wav2vec 2.0, HuBERT, WavLM and Whisper were trained on."""

LONGEST = 6 * 3600
"""Seconds of sound that are held at once: 1.4 GB of samples. An hour takes 230 MB."""

JUMP = 0.02
"""Seconds by which a block's time stamp may miss the end of the block before it; stamps of many containers are rounded to
milliseconds, and 20 ms are less than a frame at 30 per second. By more, samples are missing or stand twice."""


@dataclass(frozen=True, eq=False)
class Waveform:
    """Sound as samples in -1..1.

    Attributes
    ----------
    samples : float32 (N,), 0 in gaps.
    start : seconds at which the first sample is heard, on the clock of the film.
    gaps : first and last-but-one sample of stretches without any sound in the file.
    streams : how many streams of sound the file has; the first, or the one asked for, was read.
    fault : why reading stopped before the end, or what was wrong on the way; "" if all went well.
    """

    samples: NDArray[np.float32]
    start: float = 0.0
    gaps: tuple[tuple[int, int], ...] = ()
    streams: int = 1
    fault: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / RATE

    def places(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """The samples (S,) heard at `times` (S,) in seconds; below 0 or at N and above where there is none."""
        return np.floor((times - self.start) * RATE + 0.5).astype(np.int64)

    def heard(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the file has sound at each of `times` (S,)."""
        place = self.places(times)
        inside = (place >= 0) & (place < len(self.samples))
        for first, end in self.gaps:
            inside &= (place < first) | (place >= end)
        return inside


@dataclass
class _Writer:
    """Puts blocks of samples where their time stamps say."""

    blocks: list[NDArray[np.float32]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    start: float | None = None
    length: int = 0

    def add(self, samples: NDArray[np.float32], time: float | None) -> None:
        """Appends a block that begins at `time`; one without a time stamp follows the block before it."""
        if self.start is None:
            self.start = 0.0 if time is None else time
        expected = self.start + self.length / RATE
        missed = 0.0 if time is None else time - expected
        if missed > JUMP:
            count = round(missed * RATE)
            self.gaps.append((self.length, self.length + count))
            self._append(np.zeros(count, np.float32))
        elif missed < -JUMP:
            samples = samples[round(-missed * RATE) :]
        self._append(samples)

    def _append(self, samples: NDArray[np.float32]) -> None:
        self.length += len(samples)
        if self.length > LONGEST * RATE:
            raise DataError(
                "the audio is too long", found=f"over {LONGEST / 3600:.0f} hours", expected=f"at most {LONGEST / 3600:.0f} hours"
            )
        self.blocks.append(samples)


def read_waveform(path: Path, stream: int = 0) -> Waveform | None:
    """The sound of a file, mixed to one channel; None if it has no stream of sound.

    `stream` counts the streams of sound from 0. Packets that do not decode leave a gap, and the reason is kept. Needs PyAV.

    Raises DataError if the file cannot be opened, or has no such stream.
    """
    import av

    files.refuse_unreadable(path)
    writer = _Writer()
    fault = ""
    try:
        with av.open(str(path)) as container:
            streams = container.streams.audio
            if not streams:
                return None
            if stream >= len(streams):
                raise DataError(
                    f"there is no audio stream {stream}",
                    path=path,
                    found=counted(len(streams), "audio stream"),
                    expected=f"0 to {len(streams) - 1}",
                )
            blocks = _blocks(container, streams[stream])
            try:
                for block in blocks:
                    if isinstance(block, str):
                        fault = fault or block
                    else:
                        writer.add(*block)
            except (av.error.FFmpegError, OSError, ValueError) as error:
                fault = fault or str(getattr(error, "strerror", None) or error)
            count = len(streams)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"cannot be read: {getattr(error, 'strerror', None) or error}", path=path) from error
    samples = np.concatenate(writer.blocks) if writer.blocks else np.zeros(0, np.float32)
    return Waveform(samples, writer.start or 0.0, tuple(writer.gaps), count, fault)


def _blocks(container: Any, stream: Any) -> Iterator[tuple[NDArray[np.float32], float | None] | str]:
    """Blocks of samples with their time, or in the place of a packet that does not decode the reason."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    for packet in container.demux(stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError as error:
            yield str(error.strerror or error)
            continue
        for frame in decoded:
            for block in resampler.resample(frame):
                yield block.to_ndarray()[0], block.time
    for block in resampler.resample(None):
        yield block.to_ndarray()[0], block.time
