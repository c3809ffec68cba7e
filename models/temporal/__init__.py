"""Temporal models by name: windows of features (B, T, D) with a mask (B, T) to logits (B, T, C)."""

from __future__ import annotations

import torch

from models.names import UnknownNameError
from models.temporal.network import TemporalNetwork
from models.temporal.tcn import ConvolutionEncoder
from models.temporal.transformer import TransformerEncoder

NAMES = ("transformer", "tcn")


def build(
    name: str,
    inputs: int,
    classes: int,
    *,
    seed: int,
    width: int,
    layers: int,
    heads: int,
    feedforward: int,
    kernel: int,
    dropout: float,
) -> TemporalNetwork:
    """A temporal network by name; its random weights are a function of `seed` alone.

    `heads` and `feedforward` are the transformer's, `kernel` the TCN's. Raises UnknownNameError for an unknown name, ValueError
    for settings that do not fit.
    """
    if name not in NAMES:
        raise UnknownNameError("temporal model", name, NAMES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder: TransformerEncoder | ConvolutionEncoder
        if name == "transformer":
            encoder = TransformerEncoder(width, layers, heads, feedforward, dropout)
        else:
            encoder = ConvolutionEncoder(width, layers, kernel, dropout)
        return TemporalNetwork(inputs, width, encoder, classes, dropout)
