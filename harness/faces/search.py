"""Looks for faces coarsely first: most are large, and a small picture is read many times faster."""

from __future__ import annotations

import numpy as np

from harness.errors import UsageError
from harness.faces.detectors import Detector, Face
from harness.faces.picture import Picture

FACE_WIDTH = 80
"""Pixels of a face that every back end finds; the window of dlib's HOG detector."""

COARSEST = 0.25
"""Share of the picture's longest side that a face must have to be found in the first, coarsest look."""

DEFAULT_SMALLEST = 0.125


def sides(smallest_face: float) -> tuple[int, ...]:
    """The longest sides in pixels at which to look, coarse to fine, so that a face of this share of the longest side is found.

    Raises UsageError for a share that is not above 0.01 and at most 1.
    """
    if not 0.01 <= smallest_face <= 1:
        raise UsageError(
            "the smallest face cannot have this width", found=str(smallest_face), expected="a share of the picture, 0.01 to 1"
        )
    steps = []
    share = COARSEST
    while share > smallest_face:
        steps.append(round(FACE_WIDTH / share))
        share /= 2
    return (*steps, round(FACE_WIDTH / smallest_face))


def find_faces(detector: Detector, picture: Picture, steps: tuple[int, ...], every: bool) -> list[Face]:
    """The faces in a picture, largest first.

    With `every` the finest step alone decides. Otherwise finer steps are taken only until a face is found: what they would find
    besides is smaller.
    """
    for side in steps[-1:] if every else steps:
        faces = [face for face in detector.detect(picture, side) if _has_extent(face)]
        if faces:
            return sorted(faces, key=lambda face: -face.area)
    return []


def _has_extent(face: Face) -> bool:
    """Whether the landmarks are finite and not all in one pixel; nothing could be aligned by others."""
    return bool(np.ptp(face.landmarks, axis=0).max() >= 1)
