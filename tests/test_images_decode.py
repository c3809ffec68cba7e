"""The one reader of images: what it takes for an image and what not, the same for all who read images, beside Pillow."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from harness.data.image_audit import audit_folder, what_is_odd
from harness.data.image_files import UnreadableImageError, read_header
from harness.data.listing import read_folder
from harness.data.packed import pack
from harness.data.tracks import Track
from harness.images.batches import ImageRequest, read_batch
from harness.images.decode import decode

SIDE = 24
# Smooth, so that what a JPEG loses is little; no two of its eight turned and mirrored forms are alike.
FACE = np.stack([np.add.outer(np.arange(SIDE) * a, np.arange(SIDE) * b) for a, b in ((7, 3), (2, 8), (5, 1))], axis=2).astype(
    np.uint8
)


def encoded(image: Image.Image | NDArray[Any], kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **({"quality": 98} if kind == "JPEG" else {}), **options)
    return buffer.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(FACE).convert(mode)


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF with another tag before the orientation, in either order of bytes."""
    mark = {"<": b"II", ">": b"MM"}[order]
    entries = struct.pack(order + "HHII", 0x010F, 2, 1, 0) + struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + mark + struct.pack(order + "HIH", 42, 8, 2) + entries + bytes(4)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(data: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments before its own, and those of a camera's XMP and thumbnail among them."""
    return data[:2] + b"".join(segments) + data[2:]


XMP = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<x:xmpmeta/>" * 20)
THUMBNAIL = segment(0xE2, b"\xff\xd8thumb\xff\xda\xff\xd9")
JPEG = encoded(FACE)
APP0_END = 2 + 2 + struct.unpack_from(">H", JPEG, 4)[0]

WAYS: dict[str, Callable[[int], bytes]] = {
    "first": lambda n: with_segments(JPEG, segment(0xE1, exif(n))),
    "in big-endian": lambda n: with_segments(JPEG, segment(0xE1, exif(n, ">"))),
    "behind JFIF": lambda n: JPEG[:APP0_END] + segment(0xE1, exif(n)) + JPEG[APP0_END:],
    "behind XMP, far from the start": lambda n: with_segments(JPEG, XMP, segment(0xE1, exif(n))),
    "progressive": lambda n: with_segments(encoded(FACE, progressive=True), segment(0xE1, exif(n))),
    "grey": lambda n: with_segments(encoded(picture("L")), segment(0xE1, exif(n))),
    "in four inks": lambda n: with_segments(encoded(picture("CMYK")), segment(0xE1, exif(n))),
}
ORIENTED = {f"jpeg, exif {n}, {way}": made(n) for n in range(1, 9) for way, made in WAYS.items()}
ORIENTED |= {f"png, exif {n}": encoded(FACE, "PNG", exif=exif(n)) for n in range(1, 9)}
ORIENTED |= {f"webp, exif {n}": encoded(FACE, "WEBP", lossless=True, exif=exif(n)) for n in range(1, 9)}

# name -> bytes, and words of what the doctor says is unusual about it as 00001.jpg.
ACCEPTED: dict[str, tuple[bytes, str]] = {
    **{name: (data, "") for name, data in ORIENTED.items()},
    "jpeg": (JPEG, ""),
    "grey jpeg": (encoded(picture("L")), ""),
    "progressive jpeg": (encoded(FACE, progressive=True), ""),
    "jpeg with restart markers": (encoded(FACE, restart_marker_blocks=2), ""),
    "jpeg with whole chroma": (encoded(FACE, subsampling=0), ""),
    "jpeg of red, green and blue": (encoded(FACE, keep_rgb=True), ""),
    "jpeg in four inks": (encoded(picture("CMYK")), "CMYK"),
    "jpeg with a thumbnail": (with_segments(JPEG, THUMBNAIL), ""),
    "jpeg with a comment of markers": (encoded(FACE, comment=b"\xff\xda\xff\xd9"), ""),
    "jpeg and what a camera appends": (JPEG + b"appended", ""),
    "png": (encoded(FACE, "PNG"), "PNG file"),
    "grey png": (encoded(picture("L"), "PNG"), "PNG file"),
    "palette png": (encoded(picture("P"), "PNG"), "PNG file"),
    "black and white png": (encoded(picture("1"), "PNG"), "PNG file"),
    "transparent png": (encoded(picture("RGBA"), "PNG"), "PNG file"),
    "grey transparent png": (encoded(picture("LA"), "PNG"), "PNG file"),
    "animated png": (encoded(FACE, "PNG", save_all=True, append_images=[Image.fromarray(255 - FACE)]), "PNG file"),
    "webp": (encoded(FACE, "WEBP", quality=100), "WebP file"),
    "lossless webp": (encoded(FACE, "WEBP", lossless=True), "WebP file"),
    "transparent webp": (encoded(picture("RGBA"), "WEBP", lossless=True), "WebP file"),
    "animated webp": (
        encoded(FACE, "WEBP", save_all=True, append_images=[Image.fromarray(255 - FACE)], lossless=True),
        "WebP file",
    ),
    "bmp": (encoded(FACE, "BMP"), "BMP file"),
    "palette bmp": (encoded(picture("P"), "BMP"), "BMP file"),
    "bmp with alpha": (encoded(picture("RGBA"), "BMP"), "BMP file"),
}


def as_pillow_sees_it(data: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        turned = ImageOps.exif_transpose(image)
        assert turned is not None
        return np.asarray(turned.convert("RGB"))


def folder_of(place: Path, data: bytes) -> Track:
    """A track whose only image is this."""
    (place / "t").mkdir()
    (place / "t/00001.jpg").write_bytes(data)
    return Track("t", "t", "train", 1, "annotation", np.array([1], np.int32), None, place / "t")


def opinions(place: Path, data: bytes) -> dict[str, bool]:
    """Whether each of those who read images takes this for one."""
    track = folder_of(place, data)
    listing = read_folder(track.directory)
    target = place / "t.crops"
    pack(track.directory, listing, target)
    packed = Track(**{**vars(track), "packed": target})

    def does(work: Callable[[], Any]) -> bool:
        try:
            work()
        except UnreadableImageError:
            return False
        return True

    return {
        "header": does(lambda: read_header(data)),
        "decoder": does(lambda: decode(data, SIDE)),
        "batches": bool(read_batch([ImageRequest(track, 1)], SIDE).readable[0]),
        "batches of packed crops": bool(read_batch([ImageRequest(packed, 1)], SIDE).readable[0]),
        "doctor": not audit_folder(track.directory, listing, lambda data: decode(data, SIDE)).damaged,
    }


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_an_image_is_one_for_all_and_has_the_pixels_that_pillow_sees(tmp_path: Path, name: str) -> None:
    data, odd = ACCEPTED[name]
    assert set(opinions(tmp_path, data).values()) == {True}
    expected = as_pillow_sees_it(data).astype(int)
    tolerance = 2 if data[:2] == b"\xff\xd8" else 0
    assert np.abs(decode(data, SIDE).astype(int) - expected).max() <= tolerance
    assert odd in what_is_odd(read_header(data), "00001.jpg")


def test_the_eight_orientations_are_eight_pictures() -> None:
    seen = {decode(ORIENTED[f"png, exif {number}"], SIDE).tobytes() for number in range(1, 9)}
    assert len(seen) == 8


def test_sixteen_bits_are_cut_to_the_upper_eight() -> None:
    values = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 113
    data = encoded(values, "PNG")
    assert np.array_equal(decode(data, SIDE), np.repeat((values >> 8)[..., None], 3, axis=2))
    assert "16 bits" in what_is_odd(read_header(data), "1.png")


def stray_bytes(data: bytes) -> bytes:
    return data[:-2] + bytes(20) + data[-2:]


def png_of(width: int, height: int) -> bytes:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def frame_marker(data: bytes, marker: int, bits: int = 8) -> bytes:
    """A JPEG whose frame is said to be of another kind."""
    place = data.index(b"\xff\xc0")
    return data[: place + 1] + bytes([marker]) + data[place + 2 : place + 4] + bytes([bits]) + data[place + 5 :]


def many_scans(count: int, side: int) -> bytes:
    """A progressive JPEG that goes over its pixels again and again; few bytes for each pass."""
    data = encoded(Image.new("L", (side, side), 128), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


# name -> bytes, and words of the reason.
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "html": (b"<!DOCTYPE html><html>", "neither JPEG, PNG, BMP nor WebP"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "neither JPEG"),
    "gif": (encoded(picture("P"), "GIF"), "neither JPEG"),
    "tiff": (encoded(FACE, "TIFF"), "neither JPEG"),
    "zeros": (bytes(1000), "neither JPEG"),
    "two bytes of bmp": (b"BM1234", "neither JPEG"),
    **{
        f"{kind} cut at {share}": (whole[: int(len(whole) * share)], "")
        for kind, whole in {
            "jpeg": JPEG,
            "png": encoded(FACE, "PNG"),
            "webp": encoded(FACE, "WEBP"),
            "bmp": encoded(FACE, "BMP"),
        }.items()
        for share in (0.01, 0.1, 0.5, 0.9, 0.99)
    },
    "jpeg cut behind a thumbnail": (with_segments(JPEG, THUMBNAIL)[:-20], "cut off"),
    "jpeg with stray bytes before its end": (stray_bytes(JPEG), "not a whole JPEG"),
    "the same with exif": (stray_bytes(with_segments(JPEG, segment(0xE1, exif(1)))), "not a whole JPEG"),
    "the same turned by exif": (stray_bytes(with_segments(JPEG, segment(0xE1, exif(6)))), "not a whole JPEG"),
    "the same in four inks": (stray_bytes(encoded(picture("CMYK"))), "not a whole JPEG"),
    "lossless jpeg": (frame_marker(JPEG, 0xC3), "nobody reads"),
    "jpeg of twelve bits": (frame_marker(JPEG, 0xC1, 12), "12 bits"),
    "png with a wrong checksum": (encoded(FACE, "PNG")[:-5] + b"!" + encoded(FACE, "PNG")[-4:], "checksum"),
    "png of a gigapixel": (png_of(40_000, 40_000), "40000 x 40000 pixels are more than 9,000,000"),
    "the largest png": (png_of(2**31 - 1, 2**31 - 1), "more than"),
    "png without pixels": (png_of(0, 10), "no pixels"),
    "jpeg of thousands of scans": (many_scans(40_000, 112), "scans of 112 x 112 pixels take too long"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_none_for_anybody(tmp_path: Path, name: str) -> None:
    data, reason = REFUSED[name]
    said = opinions(tmp_path, data)
    # Damaged pixels show when they are decoded, and not before.
    assert not any(said.values()) or (reason == "not a whole JPEG" and [who for who in said if said[who]] == ["header"])
    with pytest.raises(UnreadableImageError, match=reason or None):
        decode(data, SIDE)


def test_the_scans_of_the_largest_photograph_are_allowed() -> None:
    assert read_header(encoded(Image.new("RGB", (4096, 2160)), progressive=True)).scans == 10


def test_an_image_of_another_size_is_resized() -> None:
    assert decode(encoded(FACE, "PNG"), 112).shape == (112, 112, 3)


@pytest.mark.parametrize(
    ("mode", "channels", "bits"), [("L", 1, 8), ("RGB", 3, 8), ("RGBA", 4, 8), ("LA", 2, 8), ("P", 1, 8), ("1", 1, 1)]
)
def test_a_png_says_its_size_channels_and_bits(mode: str, channels: int, bits: int) -> None:
    header = read_header(encoded(picture(mode).resize((30, 20)), "PNG"))
    assert (header.kind, header.width, header.height, header.channels, header.bits) == ("PNG", 30, 20, channels, bits)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("lossless", [False, True])
def test_other_images_say_their_size(kind: str, lossless: bool) -> None:
    header = read_header(encoded(picture().resize((30, 20)), kind, **({"lossless": lossless} if kind == "WEBP" else {})))
    assert (header.kind.upper(), header.width, header.height) == (kind, 30, 20)


@given(st.integers(8, 10**6), st.integers(0, 7))
@settings(max_examples=100)
def test_one_flipped_bit_of_a_png_is_found(place: int, bit: int) -> None:
    data = bytearray(encoded(FACE, "PNG"))
    data[8 + place % (len(data) - 8)] ^= 1 << bit
    with pytest.raises(UnreadableImageError):
        read_header(bytes(data))


STARTS = [
    b"",
    b"\xff\xd8",
    b"\xff\xd8\xff\xe0\x00\x10",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\x40\0\0\0WEBPVP8X",
    b"BM" + bytes(12) + b"(",
]
STARTS += [b"\xff\xd8\xff\xe1\x00\x20Exif\0\0II*\0", JPEG[:300], encoded(FACE, "WEBP")[:40], encoded(FACE, "BMP")[:60]]


@given(st.binary(max_size=300), st.sampled_from(STARTS))
@settings(max_examples=500)
def test_no_bytes_whatever_raise_anything_else(tail: bytes, start: bytes) -> None:
    with contextlib.suppress(UnreadableImageError):
        decode(start + tail, SIDE)


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (JPEG, "1.jpg", ""),
        (JPEG, "1.JPEG", ""),
        (encoded(FACE, "PNG"), "1.png", ""),
        (JPEG, "1.png", "JPEG file"),
        (encoded(picture("RGBA"), "PNG"), "1.png", "transparent"),
        (ACCEPTED["animated png"][0], "1.png", "animated"),
        (ORIENTED["jpeg, exif 6, behind XMP, far from the start"], "1.jpg", "orientation 6"),
        (ORIENTED["jpeg, exif 1, first"], "1.jpg", ""),
    ],
)
def test_what_is_unusual_about_an_image_is_said(data: bytes, name: str, words: str) -> None:
    said = what_is_odd(read_header(data), name)
    assert words in said
    assert bool(said) == bool(words)
