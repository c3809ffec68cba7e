"""One decoded frame, upright, in the sizes and colours its readers ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Picture:
    """A frame as PyAV decodes it.

    Parameters
    ----------
    frame : an av.VideoFrame. Its rotation mark is honoured: telephones film upright and store it lying.

    Attributes
    ----------
    width, height : pixels of the upright frame.
    """

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self._quarter_turns: int = round(frame.rotation / 90) % 4  # counterclockwise
        self._rgb: NDArray[np.uint8] | None = None
        lying = self._quarter_turns % 2
        self.width: int = frame.height if lying else frame.width
        self.height: int = frame.width if lying else frame.height

    @property
    def rotation(self) -> int:
        """Degrees counterclockwise by which the stored frame was turned: 0, 90, 180 or 270."""
        return 90 * self._quarter_turns

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
        width, height = self._frame.width, self._frame.height
        if side is not None:
            factor = side / max(width, height)
            width, height = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = self._frame.reformat(width, height, colours, interpolation="AREA").to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, self._quarter_turns))
