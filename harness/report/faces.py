"""Small pictures of faces for a page: of the tracks that are drawn, spread over each, as many as fit into a limit."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.crops import image_bytes
from harness.data.image_files import UnreadableImageError
from harness.data.tracks import Track
from harness.errors import DataError, MissingExtraError
from harness.report.content import RunContent

# Wide enough to tell an expression beside the stepper: about 2 kB a picture.
SIZE = 64
QUALITY = 75


@dataclass(frozen=True)
class Faces:
    """The pictures a page holds.

    Attributes
    ----------
    tracks : for each track, by its folder and name, the JPEG pictures as base64 by 1-based frame, in order of frames.
    size : characters of all pictures together, as they stand in the page.
    limit : characters they may take together.
    left_out : frames with an image that found no room.
    unreadable : frames whose image could not be read.
    """

    tracks: Mapping[tuple[Path, str], Mapping[int, str]]
    size: int
    limit: int
    left_out: int
    unreadable: int

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return sum(map(len, self.tracks.values()))

    def place(self, track: Track | None) -> int | None:
        """Where among the tracks one stands; None for one without a picture."""
        if track is None or (track.directory, track.name) not in self.tracks:
            return None
        return list(self.tracks).index((track.directory, track.name))


def faces_of(runs: Sequence[RunContent], limit: int, tick: Callable[[], Any] = lambda: None) -> Faces:
    """The faces of the tracks that are drawn for these runs, together at most `limit` characters; `tick` is called after each.

    Every track gets as many, spread over it, until the limit is reached or none is left; one that several runs draw is read
    once. An image that cannot be read is counted and passed over. Raises MissingExtraError without the packages that decode.
    """
    tracks = {
        (track.directory, track.name): track
        for run in runs
        for name, _ in run.chosen
        if (track := run.pair.predictions.tracks.get(name)) is not None and len(track.frames)
    }
    kept: dict[tuple[Path, str], dict[int, str]] = {key: {} for key in tracks}
    size = unreadable = 0
    for track, frame in _in_turn(list(tracks.values())):
        try:
            picture = _picture(image_bytes(track, frame))
        except (DataError, UnreadableImageError):
            unreadable += 1
            continue
        if size + len(picture) > limit:
            break
        kept[track.directory, track.name][frame] = picture
        size += len(picture)
        tick()
    ordered = {key: dict(sorted(pictures.items())) for key, pictures in kept.items() if pictures}
    there = sum(len(track.frames) for track in tracks.values())
    return Faces(ordered, size, limit, there - sum(map(len, ordered.values())) - unreadable, unreadable)


def spread(count: int) -> NDArray[np.int64]:
    """The numbers 0 to `count` - 1, ordered so that each beginning is spread over all: 0, the middle, the quarters, ...

    They are sorted by their binary digits read backwards (van der Corput 1935).
    """
    numbers = np.arange(count)
    backwards, digits = np.zeros_like(numbers), max(count - 1, 1).bit_length()
    for digit in range(digits):
        backwards |= ((numbers >> digit) & 1) << (digits - 1 - digit)
    return np.argsort(backwards, kind="stable")


def _in_turn(tracks: Sequence[Track]) -> Iterator[tuple[Track, int]]:
    """One frame of each track, then the next of each; a short track ends early."""
    orders = [track.frames[spread(len(track.frames))].tolist() for track in tracks]
    for turn in range(max(map(len, orders), default=0)):
        for track, order in zip(tracks, orders, strict=True):
            if turn < len(order):
                yield track, order[turn]


def _picture(data: bytes) -> str:
    """An image file as base64 of a JPEG of SIZE x SIZE pixels. Raises UnreadableImageError, and MissingExtraError."""
    try:
        from PIL import Image

        from harness.images.decode import decode
    except ImportError as error:
        raise MissingExtraError(error.name or "simplejpeg", "report", "pictures of faces on a page") from error
    buffer = io.BytesIO()
    Image.fromarray(decode(data, SIZE)).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
