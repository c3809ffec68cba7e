"""Decodes raw recordings once, for what their containers cannot be trusted to say: real frame counts and rates. Needs PyAV."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from harness import files
from harness.errors import DataError, MissingExtraError
from harness.words import counted

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".flv"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".ogv"),
)
SHORTEST_SHARE = 0.9
"""A video whose frames cover less of its declared time than this was cut off; sound that goes on a little longer is usual."""
WIDEST_PIXEL = 5
"""Pixels this many times as wide as high, or as high as wide, are a slip of the container and not a camera's."""


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
    notes : in what its frames are shown otherwise than stored, and what it holds besides the film.
    """

    path: Path
    frames: int
    declared: int
    fps: float | None
    fault: str = ""
    notes: tuple[str, ...] = ()


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


@dataclass
class Decoder:
    """Iterates over the frames (av.VideoFrame) of a video, each decoded once, in order of presentation.

    Whatever is wrong with the file ends the frames and is said by `recording`, complete when they have ended. Packets that
    do not decode are passed over, as other readers do, so that frame numbers agree with theirs. A picture that is attached to a
    file, as the cover of a song, is not its film.

    Attributes
    ----------
    path : the file.
    aspect : width of a pixel over its height, known from the first frame on.
    """

    path: Path
    aspect: Fraction = field(default=Fraction(1), init=False)
    _count: int = field(default=0, init=False)
    _damaged: int = field(default=0, init=False)
    _first: float = field(default=math.inf, init=False)
    _last: float = field(default=-math.inf, init=False)
    _declared: int = field(default=0, init=False)
    _seconds: float | None = field(default=None, init=False)
    _mean_rate: float | None = field(default=None, init=False)
    _fault: str = field(default="", init=False)
    _notes: list[str] = field(default_factory=list, init=False)

    @property
    def recording(self) -> Recording:
        """What the frames showed so far."""
        rate = self._rate() or self._mean_rate
        return Recording(self.path, self._count, self._declared, rate, self._fault or self._doubt(rate), tuple(self._notes))

    def __iter__(self) -> Iterator[Any]:
        import av

        try:
            files.refuse_unreadable(self.path)
            with av.open(str(self.path)) as container:
                films = [stream for stream in container.streams.video if not stream.disposition & _not_a_film()]
                if len(films) < len(container.streams.video):
                    self._notes.append("a picture is attached, which is not its film")
                if not films:
                    self._fault = "the file has no video stream"
                    return
                stream = films[0]
                # Threads that decode several frames at once hide errors: with them a file that was cut off seems whole.
                stream.thread_type = "SLICE"
                self._declared = stream.frames
                self._seconds = None if container.duration is None else container.duration / av.time_base
                self._mean_rate = float(stream.average_rate) if stream.average_rate else None
                self.aspect = self._believed(stream.sample_aspect_ratio)
                for packet in container.demux(stream):
                    yield from self._decoded(packet)
        except DataError as error:
            self._fault = error.problem
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._fault = self._fault or _reason(error)

    def _believed(self, aspect: Fraction | None) -> Fraction:
        """The aspect of a pixel that a file states, 1 where it states none or one that no camera has; anything but 1 is noted."""
        if not aspect or aspect == 1:
            return Fraction(1)
        stated = f"pixels are {aspect.numerator}:{aspect.denominator} as wide as high"
        if not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
            self._notes.append(f"{stated} by the file, which is not believed")
            return Fraction(1)
        self._notes.append(f"{stated}; frames are shown {'wider' if aspect > 1 else 'higher'} than stored")
        return aspect

    def _decoded(self, packet: Any) -> Iterator[Any]:
        import av

        try:
            frames = packet.decode()
        except av.error.InvalidDataError as error:
            self._fault = self._fault or _reason(error)
            return
        for frame in frames:
            if not self._count and orientation_of(frame) in TURNS:
                self._notes.append(f"frames are shown {TURNS[orientation_of(frame)]}")
            self._count += 1
            self._damaged += frame.is_corrupt
            if frame.time is not None:
                self._first, self._last = min(self._first, frame.time), max(self._last, frame.time)
            yield frame

    def _rate(self) -> float | None:
        """Frames per second by the time stamps."""
        if self._count < 2 or self._last <= self._first:
            return None
        # Six decimals tell 30000/1001 from 30 and hide that time stamps are rounded.
        return round((self._count - 1) / (self._last - self._first), 6)

    def _doubt(self, rate: float | None) -> str:
        """What is wrong with a file that decodes without any error."""
        if self._damaged:
            return f"{counted(self._damaged, 'damaged frame')}"
        if rate is None or self._seconds is None or self._count == 0:
            return ""
        seconds = self._count / rate
        if seconds < SHORTEST_SHARE * self._seconds:
            return f"the frames end after {seconds:.2f} s of {self._seconds:.2f} s"
        return ""


def _not_a_film() -> int:
    """The dispositions of video streams that are pictures."""
    from av.stream import Disposition

    return Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


# Orientation by whether the frame lies on its side, then whether its rows and its columns run backwards.
_ORIENTATIONS = (((1, 2), (4, 3)), ((5, 6), (8, 7)))
TURNS = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored left to right, then turned by 90 degrees counterclockwise",
    6: "turned by 90 degrees clockwise",
    7: "mirrored left to right, then turned by 90 degrees clockwise",
    8: "turned by 90 degrees counterclockwise",
}


def orientation_of(frame: Any) -> int:
    """How a decoded frame (av.VideoFrame) is to be turned and mirrored, 1 to 8 as in EXIF, by its display matrix.

    The matrix takes (x, y) of the stored frame to (a x + c y, b x + d y) of the shown one (ISO 14496-12, 6.2.2); of an angle
    between two quarter turns the nearer is taken.
    """
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    lying = abs(b) + abs(c) > abs(a) + abs(d)
    return _ORIENTATIONS[lying][(b if lying else d) < 0][(c if lying else a) < 0]
