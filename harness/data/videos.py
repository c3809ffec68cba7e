"""Decodes raw recordings once, for what their containers cannot be trusted to say: real frame counts and rates. Needs PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, MissingExtraError

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
SHORTEST_SHARE = 0.9
"""A video whose frames cover less of its declared time than this was cut off; sound that goes on a little longer is usual."""


@dataclass(frozen=True)
class Recording:
    """What decoding one video showed.

    Attributes
    ----------
    path : the file.
    frames : frames that decode.
    declared : frames the container says there are, 0 where it says nothing.
    fps : frames per second between the first and the last time stamp; the container's mean rate without time stamps; None if
        neither is known.
    fault : why decoding stopped, or was not free of errors; "" if all went well.
    """

    path: Path
    frames: int
    declared: int
    fps: float | None
    fault: str = ""


def find_videos(directory: Path) -> dict[str, list[Path]]:
    """Video files anywhere below a folder, by recording: their names without suffix. Links are followed; loops of them end.

    Raises DataError if there are none.
    """
    if not directory.is_dir():
        raise DataError("no such folder of videos", path=directory)
    found: dict[str, list[Path]] = {}
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(directory, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                found.setdefault(Path(name).stem, []).append(Path(folder) / name)
    if not found:
        raise DataError("no videos here", path=directory, expected=f"files ending in {', '.join(SUFFIXES)}")
    return dict(sorted(found.items()))


def require_decoder() -> None:
    """Raises MissingExtraError if PyAV is not installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("av", "video", "decoding videos") from error


def decode_recording(path: Path) -> Recording:
    """Decodes every frame of a video. A damaged one gives the frames that decode, and the reason."""
    decoder = Decoder(path)
    for _ in decoder:
        pass
    return decoder.recording


class Decoder:
    """Iterates over the frames (av.VideoFrame) of a video, each decoded once, in order of presentation.

    Whatever is wrong with the file ends the frames and is said by `recording`, complete when they have ended. Packets that
    do not decode are passed over, as other readers do, so that frame numbers agree with theirs.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamps = _Stamps()
        self._declared = 0
        self._seconds: float | None = None
        self._mean_rate: float | None = None
        self._fault = ""
        self._damaged = 0

    @property
    def recording(self) -> Recording:
        """What the frames showed so far."""
        rate = self._stamps.rate() or self._mean_rate
        return Recording(self.path, self._stamps.count, self._declared, rate, self._fault or self._doubt(rate))

    def __iter__(self) -> Iterator[Any]:
        import av

        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    self._fault = "the file has no video stream"
                    return
                stream = container.streams.video[0]
                # Threads that decode several frames at once hide errors: with them a file that was cut off seems whole.
                stream.thread_type = "SLICE"
                self._declared = stream.frames
                self._seconds = None if container.duration is None else container.duration / av.time_base
                self._mean_rate = float(stream.average_rate) if stream.average_rate else None
                for packet in container.demux(stream):
                    yield from self._decoded(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._fault = self._fault or _reason(error)

    def _decoded(self, packet: Any) -> Iterator[Any]:
        import av

        try:
            frames = packet.decode()
        except av.error.InvalidDataError as error:
            self._fault = self._fault or _reason(error)
            return
        for frame in frames:
            self._stamps.add(frame.time)
            self._damaged += frame.is_corrupt
            yield frame

    def _doubt(self, rate: float | None) -> str:
        """What is wrong with a file that decodes without any error."""
        if self._damaged:
            return f"{self._damaged} frames are damaged"
        if rate is None or self._seconds is None or self._stamps.count == 0:
            return ""
        seconds = self._stamps.count / rate
        if seconds < SHORTEST_SHARE * self._seconds:
            return f"the frames end after {seconds:.2f} s of {self._seconds:.2f} s"
        return ""


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


class _Stamps:
    """Counts frames and remembers the earliest and latest time stamp."""

    def __init__(self) -> None:
        self.count = 0
        self.first: float | None = None
        self.last: float | None = None

    def add(self, seconds: float | None) -> None:
        self.count += 1
        if seconds is not None:
            self.first = seconds if self.first is None else min(self.first, seconds)
            self.last = seconds if self.last is None else max(self.last, seconds)

    def rate(self) -> float | None:
        if self.count < 2 or self.first is None or self.last is None or self.last <= self.first:
            return None
        # Six decimals tell 30000/1001 from 30 and hide that time stamps are rounded.
        return round((self.count - 1) / (self.last - self.first), 6)
