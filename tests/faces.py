"""Videos and detectors for the tests of the faces: what is in each frame is known."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.faces.detectors import Face
from harness.faces.picture import Picture

WIDTH, HEIGHT = 160, 96
FACE = 32
"""Pixels of a drawn face's side."""

# Where the template's five points lie in a box of side 1.
POINTS = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)
GRAY = (128, 128, 128)


def frame_with(
    faces: Sequence[tuple[tuple[int, int, int], int, int]], width: int = WIDTH, height: int = HEIGHT
) -> NDArray[np.uint8]:
    """A grey picture (height, width, 3) with squares of (colour, left, top), which ColourDetector takes for faces."""
    pixels = np.full((height, width, 3), GRAY, np.uint8)
    for colour, left, top in faces:
        pixels[top : top + FACE, left : left + FACE] = colour
    return pixels


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    rate: Fraction = Fraction(25),
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    aspect: Fraction = Fraction(1),
) -> Path:
    """Encodes pictures as a video of a constant rate, or shown at `times` in seconds; a pixel is `aspect` as wide as high."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=dict(options or {})) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_matrix(path: Path, a: float, b: float, c: float, d: float) -> Path:
    """Marks an MP4 file to be shown turned or mirrored, by the matrix in its track header (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 36
    values = (int(value * 65536) for value in (a, b, 0, c, d))
    data[matrix : matrix + 36] = struct.pack(">9i", *values, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


class ColourDetector:
    """Finds the saturated squares of `frame_with`; a stand-in whose answers are known."""

    def __init__(self) -> None:
        self.description: Mapping[str, Any] = {"back_end": "colours", "version": "1"}
        self.sides: list[int] = []

    def detect(self, picture: Picture, side: int) -> list[Face]:
        self.sides.append(side)
        reduced = picture.reduced_rgb(side).astype(int)
        faces = []
        for channel in range(3):
            others = [other for other in range(3) if other != channel]
            mask = reduced[..., channel] - reduced[..., others].max(axis=-1) > 80
            if mask.sum() > 20:
                down, across = np.nonzero(mask)
                corners = [(across.min() - 0.5, down.min() - 0.5), (across.max() + 0.5, down.max() + 0.5)]
                box = picture.full_size(corners, picture.reduced_rgb(side)).ravel()
                faces.append(Face(box, box[:2] + POINTS * (box[2:] - box[:2]), 1.0))
        return faces


def colour_of(pixels: NDArray[np.uint8]) -> str:
    """Which of the three colours a crop shows."""
    return ("red", "green", "blue")[int(np.argmax(pixels[30:80, 30:80].reshape(-1, 3).mean(axis=0)))]
