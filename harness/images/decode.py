"""One image file to pixels. Runs in workers; what cannot be read is said, never replaced."""

from __future__ import annotations

import io
import warnings

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST_PIXELS = 25_000_000
"""Images of more pixels are refused before they are decoded: no face crop has 25 megapixels, a decompression bomb does."""

JPEG_START = b"\xff\xd8"


class UnreadableImageError(ValueError):
    """The bytes are no image that can be read; the message says why."""


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """The image in `data` as uint8 (size, size, 3), RGB; images of another size are resized bilinearly.

    Raises UnreadableImageError for anything that is not a whole image of at most LARGEST_PIXELS.
    """
    pixels = _decode_plain_jpeg(data) if data[:2] == JPEG_START else None
    if pixels is None:
        pixels = _decode_any(data)
    if pixels.shape[:2] != (size, size):
        pixels = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))
    return pixels


def _decode_plain_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """The fast way, for grey and colour JPEG files without a rotation mark; None for the others."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in ("Gray", "YCbCr", "RGB") or b"Exif\x00\x00" in data[:64]:
            return None
        _refuse_bomb(width, height)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace="RGB")
        return pixels
    except UnreadableImageError:
        raise
    except ValueError as error:
        raise UnreadableImageError(f"not a whole JPEG file: {error}") from error


def _decode_any(data: bytes) -> NDArray[np.uint8]:
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "BMP", "WEBP")) as image:
                _refuse_bomb(*image.size)
                image.load()
                return np.asarray(_as_rgb(ImageOps.exif_transpose(image)))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        # Pillow's own message names the buffer by its address, so the same image would seem another one at each pass.
        raise UnreadableImageError("not an image that can be read: neither JPEG, PNG, BMP nor WebP") from error
    except Exception as error:  # Pillow's readers raise whatever their formats make them raise.
        raise UnreadableImageError(f"not an image that can be read: {error}") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Sixteen bits to eight: Pillow's own conversion would cut every brighter value to white.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _refuse_bomb(width: int, height: int) -> None:
    if width * height > LARGEST_PIXELS:
        raise UnreadableImageError(f"{width} x {height} pixels are more than {LARGEST_PIXELS:,}")
