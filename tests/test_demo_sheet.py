"""The README's picture of the embedded faces."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from harness.challenge import EXPR
from harness.demo.sheet import PEOPLE, sheet


def test_the_picture_shows_each_person_in_eight_different_faces() -> None:
    picture = np.asarray(Image.open(io.BytesIO(sheet())))
    columns = len(EXPR.class_names)
    side = picture.shape[1] // columns
    caption = picture.shape[0] - side * len(PEOPLE)
    faces = picture[caption:, : side * columns].astype(float).reshape(len(PEOPLE), side, columns, side)
    for person in range(len(PEOPLE)):
        for left in range(columns):
            for right in range(left):
                assert np.abs(faces[person, :, left] - faces[person, :, right]).mean() > 1
