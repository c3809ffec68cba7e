"""Low-rank adaptation (Hu et al., ICLR 2022): weights W are held, and W + (alpha / r) B A is used in their place.

A (r, inputs) starts as a linear layer does, B (outputs, r) at zero, so that training begins at W. Merged, the weights are those
of the plain network, under its names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ORIGINAL = re.compile(r"^(?P<module>.*)parametrizations\.(?P<weight>\w+)\.original$")
"""How torch's parametrisation names a weight that is held."""


class LowRank(nn.Module):
    """From a weight (outputs, inputs) to itself plus `scale` times a matrix of rank `rank`."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = scale
        self.a = nn.Parameter(torch.empty(rank, inputs, device=weight.device))
        self.b = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        # What is learned would lose most of its digits where a product in half precision is added to a weight.
        with torch.autocast(weight.device.type, enabled=False):
            return weight + self.scale * (self.b @ self.a)


def adapt(network: nn.Module, *, rank: int, scale: float, targets: Sequence[str], seed: int) -> int:
    """Holds every weight of `network`, and adapts the matrices whose names contain one of `targets`; returns how many.

    `scale` is alpha / r. What does not require a gradient beforehand is not adapted. Random numbers are a function of `seed`.
    Raises ValueError if nothing is adapted, or if the network has BatchNorm, whose statistics would move and be lost in `merged`.
    """
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        raise ValueError("low-rank adaptation is for networks without BatchNorm")
    found = [
        (module, name, weight)
        for path, module in network.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight.dim() == 2 and weight.requires_grad and name.endswith("weight") and any(t in f"{path}.{name}" for t in targets)
    ]
    if not found:
        raise ValueError(f"no matrix of the network has one of {', '.join(targets)} in its name, or all are frozen")
    network.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module, name, weight in found:
            parametrize.register_parametrization(module, name, LowRank(weight, rank, scale))
    return len(found)


def merged(tensors: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The state dict of the plain network from that of an adapted one; `scale` is alpha / r."""
    plain = {}
    for name, tensor in tensors.items():
        held = ORIGINAL.match(name)
        if held is not None:
            stem = name.removesuffix("original")
            plain[held["module"] + held["weight"]] = tensor + scale * (tensors[f"{stem}0.b"] @ tensors[f"{stem}0.a"])
        elif ".parametrizations." not in f".{name}":
            plain[name] = tensor
    return plain
