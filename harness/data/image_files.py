"""Looks at the bytes of an image file: what kind it is, how large, whether it is whole, and how it is to be turned.

What this refuses is no image for anybody: training, prediction, features, crops and the doctor all ask here first. JPEG after ITU
T.81 annex B, PNG after ISO/IEC 15948, WebP after RFC 9649, BMP after Microsoft's BITMAPINFOHEADER, orientation after EXIF 2.32. A
file that passes can still hold damaged pixels: only decoding shows that, see harness.images.decode.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_PIXELS = 9_000_000
"""Images of more pixels are refused before they are decoded. A crop is part of a frame, and the largest frames of video cameras
have 4096 x 2160 pixels (DCI 4K); Aff-Wild2's have at most 1920 x 1080. The worst image of this size (WebP) takes some
200 MB."""
MOST_SCANNED_PIXELS = 20 * LARGEST_PIXELS
"""Pixels times passes over them (scans of a progressive JPEG) above which an image is refused before it is decoded: a file of
kilobytes can ask for thousands. The usual progressive JPEG has ten; this many take about a second."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Baseline, extended, progressive (SOF0..2) and the last two with arithmetic coding (SOF9, SOF10); the other kinds nobody reads.
_FRAME_MARKERS = frozenset([0xC0, 0xC1, 0xC2, 0xC9, 0xCA])
_PROGRESSIVE = (0xC2, 0xCA)
_OTHER_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - _FRAME_MARKERS - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM and RST0..RST7.
_BARE_MARKERS = frozenset([0x01, *range(0xD0, 0xD8)])
_SCAN, _END, _EXIF, _FILL = 0xDA, 0xD9, 0xE1, 0xFF
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4
_UNCOMPRESSED = (0, 3)  # BI_RGB, BI_BITFIELDS


class UnreadableImageError(ValueError):
    """The bytes are no image that can be read; the message says why."""


@dataclass(slots=True)
class ImageHeader:
    """What an image file says of itself.

    Attributes
    ----------
    kind : "JPEG", "PNG", "WebP" or "BMP".
    width, height : pixels as stored, before the image is turned.
    channels, bits : of each pixel as stored, and of each channel.
    orientation : of EXIF, 1 (upright) to 8.
    animated : whether further pictures follow; the first is the image.
    scans : passes over the pixels.
    """

    kind: str
    width: int
    height: int
    channels: int
    bits: int = 8
    orientation: int = 1
    animated: bool = False
    scans: int = 1


def read_header(data: bytes) -> ImageHeader:
    """The header of a whole image file. Raises UnreadableImageError for anything else, and for too many pixels or scans."""
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        if data.startswith(b"\xff\xd8"):
            header = _read_jpeg(data)
        elif data.startswith(_PNG_SIGNATURE):
            header = _read_png(data)
        elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            header = _read_webp(data)
        elif data.startswith(b"BM") and len(data) > 26:
            header = _read_bmp(data)
        else:
            raise UnreadableImageError(f"neither JPEG, PNG, BMP nor WebP: begins with {data[:12].decode('latin-1')!a}")
    except (struct.error, IndexError) as error:
        raise UnreadableImageError("the file ends early") from error
    pixels = header.width * header.height
    if not pixels:
        raise UnreadableImageError("the image has no pixels")
    if pixels > LARGEST_PIXELS:
        raise UnreadableImageError(f"{header.width} x {header.height} pixels are more than {LARGEST_PIXELS:,}")
    if pixels * header.scans > MOST_SCANNED_PIXELS:
        raise UnreadableImageError(f"{header.scans:,} scans of {header.width} x {header.height} pixels take too long to decode")
    return header


def _read_jpeg(data: bytes) -> ImageHeader:
    position, orientation, progressive = 2, 0, False
    header: ImageHeader | None = None
    while True:
        if data[position] != 0xFF:
            raise UnreadableImageError("a JPEG marker is missing")
        marker = data[position + 1]
        if marker == _SCAN:
            break
        if marker == _FILL:
            position += 1
            continue
        position += 2
        if marker in _BARE_MARKERS:
            continue
        if marker == _END:
            raise UnreadableImageError("the JPEG ends before its pixels")
        if marker in _FRAME_MARKERS:
            _, bits, height, width, channels = struct.unpack_from(">HBHHB", data, position)
            header = ImageHeader("JPEG", width, height, channels, bits)
            progressive = marker in _PROGRESSIVE
        elif marker in _OTHER_FRAME_MARKERS:
            raise UnreadableImageError(f"a JPEG of a kind that nobody reads (SOF{marker - 0xC0})")
        elif marker == _EXIF and not orientation and data[position + 2 : position + 8] == b"Exif\0\0":
            orientation = _orientation(data[position + 8 : position + (data[position] << 8 | data[position + 1])])
        position += data[position] << 8 | data[position + 1]
    if header is None:
        raise UnreadableImageError("the JPEG does not say its size")
    if header.bits != 8:
        raise UnreadableImageError(f"a JPEG of {header.bits} bits per channel, not 8")
    header.orientation = orientation or 1
    # In the coded pixels FF is followed by 00, so these can only be the end of the image and the beginnings of scans.
    if data.rfind(b"\xff\xd9") < position:
        raise UnreadableImageError("the JPEG is cut off")
    if progressive or data[position + 4] != header.channels:
        header.scans = data.count(b"\xff\xda", position)
    return header


def _orientation(tiff: bytes) -> int:
    """The orientation in the TIFF structure of EXIF, 1 (upright) where there is none or it cannot be read."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        start = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(struct.unpack_from(order + "H", tiff, start)[0]):
            place = start + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", tiff, place)
            if tag == _ORIENTATION and kind in (_SHORT, _LONG):
                value = int(struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, place + 8)[0])
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _read_png(data: bytes) -> ImageHeader:
    header: ImageHeader | None = None
    position = len(_PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        content = position + 8
        if zlib.crc32(data[position + 4 : content + length]) != struct.unpack_from(">I", data, content + length)[0]:
            raise UnreadableImageError("a checksum inside the PNG is wrong")
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack_from(">IIBB", data, content)
            header = ImageHeader("PNG", width, height, _PNG_CHANNELS.get(colour, 0), bits)
        elif header is None:
            raise UnreadableImageError("the PNG does not say its size")
        elif kind == b"eXIf":
            header.orientation = _orientation(data[content : content + length])
        elif kind == b"acTL":
            header.animated = True
        elif kind == b"IEND":
            return header
        position = content + length + 4


def _read_webp(data: bytes) -> ImageHeader:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise UnreadableImageError("the WebP is cut off")
    header: ImageHeader | None = None
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        content = position + 8
        if kind == b"VP8X":
            flags, size = data[content], data[content + 4 : content + 10]
            width, height = (int.from_bytes(part, "little") + 1 for part in (size[:3], size[3:]))
            header = ImageHeader("WebP", width, height, 4 if flags & 0x10 else 3, animated=bool(flags & 0x02))
        elif kind == b"VP8 " and header is None:
            width, height = struct.unpack_from("<HH", data, content + 6)
            header = ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF, 3)
        elif kind == b"VP8L" and header is None:
            packed = struct.unpack_from("<I", data, content + 1)[0]
            header = ImageHeader("WebP", (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, 4 if packed >> 28 & 1 else 3)
        elif kind == b"EXIF" and header is not None:
            header.orientation = _orientation(data[content : content + length].removeprefix(b"Exif\0\0"))
        position = content + length + length % 2
    if header is None:
        raise UnreadableImageError("the WebP does not say its size")
    return header


def _read_bmp(data: bytes) -> ImageHeader:
    start, kind = struct.unpack_from("<II", data, 10)
    if kind == 12:  # BITMAPCOREHEADER
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in _UNCOMPRESSED and start + (abs(width) * bits + 31) // 32 * 4 * abs(height) > len(data):
        raise UnreadableImageError("the BMP is cut off")
    return ImageHeader("BMP", abs(width), abs(height), 3)


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of pixels (H, W, ...) as the orientation 1..8 wants them seen: 5 to 8 lie on their side, 2, 4, 5, 7 are mirrored."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
