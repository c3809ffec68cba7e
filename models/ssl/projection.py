"""The small networks between a backbone's features and a self-supervised loss."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbones.base import Backbone, pool


def feature_width(backbone: Backbone) -> int:
    """Length of a backbone's pooled feature vector."""
    shape = backbone.feature_shape
    return shape[0] if len(shape) == 3 else shape[1]


class ProjectionMLP(nn.Sequential):
    """Linear, BatchNorm (unless `batch_norm` is off), ReLU, linear: (B, inputs) to (B, outputs)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, *, batch_norm: bool = True) -> None:
        norm = [nn.BatchNorm1d(hidden)] if batch_norm else []
        # A bias before BatchNorm would be taken out again.
        super().__init__(nn.Linear(inputs, hidden, bias=not batch_norm), *norm, nn.ReLU(), nn.Linear(hidden, outputs))


class Encoder(nn.Module):
    """A backbone, pooling and a projection: images (B, 3, H, W) to features (B, D) and embeddings (B, E)."""

    def __init__(self, backbone: Backbone, projector: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = pool(self.backbone(images), self.backbone.has_class_token)
        return features, self.projector(features)
