"""Bilinear resizing of the part of an image that is wanted: rows and columns are gathered and mixed, nothing else is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Taps:
    """Where each of n resized lines comes from: (1 - share) of line `low` and `share` of line `high`, all (n,)."""

    low: Tensor
    high: Tensor
    share: Tensor


def centre_taps(side: int, resized: int, wanted: int, device: torch.device) -> Taps:
    """The taps of the `wanted` middle lines of `side` lines resized to `resized`, on `device`.

    Bilinear without antialiasing, pixel centres at halves: torch's interpolate(mode="bilinear", align_corners=False).
    """
    first = (resized - wanted) // 2
    positions = (torch.arange(first, first + wanted, dtype=torch.float64) + 0.5) * (side / resized) - 0.5
    positions.clamp_(0, side - 1)
    low = positions.floor().long()
    high = (low + 1).clamp_(max=side - 1)
    return Taps(low.to(device), high.to(device), (positions - low).float().to(device))


def resize(images: Tensor, taps: Taps) -> Tensor:
    """Float images (B, H, W, C) with square sides to (B, n, n, C) by the same taps in both directions."""
    batch, height, width, channels = images.shape
    # One index per value, not per pixel: gathering along the last axis is several times faster than copying blocks of three.
    offsets = torch.arange(channels, device=images.device)
    low, high = ((lines.view(-1, 1) * channels + offsets).view(-1) for lines in (taps.low, taps.high))
    lines = images.reshape(batch * height, width * channels)
    columns = torch.lerp(lines.index_select(1, low), lines.index_select(1, high), taps.share.repeat_interleave(channels))
    columns = columns.view(batch, height, -1)
    mixed = torch.lerp(columns.index_select(1, taps.low), columns.index_select(1, taps.high), taps.share.view(1, -1, 1))
    return mixed.view(batch, len(taps.low), len(taps.low), channels)
