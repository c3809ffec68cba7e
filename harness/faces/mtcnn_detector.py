"""facenet-pytorch's MTCNN (Zhang et al. 2016), where it is installed; its weights are in its package."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError, UsageError
from harness.faces.detectors import Face
from harness.faces.picture import Picture

SMALLEST_FACE = 40  # pixels of the reduced picture
SCORE_THRESHOLD = 0.9
"""Faces of less confidence are left out: of five clips, all true faces had 0.95 or more, all false ones less than 0.85."""


def create(model: Path | None) -> MtcnnDetector:
    """The detector on the CPU. Raises DataError if the package is not installed, UsageError for a model file."""
    if model is not None:
        raise UsageError(
            "MTCNN takes no model file", found=str(model), remedy="leave --face-model out; the weights are in the package"
        )
    try:
        package = importlib.import_module("facenet_pytorch")
    except ImportError as error:
        # Its metadata asks for a torch and a numpy that are years old, so it is in no extra.
        raise DataError(
            f"finding faces with MTCNN needs the package 'facenet-pytorch', and {error.name!r} is not installed",
            remedy="pip install requests, then pip install --no-deps facenet-pytorch",
        ) from error
    network = package.MTCNN(keep_all=True, min_face_size=SMALLEST_FACE, post_process=False, device="cpu")
    description = {"back_end": "mtcnn", "version": importlib.metadata.version("facenet-pytorch"), "threshold": SCORE_THRESHOLD}
    return MtcnnDetector(network, description)


@dataclass
class MtcnnDetector:
    """Boxes and five landmarks on the reduced colour picture."""

    network: Any
    description: Mapping[str, Any]

    def detect(self, picture: Picture, side: int) -> list[Face]:
        """See Detector."""
        reduced = picture.reduced_rgb(side)
        boxes, scores, landmarks = self.network.detect(reduced, landmarks=True)
        if boxes is None:
            return []
        return [
            Face(
                picture.full_size(np.asarray(box).reshape(2, 2), reduced).ravel(),
                picture.full_size(points, reduced),
                float(score),
            )
            for box, score, points in zip(boxes, scores, landmarks, strict=True)
            if score >= SCORE_THRESHOLD
        ]
