"""Gated recurrent units over the seen times of a window, both ways (Cho et al. 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.temporal.dropout import ChannelDropout, Uniforms
from models.temporal.transformer import sinusoids


class RecurrentEncoder(nn.Module):
    """Layers of a bidirectional GRU, each half as wide to either side, that step from one seen time to the next.

    Times that were not seen are passed over: they neither change the state nor have a part in any other time's result. The
    encodings of the times are added first, so that a step over a gap is another one than a step to the next frame.

    Raises ValueError for an odd width.
    """

    def __init__(self, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"a width of {width} is odd and does not divide among both ways")
        self.layers = nn.ModuleList([nn.GRU(width, width // 2, batch_first=True, bidirectional=True) for _ in range(layers)])
        self.dropout = ChannelDropout(width, dropout)
        self.uniforms = layers * width

    def forward(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Of values (B, T, W) and mask (B, T); zero at times that were not seen."""
        order = (~mask).int().argsort(dim=1, stable=True)[..., None].expand_as(values)
        # A window without any seen time runs over one zero, whose result is thrown away.
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        timed = values + sinusoids(values.shape[1], values.shape[2], values.device).to(values.dtype)
        sequence = torch.where(mask[..., None], timed, torch.zeros_like(timed)).gather(1, order)
        for layer in self.layers:
            packed = pack_padded_sequence(sequence, lengths, batch_first=True, enforce_sorted=False)
            outputs, _ = layer(packed)
            sequence, _ = pad_packed_sequence(outputs, batch_first=True, total_length=values.shape[1])
            sequence = self.dropout(sequence, uniforms.take(self.dropout.width))
        scattered = torch.zeros_like(sequence).scatter(1, order, sequence)
        return scattered * mask[..., None].to(scattered.dtype)
