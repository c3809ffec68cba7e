"""facenet-pytorch's MTCNN (Zhang et al. 2016), where it is installed; its weights are in its package."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import files
from harness.errors import DataError, UsageError
from harness.faces.detectors import Face
from harness.faces.picture import Picture

SMALLEST_FACE = 40  # pixels of the reduced picture
SCORE_THRESHOLD = 0.9
"""Faces of less confidence are left out: of five clips, all true faces had 0.95 or more, all false ones less than 0.85."""

WEIGHTS = {
    "pnet.pt": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
    "rnet.pt": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    "onet.pt": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
}
"""sha256 of the weights in the package's folder `data`, the same in its releases 2.5.2, 2.5.3 and 2.6.0 on PyPI."""


def create(model: Path | None) -> MtcnnDetector:
    """The detector on the CPU.

    Raises DataError if the package is not installed or its weights are not those of its releases, UsageError for a model file.
    """
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
    for name, digest in WEIGHTS.items():
        weights = Path(str(package.__file__)).parent / "data" / name
        files.refuse_changed(weights, digest, "pip install --no-deps --force-reinstall facenet-pytorch==2.6.0")
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
