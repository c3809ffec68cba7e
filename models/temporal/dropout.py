"""Dropout whose random numbers are given: what is dropped is a function of (seed, step, sample), so a training can be resumed."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelDropout(nn.Module):
    """Drops whole channels of a window, at all its times alike, and scales up the others.

    One mask for all times is what Gal and Ghahramani (2016, "A theoretically grounded application of dropout in recurrent neural
    networks") derive for sequences, and what Bai et al. (2018) do in their TCN.
    """

    def __init__(self, width: int, probability: float) -> None:
        super().__init__()
        self.width = width
        self.probability = probability

    def forward(self, values: Tensor, uniforms: Tensor | None) -> Tensor:
        """Of values (B, T, W) and uniform numbers (B, W) in [0, 1); None drops nothing, as in prediction."""
        if uniforms is None or self.probability == 0:
            return values
        kept = (uniforms >= self.probability).to(values.dtype) / (1 - self.probability)
        return values * kept[:, None, :]


class Uniforms:
    """Hands out the uniform numbers (B, N) of a forward pass, so many to each dropout in turn; None hands out None."""

    def __init__(self, uniforms: Tensor | None) -> None:
        self.uniforms = uniforms
        self.taken = 0

    def take(self, count: int) -> Tensor | None:
        """The next (B, count)."""
        if self.uniforms is None:
            return None
        part = self.uniforms[:, self.taken : self.taken + count]
        self.taken += count
        return part
