"""From several feature sets to one sequence: each way of joining sets that may be missing at any time, a class.

Each is called with windows (B, T, D), the sets side by side and zero where one is missing, and with bool (B, T, K), which says
what sets there are, and gives (B, T, W). What stands at a time without any set means nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.temporal.transformer import sinusoids


class Concatenation(nn.Linear):
    """One linear map of all sets side by side; a missing set adds nothing."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__(sum(widths), width)

    def forward(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Of values (B, T, D)."""
        return super().forward(values)


class GatedSum(nn.Module):
    """At each time a weighted sum of the sets, each projected, with weights of every channel that the sets decide on together.

    With two sets z = g v + (1 - g) a and g a sigmoid of both, as the winner of the 10th edition's expression challenge joins face
    and voice (Sun and Gao 2026, arXiv 2603.12221); with more, a softmax over those that are there takes the sigmoid's place.
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.widths = list(widths)
        self.projections = nn.ModuleList([nn.Linear(count, width) for count in widths])
        self.gate = nn.Linear(len(self.widths) * width, len(self.widths) * width)

    def forward(self, values: Tensor, present: Tensor) -> Tensor:
        """Of values (B, T, D) and present (B, T, K)."""
        hidden = _projected(values, present, self.widths, self.projections)
        gates = self.gate(hidden.flatten(2)).view_as(hidden)
        return (_weights(gates, present) * hidden).sum(dim=2)


class CrossAttention(nn.Module):
    """Each set asks the others, at all times of the window; those that are there are averaged.

    Safe where a set is missing: no set looks at what is not there, one that finds nothing to look at goes on by itself, and one
    that is missing at a time has no part in the average there.

    Raises ValueError if the width is odd or does not divide among the heads.
    """

    def __init__(self, widths: Sequence[int], width: int, heads: int) -> None:
        super().__init__()
        if width % 2 or width % heads:
            raise ValueError(f"a width of {width} is odd or does not divide among {heads} heads")
        self.widths = list(widths)
        self.heads = heads
        self.projections = nn.ModuleList([nn.Linear(count, width) for count in widths])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in widths])
        self.queries = nn.ModuleList([nn.Linear(width, width) for _ in widths])
        self.keys_and_values = nn.ModuleList([nn.Linear(width, 2 * width) for _ in widths])
        self.outputs = nn.ModuleList([nn.Linear(width, width) for _ in widths])

    def forward(self, values: Tensor, present: Tensor) -> Tensor:
        """Of values (B, T, D) and present (B, T, K)."""
        hidden = _projected(values, present, self.widths, self.projections)
        times = sinusoids(hidden.shape[1], hidden.shape[3], hidden.device).to(hidden.dtype)
        normalised = [norm(hidden[:, :, index]) + times for index, norm in enumerate(self.norms)]
        keys = [layer(entry).chunk(2, dim=2) for layer, entry in zip(self.keys_and_values, normalised, strict=True)]
        joined = []
        for index, output in enumerate(self.outputs):
            others = [other for other in range(len(self.widths)) if other != index]
            if not others:
                joined.append(hidden[:, :, index])
                continue
            mask = torch.cat([present[:, :, other] for other in others], dim=1)
            key, value = (torch.cat([keys[other][part] for other in others], dim=1) for part in (0, 1))
            found = self._attend(self.queries[index](normalised[index]), key, value, mask)
            # The output's own bias, too, would say that something was found.
            joined.append(hidden[:, :, index] + torch.where(mask.any(dim=1)[:, None, None], output(found), 0.0))
        shares = present.to(hidden.dtype)
        shares = shares / shares.sum(dim=2, keepdim=True).clamp(min=1)
        return (torch.stack(joined, dim=2) * shares[..., None]).sum(dim=2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """Attention of queries (B, T, W) to keys and values (B, N, W) where `mask` (B, N) is True."""
        shape = (query.shape[0], -1, self.heads, query.shape[2] // self.heads)
        query, key, value = (part.view(shape).transpose(1, 2) for part in (query, key, value))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        # A softmax over nothing would be NaN; what such a window finds is thrown away.
        looked_at = (mask | ~mask.any(dim=1, keepdim=True))[:, None, None, :]
        weights = F.softmax(scores.masked_fill(~looked_at, -math.inf), dim=3)
        return (weights @ value).transpose(1, 2).flatten(2)


def _projected(values: Tensor, present: Tensor, widths: Sequence[int], projections: nn.ModuleList) -> Tensor:
    """Each set projected (B, T, K, W), zero where it is missing."""
    parts = [layer(part) for layer, part in zip(projections, torch.split(values, list(widths), dim=2), strict=True)]
    return torch.stack(parts, dim=2) * present[..., None].to(values.dtype)


def _weights(gates: Tensor, present: Tensor) -> Tensor:
    """The softmax of gates (B, T, K, W) over the sets that are there; zero where there is none."""
    there = present[..., None]
    none = ~there.any(dim=2, keepdim=True)
    return F.softmax(gates.masked_fill(~(there | none), -math.inf), dim=2) * there.to(gates.dtype)


NAMES = ("concat", "gate", "cross-attention")


def build_fusion(name: str, widths: Sequence[int], width: int, heads: int) -> nn.Module:
    """A way of joining sets by name, one of NAMES. Raises ValueError for settings that do not fit."""
    if name == "gate":
        return GatedSum(widths, width)
    if name == "cross-attention":
        return CrossAttention(widths, width, heads)
    return Concatenation(widths, width)
