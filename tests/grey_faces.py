"""Images that say which frame they are: grey, the brighter the later."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image


@cache
def _grey(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (96, 80), (level, level, level)).save(buffer, "JPEG")
    return buffer.getvalue()


def grey_face(name: str, frame: int) -> bytes:
    """The JPEG bytes of a frame of at most 120."""
    return _grey(2 * frame)


def frame_of(data: bytes) -> int:
    """The frame that a picture shows."""
    return round(float(np.asarray(Image.open(io.BytesIO(data))).mean()) / 2)
