"""A network so small that a CPU can pre-train it, for what a full one would need days for."""

from __future__ import annotations

import itertools

from torch import nn

from models.backbones.base import Backbone

NETWORKS = {"narrow": f"{__file__}:build"}
"""Name in tables -> name for `models.registry`; other networks have one name."""
WIDTHS = (16, 16, 32, 64, 128)
"""Channels before and behind each block."""


class NarrowResNet(Backbone):
    """A residual network of four blocks and 16 to 128 channels."""

    def __init__(self, image_size: int) -> None:
        from torchvision.models.resnet import BasicBlock

        super().__init__({"stem": ("conv1", "bn1", "relu"), "blocks": ("blocks",)}, image_size=image_size)
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        blocks = []
        for inputs, outputs in itertools.pairwise(WIDTHS):
            same = inputs == outputs
            shortcut = None if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))
            blocks.append(BasicBlock(inputs, outputs, 1 if same else 2, shortcut))
        self.blocks = nn.Sequential(*blocks)


def build(image_size: int) -> NarrowResNet:
    """With random weights, for square images of so many pixels a side."""
    return NarrowResNet(image_size)
