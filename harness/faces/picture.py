"""One decoded frame, upright, in the sizes and colours its readers ask for."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.data.image_files import turned
from harness.data.videos import orientation_of

_SQUARE = Fraction(1)


class Picture:
    """A frame as PyAV decodes it.

    Parameters
    ----------
    frame : an av.VideoFrame. Its display matrix is honoured: telephones film upright and store it lying, some mirrored.
    aspect : width of a stored pixel over its height, see harness.data.videos; shown pixels are square.

    Attributes
    ----------
    width, height : pixels of the frame as it is shown.
    """

    def __init__(self, frame: Any, aspect: Fraction = _SQUARE) -> None:
        self._frame = frame
        self._orientation = orientation_of(frame)
        self._rgb: NDArray[np.uint8] | None = None
        # The side that the pixels are too short in is stretched, so that none is lost.
        self._size = round(frame.width * max(1, aspect)), round(frame.height / min(1, aspect))
        self.width, self.height = self._size[::-1] if self._orientation >= 5 else self._size

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The whole frame, uint8 (height, width, 3)."""
        if self._rgb is None:
            self._rgb = self._pixels("rgb24", None)
        return self._rgb

    @property
    def gray(self) -> NDArray[np.uint8]:
        """The whole frame in grey, uint8 (height, width)."""
        return self._pixels("gray", None)

    def reduced_rgb(self, side: int) -> NDArray[np.uint8]:
        """The frame with a longest side of `side` pixels, uint8 (h, w, 3)."""
        return self._pixels("rgb24", side)

    def reduced_gray(self, side: int) -> NDArray[np.uint8]:
        """The frame in grey with a longest side of `side` pixels, uint8 (h, w)."""
        return self._pixels("gray", side)

    def full_size(self, points: ArrayLike, reduced: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Points (N, 2) of a reduced frame as points of the whole frame; coordinates are those of pixel centres."""
        factor = (self.width / reduced.shape[1], self.height / reduced.shape[0])
        return np.asarray((np.asarray(points, dtype=np.float64) + 0.5) * factor - 0.5)

    def _pixels(self, colours: str, side: int | None) -> NDArray[np.uint8]:
        width, height = self._size
        if side is not None:
            factor = side / max(width, height)
            width, height = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = self._frame.reformat(width, height, colours, interpolation="AREA").to_ndarray()
        return np.ascontiguousarray(turned(pixels, self._orientation))
