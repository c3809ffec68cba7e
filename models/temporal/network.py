"""Normalise and take sets away: what is done before every model on features. Then join the sets, encode, classify: ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from models.temporal.dropout import ChannelDropout, Uniforms


class SequenceEncoder(Protocol):
    """Mixes the times of windows (B, T, W); what stands at a masked time changes nothing at the others.

    `uniforms` is how many uniform numbers its dropouts use for a window.
    """

    uniforms: int

    def __call__(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Encoded windows (B, T, W)."""


class FeatureNetwork(nn.Module, ABC):
    """Logits (B, T, C) of windows of features (B, T, D), K sets side by side, with masks (B, T, K): True where a set has a frame.

    The times of a window are evenly spaced in seconds. Where a set is missing, whatever stands there is replaced by zero before
    anything is computed. Logits at times without any set mean nothing.

    The normalisation, per feature, is two buffers of the network, so it is part of every checkpoint.

    Parameters
    ----------
    widths : of the sets, D in all.
    set_dropout : probability of taking away a set of a training window, at the times at which another is there.
    unit_length : whether each set's normalised vector is scaled to length 1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: Sequence[int], set_dropout: float, unit_length: bool) -> None:
        super().__init__()
        self.widths = list(widths)
        self.register_buffer("mean", torch.zeros(sum(self.widths)))
        self.register_buffer("deviation", torch.ones(sum(self.widths)))
        self.set_dropout = set_dropout
        self.unit_length = unit_length
        self.uniforms = len(self.widths) if set_dropout else 0

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Takes mean and standard deviation (D,) of the training features; a feature that never changes is left unscaled."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, features: Tensor, masks: Tensor, uniforms: Tensor | None = None) -> Tensor:
        """With `uniforms` (B, self.uniforms) in [0, 1) channels and sets are dropped, as in training."""
        given = Uniforms(uniforms)
        present = masks if not self.set_dropout else without_dropped(masks, given.take(len(self.widths)), self.set_dropout)
        normalised = (features - self.mean) / self.deviation
        columns = present.repeat_interleave(torch.tensor(self.widths, device=present.device), dim=2)
        seen = torch.where(columns, normalised, torch.zeros_like(normalised))
        if self.unit_length:
            seen = torch.cat([nn.functional.normalize(part, dim=2) for part in torch.split(seen, self.widths, dim=2)], dim=2)
        return self.classify(seen, present, given)

    @abstractmethod
    def classify(self, seen: Tensor, present: Tensor, given: Uniforms) -> Tensor:
        """Logits (B, T, C) of normalised features (B, T, D), zero where `present` (B, T, K) is False."""


class TemporalNetwork(FeatureNetwork):
    """Our own models: sets joined, channels dropped, times mixed, each time classified.

    Parameters
    ----------
    width : W, of the joined sequence.
    project : joins the sets (models.temporal.fusion).
    dropout : probability of dropping a channel of the joined sequence.
    """

    def __init__(
        self,
        widths: Sequence[int],
        width: int,
        project: nn.Module,
        encoder: SequenceEncoder,
        classes: int,
        dropout: float,
        set_dropout: float = 0.0,
        unit_length: bool = False,
    ) -> None:
        super().__init__(widths, set_dropout, unit_length)
        self.project = project
        self.dropout = ChannelDropout(width, dropout)
        self.encoder = encoder
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, classes)
        self.uniforms += width + encoder.uniforms

    def classify(self, seen: Tensor, present: Tensor, given: Uniforms) -> Tensor:
        """Logits (B, T, C)."""
        values = self.dropout(self.project(seen, present), given.take(self.dropout.width))
        logits: Tensor = self.fc(self.norm(self.encoder(values, present.any(dim=2), given)))
        return logits


def without_dropped(masks: Tensor, uniforms: Tensor | None, probability: float) -> Tensor:
    """The masks (B, T, K) without the sets whose uniform number (B, K) is below `probability`.

    A time at which nothing else would be left keeps what it has.
    """
    if uniforms is None:
        return masks
    kept = masks & (uniforms >= probability)[:, None, :]
    return torch.where(kept.any(dim=2, keepdim=True), kept, masks)
