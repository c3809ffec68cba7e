"""OpenCV's FaceDetectorYN (YuNet, Wu et al. 2023) with a model file the user names; OpenCV's packages hold none."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import files
from harness.errors import DataError, UsageError
from harness.faces.detectors import Face
from harness.faces.picture import Picture

SCORE_THRESHOLD = 0.7

# A detection is a row of 15 numbers: left, top, width, height, five points, score. YuNet calls the person's right what is left
# in the picture, so its points are in the template's order.
_POINTS = slice(4, 14)
_SCORE = 14


def create(model: Path | None) -> YunetDetector:
    """The detector with a YuNet file in ONNX form. Raises DataError if OpenCV is not installed or cannot read it."""
    if model is None:
        raise UsageError("YuNet needs a model file", remedy="name it with --face-model face_detection_yunet_2023mar.onnx")
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        raise DataError(
            "finding faces with YuNet needs the package 'opencv-python-headless', which is not installed",
            remedy="pip install opencv-python-headless",
        ) from error
    digest = files.sha256(model)
    try:
        network = cv2.FaceDetectorYN.create(str(model), "", (0, 0), SCORE_THRESHOLD)
    except cv2.error as error:
        raise DataError("not a model OpenCV can read", path=model, expected="a YuNet file in ONNX form") from error
    description = {
        "back_end": "yunet",
        "version": cv2.__version__,
        "threshold": SCORE_THRESHOLD,
        "model": model.name,
        "model_sha256": digest,
    }
    return YunetDetector(network, description)


@dataclass
class YunetDetector:
    """Boxes and five landmarks on the reduced colour picture."""

    network: Any
    description: Mapping[str, Any]

    def detect(self, picture: Picture, side: int) -> list[Face]:
        """See Detector."""
        reduced = picture.reduced_rgb(side)
        self.network.setInputSize((reduced.shape[1], reduced.shape[0]))
        _, found = self.network.detect(np.ascontiguousarray(reduced[:, :, ::-1]))
        faces = []
        for row in () if found is None else np.asarray(found, dtype=np.float64):
            corners = np.array([row[:2], row[:2] + row[2:4]])
            landmarks = row[_POINTS].reshape(5, 2)
            faces.append(
                Face(picture.full_size(corners, reduced).ravel(), picture.full_size(landmarks, reduced), float(row[_SCORE]))
            )
        return faces
