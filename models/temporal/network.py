"""Normalise, project, encode, classify: the frame around every temporal encoder."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from models.temporal.dropout import ChannelDropout, Uniforms


class Encoder(Protocol):
    """Mixes the times of windows (B, T, W); what stands at a masked time changes nothing at the others.

    `uniforms` is how many uniform numbers its dropouts use for a window.
    """

    uniforms: int

    def __call__(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Encoded windows (B, T, W)."""


class TemporalNetwork(nn.Module):
    """Logits (B, T, C) of windows of features (B, T, D) with a mask (B, T), True where a frame was seen.

    The times of a window are evenly spaced in seconds; where no frame was seen the mask is False, and whatever stands there is
    replaced by zero before anything is computed. Logits at masked times mean nothing.

    The normalisation, per feature, is two buffers of the network, so it is part of every checkpoint.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: int, width: int, encoder: Encoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.project = nn.Linear(inputs, width)
        self.dropout = ChannelDropout(width, dropout)
        self.encoder = encoder
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, classes)
        self.uniforms = width + encoder.uniforms

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Takes mean and standard deviation (D,) of the training features; a feature that never changes is left unscaled."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, features: Tensor, mask: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """With `uniforms` (B, self.uniforms) in [0, 1) channels are dropped, as in training."""
        given = Uniforms(uniforms)
        normalised = (features - self.mean) / self.deviation
        seen = torch.where(mask[..., None], normalised, torch.zeros_like(normalised))
        values = self.dropout(self.project(seen), given.take(self.dropout.width))
        logits: Tensor = self.fc(self.norm(self.encoder(values, mask, given)))
        return logits
