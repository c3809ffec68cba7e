"""Running averages of a network (momentum or target encoders)."""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def momentum_at(step: int, steps: int, base: float) -> float:
    """The share of the average that is kept at a step: from `base` up to 1 along a cosine (Grill et al. 2020, section 3.3)."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2


def slow_copy(network: Network) -> Network:
    """A copy of `network` without gradients, to be moved by `update_average`."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, momentum: float) -> None:
    """average = momentum * average + (1 - momentum) * network, for the parameters.

    BatchNorm statistics are the average's own: it sees images itself.
    """
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)
