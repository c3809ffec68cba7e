"""Settings that make a pre-training take a second."""

from __future__ import annotations

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
