"""A backbone and a head: from normalised images to logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models import heads, registry
from models.backbones.base import Backbone, pool


class Classifier(nn.Module):
    """Logits (B, classes) of normalised images (B, 3, H, W)."""

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """The pooled features (B, D) of the backbone, for probing and for temporal models."""
        return pool(self.backbone(images), self.backbone.has_class_token)

    @property
    def feature_width(self) -> int:
        """How many numbers (D) `features` gives of an image."""
        shape = self.backbone.feature_shape
        return int(shape[0] if len(shape) == 3 else shape[1])

    def freeze(self, stages: int) -> None:
        """Holds the first `stages` stages of the backbone as they are, see Backbone.freeze."""
        self.backbone.freeze(stages)


def build(
    backbone: str,
    head: str,
    classes: int,
    *,
    seed: int,
    image_size: int | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    head_options: Mapping[str, Any] | None = None,
) -> Classifier:
    """A classifier by the names of its backbone and head; its random weights are a function of `seed` alone.

    Raises as registry.create and heads.create do.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = registry.create(backbone, image_size=image_size, **(backbone_options or {}))
        options = {"has_class_token": network.has_class_token, **(head_options or {})}
        return Classifier(network, heads.create(head, network.feature_shape, classes, **options))
