"""One image file to pixels. Runs in workers; what cannot be read is said, never replaced."""

from __future__ import annotations

import io
import warnings

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from harness.data.image_files import LARGEST_PIXELS

JPEG_START = b"\xff\xd8"


class UnreadableImageError(ValueError):
    """The bytes are no image that can be read; the message says why."""


def decode(data: bytes, size: int) -> NDArray[np.uint8]:
    """The image in `data` as uint8 (size, size, 3), RGB; images of another size are resized bilinearly.

    Raises UnreadableImageError for anything that is not a whole image of at most LARGEST_PIXELS.
    """
    pixels = _decode_plain_jpeg(data) if data[:2] == JPEG_START else None
    if pixels is None:
        return _decode_any(data, size)
    return pixels if pixels.shape[:2] == (size, size) else np.asarray(_resized(Image.fromarray(pixels), size))


def _resized(image: Image.Image, size: int) -> Image.Image:
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)


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


def _decode_any(data: bytes, size: int) -> NDArray[np.uint8]:
    """Any format, without more copies of the whole image than must be: a bomb just below the limit counts each."""
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "BMP", "WEBP")) as image:
                _refuse_bomb(*image.size)
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return np.asarray(_resized(_as_rgb(image), size))
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
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _refuse_bomb(width: int, height: int) -> None:
    if width * height > LARGEST_PIXELS:
        raise UnreadableImageError(f"{width} x {height} pixels are more than {LARGEST_PIXELS:,}")
