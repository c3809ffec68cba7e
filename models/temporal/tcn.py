"""A temporal convolutional network over the times of a window: dilated residual layers that look both ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.temporal.dropout import ChannelDropout, Uniforms


class DilatedLayer(nn.Module):
    """Dilated convolution, ReLU, pointwise convolution, residual (the layer of MS-TCN: Farha and Gall 2019, section 3.1).

    Unlike there, values are normalised first, and a sum over a gap is scaled up by the share of the times it saw (partial
    convolution: Liu et al. 2018, equation 1), so that a slow recording looks like a fast one.
    """

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.kernel = kernel
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2), bias=False)
        self.bias = nn.Parameter(torch.zeros(width))
        self.pointwise = nn.Linear(width, width)
        self.dropout = ChannelDropout(width, dropout)

    def forward(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Of values (B, T, W) and mask (B, T, 1) of zeros and ones."""
        normalised = self.norm(values) * mask
        summed = self.convolution(normalised.transpose(1, 2)).transpose(1, 2)
        hidden = F.relu(summed * self._scale(mask) + self.bias)
        result: Tensor = values + self.dropout(self.pointwise(hidden), uniforms.take(self.dropout.width))
        return result

    def _scale(self, mask: Tensor) -> Tensor:
        """The times under the kernel as a multiple of the seen ones (B, T, 1); what lies outside of the window is unseen."""
        ones = torch.ones(1, 1, self.kernel, device=mask.device, dtype=mask.dtype)
        seen = F.conv1d(mask.transpose(1, 2), ones, dilation=self.dilation, padding=self.dilation * (self.kernel // 2))
        return self.kernel / seen.clamp(min=1).transpose(1, 2)


class ConvolutionEncoder(nn.Module):
    """Layers of dilation 1, 2, 4, ...: the last one looks (kernel - 1) / 2 * (2^layers - 1) times back and ahead.

    Raises ValueError for an even kernel, which has no middle.
    """

    def __init__(self, width: int, layers: int, kernel: int, dropout: float) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} is even and has no middle")
        self.layers = nn.ModuleList([DilatedLayer(width, kernel, 2**index, dropout) for index in range(layers)])
        self.uniforms = layers * width

    def forward(self, values: Tensor, mask: Tensor, uniforms: Uniforms) -> Tensor:
        """Of values (B, T, W) and mask (B, T)."""
        ones = mask[..., None].to(values.dtype)
        for layer in self.layers:
            values = layer(values, ones, uniforms)
        return values
