"""A network of each frame alone, without any time: what entries on frozen features send whose only time is smoothing."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from models.temporal.dropout import ChannelDropout, Uniforms


class FrameEncoder(nn.Module):
    """ReLU of the projection, then so many less one further layers, each with a ReLU: `layers` hidden layers in all."""

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(layers - 1)])
        self.dropout = ChannelDropout(width, dropout)
        self.uniforms = (layers - 1) * width

    def forward(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Of values (B, T, W)."""
        values = F.relu(values)
        for layer in self.layers:
            values = self.dropout(F.relu(layer(values)), uniforms.take(self.dropout.width))
        return values
