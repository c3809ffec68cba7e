"""Back ends that find faces and their landmarks, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError, near_names
from harness.faces.picture import Picture

# name -> (module with a function `create`, what it is)
BACK_ENDS = {
    "dlib": ("harness.faces.dlib_detector", "dlib-bin's HOG detector and Debian's 68-landmark model (libdlib-data)"),
    "mtcnn": ("harness.faces.mtcnn_detector", "facenet-pytorch's MTCNN, five landmarks, weights in the package"),
    "yunet": ("harness.faces.yunet_detector", "OpenCV's FaceDetectorYN, five landmarks, with a YuNet file you name"),
}
DEFAULT = "dlib"

FACE_WIDTH = 80
"""Pixels of a face that every back end finds; the window of dlib's HOG detector."""

COARSEST = 0.25
"""Share of the picture's longest side that a face must have to be found in the first, coarsest look."""

DEFAULT_SMALLEST = 0.125


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture, in pixels of the whole upright frame.

    Attributes
    ----------
    box : float64 (4,): left, top, right, bottom.
    landmarks : float64 (5, 2): eye, eye, tip of the nose, corner, corner of the mouth; left of the picture first.
    score : the back end's own measure of confidence; larger is surer.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def area(self) -> float:
        """Pixels of the box."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class Detector(Protocol):
    """What finds faces. A face some 80 pixels wide in the reduced picture is large enough for each."""

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides about its answers: back end, version, model file and sha256; for the report."""
        ...

    def detect(self, picture: Picture, side: int) -> list[Face]:
        """The faces found in the picture when its longest side has `side` pixels."""
        ...


def create(name: str, model: Path | None = None) -> Detector:
    """The back end of this name; `model` is a model file for those that take one.

    Raises UsageError for an unknown name, MissingExtraError if its package is not installed, DataError if its model is missing.
    """
    if name not in BACK_ENDS:
        raise UsageError(f"no face detector called {name!r}", expected=near_names(name, list(BACK_ENDS)))
    detector: Detector = importlib.import_module(BACK_ENDS[name][0]).create(model)
    return detector


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
