"""One image file to upright pixels, the same for all who read images. What cannot be read is said, never replaced."""

from __future__ import annotations

import io
import warnings

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from harness.data.image_files import ImageHeader, UnreadableImageError, read_header, turned


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """The image in `data` as uint8 (size, size, 3), RGB, turned upright; images of another size are resized bilinearly.

    Raises UnreadableImageError for anything that is not a whole image (see read_header), and for a JPEG with more or fewer bytes
    than its pixels need, which was damaged on its way.
    """
    header = read_header(data)
    pixels = _jpeg(data, header) if header.kind == "JPEG" else _other(data)
    pixels = np.ascontiguousarray(turned(pixels, header.orientation))
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _jpeg(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="CMYK" if header.channels == 4 else "RGB")
    except ValueError as error:
        raise UnreadableImageError(f"not a whole JPEG file: {error}") from error
    # Four inks are stored inverted, as Adobe's programs do.
    return np.asarray(Image.fromarray(255 - pixels, "CMYK").convert("RGB")) if header.channels == 4 else pixels


def _other(data: bytes) -> NDArray[np.uint8]:
    """PNG, BMP and WebP, without transparency; of an animation the first picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("PNG", "BMP", "WEBP")) as image:
                if not image.mode.startswith("I"):
                    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
                # Sixteen bits to eight: Pillow's own conversion would cut every brighter value to white.
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    except Exception as error:  # Pillow's readers raise whatever their formats make them raise.
        raise UnreadableImageError(f"not an image that can be read: {error}") from error
