"""What a small pre-training wants: settings with which it takes a second, and landmarks without a detector."""

from __future__ import annotations

from pathlib import Path

from harness.data.landmarks import COLUMNS
from harness.data.scan import scan
from models.ssl.landmarks import TEMPLATE

SMALL = {
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "decode_size": "32",
    "image_size": "32",
    "frame_step": "3",
    "hidden": "32",
    "queue": "16",
    "batch": "6",
    "iterations": "8",
    "warmup": "2",
    "checkpoint_every": "3",
    "precision": "fp32",
}


def write_average_landmarks(path: Path, root: Path) -> None:
    """A table of landmarks in which every frame of a root has the average aligned face's."""
    points = ",".join(f"{x},{y}" for x, y in TEMPLATE)
    lines = [f"{track.name},{frame},{points}" for track in scan(root).tracks for frame in track.frames]
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
