"""A track at a glance: frames at even distances, and a strip that shows where a face was found."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

COLUMNS, MOST_ROWS = 12, 8
CELL, LABEL, STRIP = 112, 14, 16  # pixels
BACKGROUND, EMPTY, TEXT = (24, 24, 24), (60, 60, 60), (220, 220, 220)
SEEN, MISSING = (90, 170, 250), (235, 120, 60)


def contact_sheet(title: str, rows: int, frames: NDArray[np.int32], jpeg_of: Callable[[int], bytes]) -> bytes:
    """The bytes of a JPEG picture of a track.

    Parameters
    ----------
    title : text of the first line.
    rows : frames of the recording.
    frames : int32 (S,) the 1-based frames with a face.
    jpeg_of : gives the crop of such a frame.
    """
    shown = np.unique(np.linspace(1, rows, min(rows, COLUMNS * MOST_ROWS)).round().astype(int))
    lines = -(-len(shown) // COLUMNS)
    top = LABEL + STRIP + 8
    sheet = Image.new("RGB", (COLUMNS * CELL, top + lines * (CELL + LABEL)), BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    seen = np.isin(np.arange(1, rows + 1), frames)
    pen.text((4, 1), f"{title}: {int(seen.sum())} of {rows} frames with a face (blue; orange without)", fill=TEXT, font=font)
    sheet.paste(_strip(seen, sheet.width), (0, LABEL + 4))
    for place, frame in enumerate(shown):
        line, column = divmod(place, COLUMNS)
        left, upper = column * CELL, top + line * (CELL + LABEL)
        pen.text((left + 4, upper + 1), str(frame), fill=TEXT, font=font)
        box = (left, upper + LABEL)
        if seen[frame - 1]:
            sheet.paste(Image.open(io.BytesIO(jpeg_of(int(frame)))).resize((CELL, CELL)), box)
        else:
            pen.rectangle((*box, left + CELL - 2, upper + LABEL + CELL - 2), fill=EMPTY)
            pen.text((left + 32, upper + LABEL + 48), "no face", fill=TEXT, font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _strip(seen: NDArray[np.bool_], width: int) -> Image.Image:
    """The whole track from left to right; a column is of the colour of the frame it stands for."""
    columns = seen[np.arange(width) * len(seen) // width]
    colours = np.where(columns[:, None], np.array(SEEN), np.array(MISSING)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(colours, (STRIP, width, 3))))
