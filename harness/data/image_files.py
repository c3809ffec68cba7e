"""Looks at the bytes of an image file without decoding it: what kind it is, how large, and whether it is whole.

JPEG after ITU T.81 annex B, PNG after ISO/IEC 15948. A file that passes can still hold damaged pixels: only decoding shows that.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_PIXELS = 9_000_000
"""Images of more pixels are refused before they are decoded. A crop is part of a frame, and the largest frames of video cameras
have 4096 x 2160 pixels (DCI 4K); Aff-Wild2's have at most 1920 x 1080. The worst image of this size (WebP) takes less than
200 MB."""
# Start-of-frame markers: all of C0..CF but DHT (C4), JPG (C8) and DAC (CC).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM and RST0..RST7.
_BARE_MARKERS = frozenset([0x01, *range(0xD0, 0xD8)])
_SCAN, _END, _EXIF = 0xDA, 0xD9, 0xE1
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ORIENTATION = 0x0112


class DamagedImageError(ValueError):
    """The bytes are no whole JPEG or PNG image of a reasonable size; the message says why."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself: "JPEG" or "PNG", size in pixels, channels, bits of each, EXIF orientation 1..8."""

    kind: str
    width: int
    height: int
    channels: int
    bits: int
    orientation: int = 1


def read_header(data: bytes) -> ImageHeader:
    """The header of a whole image file. Raises DamagedImageError for anything else."""
    if not data:
        raise DamagedImageError("the file is empty")
    try:
        if data.startswith(b"\xff\xd8"):
            header = _read_jpeg(data)
        elif data.startswith(PNG_SIGNATURE):
            header = _read_png(data)
        else:
            raise DamagedImageError(f"neither JPEG nor PNG: begins with {data[:12].decode('latin-1')!a}")
    except (struct.error, IndexError) as error:
        raise DamagedImageError("the file ends early") from error
    if not header.width or not header.height:
        raise DamagedImageError("the image has no pixels")
    if header.width * header.height > LARGEST_PIXELS:
        raise DamagedImageError(f"{header.width} x {header.height} pixels are more than {LARGEST_PIXELS:,}")
    return header


def _read_jpeg(data: bytes) -> ImageHeader:
    position, orientation = 2, 1
    header: ImageHeader | None = None
    while True:
        if data[position] != 0xFF:
            raise DamagedImageError("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == 0xFF:
            # Fill bytes before a marker.
            position += 1
            continue
        position += 2
        if marker in _BARE_MARKERS:
            continue
        if marker == _END:
            raise DamagedImageError("the JPEG ends before its pixels")
        length = struct.unpack_from(">H", data, position)[0]
        if marker in _FRAME_MARKERS:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 2)
            header = ImageHeader("JPEG", width, height, channels, bits)
        elif marker == _EXIF:
            orientation = _exif_orientation(data[position + 2 : position + length])
        elif marker == _SCAN:
            break
        position += length
    if header is None:
        raise DamagedImageError("the JPEG does not say its size")
    # In the coded pixels FF is followed by 00, so this can only be the end of the image.
    if data.find(b"\xff\xd9", position) < 0:
        raise DamagedImageError("the JPEG is cut off")
    return ImageHeader("JPEG", header.width, header.height, header.channels, header.bits, orientation)


def _exif_orientation(segment: bytes) -> int:
    """The orientation in an EXIF segment, 1 (upright) where there is none or it cannot be read."""
    if not segment.startswith(b"Exif\0\0"):
        return 1
    tiff = segment[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(struct.unpack_from(order + "H", tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _read_png(data: bytes) -> ImageHeader:
    header: ImageHeader | None = None
    position = len(PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        checksum = struct.unpack_from(">I", data, position + 8 + length)[0]
        if zlib.crc32(data[position + 4 : position + 8 + length]) != checksum:
            raise DamagedImageError("a checksum inside the PNG is wrong")
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack_from(">IIBB", data, position + 8)
            header = ImageHeader("PNG", width, height, _PNG_CHANNELS.get(colour, 0), bits)
        elif kind == b"IEND":
            break
        position += 12 + length
    if header is None:
        raise DamagedImageError("the PNG does not say its size")
    return header
