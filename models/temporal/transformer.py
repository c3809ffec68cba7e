"""A Transformer encoder over the times of a window (Vaswani et al. 2017), normalising first."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.temporal.dropout import ChannelDropout, Uniforms


def sinusoids(times: int, width: int, device: torch.device) -> Tensor:
    """The encodings (T, W) of the times 0..T-1 (Vaswani et al. 2017, section 3.5), sines in even columns, cosines in odd ones."""
    position = torch.arange(times, device=device, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float32) * (-math.log(10000.0) / width))
    encoding = torch.zeros(times, width, device=device)
    encoding[:, 0::2] = torch.sin(position * frequency)
    encoding[:, 1::2] = torch.cos(position * frequency)
    return encoding


class TransformerLayer(nn.Module):
    """Self-attention over the seen times and a two-layer network for each time, both with a residual connection."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, feedforward)
        self.fc2 = nn.Linear(feedforward, width)
        self.dropouts = nn.ModuleList([ChannelDropout(count, dropout) for count in (width, feedforward, width)])

    def forward(self, values: Tensor, attended: Tensor, uniforms: Uniforms) -> Tensor:
        """Of values (B, T, W); `attended` bool (B, 1, 1, T) says which times are looked at."""
        after_attention, inside, after = self.dropouts
        batch, times, width = values.shape
        parts = self.qkv(self.norm1(values)).view(batch, times, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=attended)
        mixed = self.out(mixed.transpose(1, 2).reshape(batch, times, width))
        values = values + after_attention(mixed, uniforms.take(width))
        hidden = inside(F.gelu(self.fc1(self.norm2(values))), uniforms.take(self.fc1.out_features))
        result: Tensor = values + after(self.fc2(hidden), uniforms.take(width))
        return result


class TransformerEncoder(nn.Module):
    """So many layers over a window, with the encodings of its times added first.

    Raises ValueError if the width is odd or does not divide among the heads.
    """

    def __init__(self, width: int, layers: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        if width % 2 or width % heads:
            raise ValueError(f"a width of {width} is odd or does not divide among {heads} heads")
        self.layers = nn.ModuleList([TransformerLayer(width, heads, feedforward, dropout) for _ in range(layers)])
        self.uniforms = layers * (2 * width + feedforward)

    def forward(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Of values (B, T, W) and mask (B, T)."""
        # A window without any seen frame looks at its zeros: a softmax over nothing would be NaN.
        attended = (mask | ~mask.any(dim=1, keepdim=True))[:, None, None, :]
        values = values + sinusoids(values.shape[1], values.shape[2], values.device).to(values.dtype)
        for layer in self.layers:
            values = layer(values, attended, uniforms)
        return values
