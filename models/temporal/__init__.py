"""Models on features by name: windows of features (B, T, D) with masks (B, T, K) of their sets to logits (B, T, C)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models import plugins
from models.names import UnknownNameError
from models.temporal import fusion as fusions
from models.temporal import own
from models.temporal.gru import RecurrentEncoder
from models.temporal.mlp import FrameEncoder
from models.temporal.network import FeatureNetwork, SequenceEncoder, TemporalNetwork
from models.temporal.tcn import ConvolutionEncoder
from models.temporal.transformer import TransformerEncoder

NAMES = ("transformer", "tcn", "gru", "mlp")


def build(
    name: str,
    widths: Sequence[int],
    classes: int,
    *,
    seed: int,
    width: int,
    layers: int,
    heads: int,
    feedforward: int,
    kernel: int,
    dropout: float,
    fusion: str = "concat",
    set_dropout: float = 0.0,
    unit_length: bool = False,
) -> FeatureNetwork:
    """A model on features by name, one of NAMES or code of one's own; its random weights are a function of `seed` alone.

    `widths` are those of the feature sets, which `fusion` joins. `heads` are the transformer's and the cross-attention's,
    `feedforward` the transformer's, `kernel` the TCN's. Code of one's own gets those settings that it asks for. Raises
    UnknownNameError for an unknown name, ValueError for settings that do not fit and code that cannot be used.
    """
    if name not in NAMES and not plugins.is_plugin(name):
        raise UnknownNameError("model on features", name, NAMES)
    if fusion not in fusions.NAMES:
        raise UnknownNameError("way of joining feature sets", fusion, fusions.NAMES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if plugins.is_plugin(name):
            settings = {
                "width": width,
                "layers": layers,
                "heads": heads,
                "feedforward": feedforward,
                "kernel": kernel,
                "dropout": dropout,
                "fusion": fusion,
            }
            return own.build(name, widths, classes, settings, set_dropout, unit_length)
        encoder: SequenceEncoder
        if name == "transformer":
            encoder = TransformerEncoder(width, layers, heads, feedforward, dropout)
        elif name == "tcn":
            encoder = ConvolutionEncoder(width, layers, kernel, dropout)
        elif name == "gru":
            encoder = RecurrentEncoder(width, layers, dropout)
        else:
            encoder = FrameEncoder(width, layers, dropout)
        project = fusions.build_fusion(fusion, widths, width, heads)
        return TemporalNetwork(widths, width, project, encoder, classes, dropout, set_dropout, unit_length)
