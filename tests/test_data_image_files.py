"""Looking at image files without decoding them, beside Pillow's own opinion."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.data.image_audit import what_is_odd
from harness.data.image_files import DamagedImageError, read_header


def encode(mode: str = "RGB", size: tuple[int, int] = (112, 96), kind: str = "JPEG", **options: Any) -> bytes:
    generator = np.random.default_rng(0)
    image = Image.fromarray(generator.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"optimize": True}, {"comment": b"\xff\xd9"}]
)
def test_a_jpeg_says_its_size_and_channels(mode: str, options: dict[str, Any]) -> None:
    header = read_header(encode(mode, **options))
    assert (header.kind, header.width, header.height, header.bits) == ("JPEG", 112, 96, 8)
    assert header.channels == {"L": 1, "RGB": 3, "CMYK": 4}[mode]


@pytest.mark.parametrize(
    ("mode", "channels", "bits"),
    [("L", 1, 8), ("RGB", 3, 8), ("RGBA", 4, 8), ("LA", 2, 8), ("P", 1, 8), ("1", 1, 1), ("I;16", 1, 16)],
)
def test_a_png_says_its_size_channels_and_bits(mode: str, channels: int, bits: int) -> None:
    header = read_header(encode_png(mode))
    assert (header.kind, header.width, header.height, header.channels, header.bits) == ("PNG", 112, 96, channels, bits)


def encode_png(mode: str) -> bytes:
    if mode != "I;16":
        return encode(mode, kind="PNG")
    buffer = io.BytesIO()
    Image.fromarray(np.arange(112 * 96, dtype=np.uint16).reshape(96, 112)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_read(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "camera"
    assert read_header(encode(exif=exif)).orientation == orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 0.9, 0.99])
def test_an_image_that_is_cut_off_is_damaged(kind: str, share: float) -> None:
    data = encode(kind=kind)
    with pytest.raises(DamagedImageError):
        read_header(data[: int(len(data) * share)])


@given(st.integers(8, 10**6), st.integers(0, 7))
@settings(max_examples=100)
def test_one_flipped_bit_of_a_png_is_found(place: int, bit: int) -> None:
    data = bytearray(encode(kind="PNG", size=(20, 10)))
    data[8 + place % (len(data) - 8)] ^= 1 << bit
    with pytest.raises(DamagedImageError):
        read_header(bytes(data))


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\x00\x20Exif\0\0II*\0"]
    ),
)
@settings(max_examples=500)
def test_no_bytes_whatever_raise_anything_else(tail: bytes, start: bytes) -> None:
    with contextlib.suppress(DamagedImageError):
        read_header(start + tail)


@pytest.mark.parametrize(
    "data", [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1", b"GIF89a", b"\x00" * 100, b"BM1234"]
)
def test_what_is_no_jpeg_or_png_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedImageError):
        read_header(data)


def test_an_image_that_claims_a_gigapixel_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IEND", b""))
    )
    with pytest.raises(DamagedImageError, match="40000 x 40000"):
        read_header(b"\x89PNG\r\n\x1a\n" + chunks)


def test_an_end_mark_in_a_thumbnail_is_not_the_end_of_the_image() -> None:
    data = encode()
    thumbnail = b"\xff\xe1" + struct.pack(">H", 12) + b"\xff\xd8thumb\xff\xd9."
    whole = data[:2] + thumbnail + data[2:]
    assert read_header(whole).width == 112
    with pytest.raises(DamagedImageError, match="cut off"):
        read_header(whole[:-20])


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (encode(), "1.jpg", ""),
        (encode("L"), "1.JPEG", ""),
        (encode(kind="PNG"), "1.png", ""),
        (encode(kind="PNG"), "1.jpg", "PNG file"),
        (encode(), "1.png", "JPEG file"),
        (encode("CMYK"), "1.jpg", "CMYK"),
        (encode_png("RGBA"), "1.png", "transparent"),
        (encode_png("I;16"), "1.png", "16 bits"),
    ],
)
def test_what_is_unusual_about_an_image_is_said(data: bytes, name: str, words: str) -> None:
    said = what_is_odd(read_header(data), name)
    assert words in said
    assert bool(said) == bool(words)


def test_a_turned_image_is_unusual() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert "orientation 6" in what_is_odd(read_header(encode(exif=exif)), "1.jpg")
