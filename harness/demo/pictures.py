"""From grey pixels to a JPEG file: light, noise of the camera, encoding. In whole numbers, the same on every machine."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from harness.errors import MissingExtraError

JPEG_QUALITY = 88


def expose(pixels: NDArray[np.uint8], light: int, noise: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture (H, W) at `light`/256 of its brightness with bell-shaped noise between -noise and +noise grey levels."""
    grain = rng.integers(0, 256, (2, *pixels.shape), dtype=np.uint8).astype(np.int32).sum(axis=0) - 255
    exposed = (pixels.astype(np.int32) * light + grain * noise + 128) >> 8
    return np.asarray(np.clip(exposed, 0, 255), np.uint8)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A grey picture (H, W) as the bytes of a three-channel JPEG file, the kind Aff-Wild2 has. Raises MissingExtraError."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Pillow", "demo", "writing pictures") from error
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=2)
    return buffer.getvalue()
