"""dlib: the HOG detector that is in its wheel, and a 68-landmark model from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import files
from harness.errors import DataError, MissingExtraError
from harness.faces.alignment import five_points
from harness.faces.detectors import Face
from harness.faces.picture import Picture

LANDMARK_MODEL = Path("/usr/share/dlib/shape_predictor_68_face_landmarks.dat")
"""Where Debian's package libdlib-data puts the model (trained on iBUG 300-W: for research)."""
LANDMARK_MODEL_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
"""Of that file in Debian 12 (libdlib-data 19.24)."""

POINTS = 68


def create(model: Path | None) -> DlibDetector:
    """The detector with a landmark model, by default Debian's. Raises MissingExtraError or DataError with what to install."""
    try:
        import dlib
    except ImportError as error:
        raise MissingExtraError("dlib-bin", "faces", "finding faces with dlib") from error
    path = model or LANDMARK_MODEL
    if not path.is_file():
        remedy = "apt-get install libdlib-data, or name the file with --face-model"
        raise DataError("dlib's 68-landmark model is not here", path=path, remedy=remedy)
    if model is None:
        files.refuse_changed(
            path, LANDMARK_MODEL_SHA256, "apt-get install --reinstall libdlib-data, or name a file with --face-model"
        )
    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise DataError(f"not a landmark model dlib can read: {error}", path=path) from error
    description = {"back_end": "dlib", "version": dlib.__version__, "model": path.name, "model_sha256": files.sha256(path)}
    return DlibDetector(dlib.get_frontal_face_detector(), predictor, description)


@dataclass
class DlibDetector:
    """Boxes on the reduced grey picture, landmarks on the whole one."""

    boxes: Any
    landmarks: Any
    description: Mapping[str, Any]

    def detect(self, picture: Picture, side: int) -> list[Face]:
        """See Detector. Raises DataError if the model is not one of 68 landmarks."""
        import dlib

        reduced = picture.reduced_gray(side)
        rectangles, scores, _ = self.boxes.run(reduced, 0, 0.0)
        if not rectangles:
            return []
        gray = picture.gray
        faces = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            corners = [(rectangle.left(), rectangle.top()), (rectangle.right(), rectangle.bottom())]
            box = picture.full_size(corners, reduced).ravel()
            shape = self.landmarks(gray, dlib.rectangle(*(int(value) for value in np.round(box))))
            if shape.num_parts != POINTS:
                raise DataError("the landmark model is of another kind", found=f"{shape.num_parts} points", expected=f"{POINTS}")
            points = np.array([(part.x, part.y) for part in shape.parts()])
            faces.append(Face(box, five_points(points), float(score)))
        return faces
