"""A picture of the embedded faces: some people in the eight expressions; `python -m harness.demo.sheet FILE.png` makes it."""

from __future__ import annotations

import io
import sys

from harness import files
from harness.challenge import EXPR
from harness.demo.action_units import move, strengths_of
from harness.demo.faces import express, neutral_canvas
from harness.demo.landmarks import CROP_SIZE, EYE_DISTANCE, aligned, portraits
from harness.demo.warp import DETAIL, MARGIN, to_canvas

PEOPLE = (1, 4, 13, 28)
CAPTION_HEIGHT = 16


def sheet() -> bytes:
    """The picture as PNG: a row for each person, a column for each expression in the order of the labels, with captions."""
    from PIL import Image, ImageDraw

    side = CROP_SIZE * DETAIL
    classes = EXPR.class_names
    picture = Image.new("L", (side * len(classes), side * len(PEOPLE) + CAPTION_HEIGHT * DETAIL), 255)
    draw = ImageDraw.Draw(picture)
    for column, name in enumerate(classes):
        draw.text((column * side + side / 2, CAPTION_HEIGHT * DETAIL / 2), name, fill=0, anchor="mm", font_size=12 * DETAIL)
    for row, person in enumerate(PEOPLE):
        portrait = portraits()[person]
        neutral, resting = neutral_canvas(portrait), to_canvas(aligned(portrait.landmarks))
        for label in range(len(classes)):
            face = express(neutral, resting, move(resting, strengths_of(label, 1.0), EYE_DISTANCE * DETAIL))
            low = MARGIN * DETAIL
            crop = Image.fromarray(face[low : low + side, low : low + side])
            picture.paste(crop, (label * side, row * side + CAPTION_HEIGHT * DETAIL))
    buffer = io.BytesIO()
    picture.resize((picture.width * 3 // 5, picture.height * 3 // 5), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    files.write_bytes(sys.argv[1], sheet())
