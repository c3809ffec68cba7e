"""Drawn faces behind a grid of lines, on which warps show, and a convolutional network small enough to learn to see them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.backbones.base import Backbone

SIDE = 48


class SmallNetwork(Backbone):
    """Three convolutions with BatchNorm, for views of 32 pixels."""

    def __init__(self, width: int = 16) -> None:
        names = [f"{kind}{layer}" for layer in (1, 2, 3) for kind in ("conv", "bn", "relu")]
        super().__init__({"layer1": tuple(names)}, image_size=32)
        inputs = 3
        for layer, (outputs, kernel, stride) in enumerate(((width, 5, 2), (2 * width, 3, 2), (4 * width, 3, 1)), start=1):
            setattr(self, f"conv{layer}", nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False))
            setattr(self, f"bn{layer}", nn.BatchNorm2d(outputs))
            setattr(self, f"relu{layer}", nn.ReLU())
            inputs = outputs


def toy_faces(count: int, seed: int) -> Tensor:
    """Faces of different people (count, 3, SIDE, SIDE), float in 0..1, with six lines across and down."""
    generator = torch.Generator().manual_seed(seed)
    steps = (torch.arange(SIDE) + 0.5) / SIDE
    y, x = torch.meshgrid(steps, steps, indexing="ij")

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, generator=generator)

    def spot(centre_x: Tensor | float, centre_y: Tensor, width: Tensor, height: Tensor) -> Tensor:
        return torch.exp(-(((x - centre_x) / width) ** 2) - ((y - centre_y) / height) ** 2)

    oval = 1 - ((x - 0.5) / between(0.36, 0.42)) ** 2 - ((y - 0.5) / between(0.44, 0.5)) ** 2
    faces = between(0.3, 0.5) + between(0.2, 0.4) * torch.sigmoid(10 * oval)
    apart, height = between(0.17, 0.21), between(0.43, 0.47)
    for side in (-1, 1):
        faces = faces - between(0.3, 0.5) * spot(0.5 + side * apart, height, between(0.05, 0.07), between(0.03, 0.04))
        brow = height - between(0.1, 0.13)
        faces = faces - between(0.2, 0.4) * spot(0.5 + side * apart, brow, between(0.09, 0.11), between(0.02, 0.025))
    faces = faces - between(0.2, 0.4) * spot(0.5, between(0.78, 0.82), between(0.12, 0.16), between(0.025, 0.035))
    faces = faces + 0.15 * (torch.sin(12 * math.pi * x) + torch.sin(12 * math.pi * y))
    return faces.clamp(0, 1).unsqueeze(1).repeat(1, 3, 1, 1)
