"""Stochastic depth (Huang et al., ECCV 2016) whose draws come with the batch, so that they are a function of the sample.

A residual branch is left out for some samples while training, and counts 1 / (1 - rate) for the others, as timm's DropPath and
torchvision's StochasticDepth in mode "row".
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import StochasticDepth


class DropPath(nn.Module):
    """Leaves a residual branch (B, ...) out for the samples whose number, see `give_numbers`, is below `rate`.

    Without numbers, as in a run that only asks for shapes, nothing is left out.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.numbers: Tensor | None = None

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0 or self.numbers is None:
            return branch
        factors = (self.numbers >= self.rate).to(branch.dtype) / (1 - self.rate)
        return branch * factors.view(-1, *(1,) * (branch.dim() - 1))


def drop_paths(network: nn.Module) -> list[DropPath]:
    """The branches of `network` that may be left out, in the order in which they were made."""
    return [module for module in network.modules() if isinstance(module, DropPath)]


def give_numbers(network: nn.Module, numbers: Tensor) -> None:
    """Hands each of the `drop_paths` its column of uniform numbers (B, paths) for the next batch."""
    for path, column in zip(drop_paths(network), numbers.unbind(dim=1), strict=True):
        path.numbers = column


def rates(highest: float, depth: int) -> list[float]:
    """The rates of `depth` blocks, rising evenly from 0 to `highest`."""
    return [highest * block / max(depth - 1, 1) for block in range(depth)]


def take_over(network: nn.Module, highest: float) -> None:
    """Replaces timm's and torchvision's modules of stochastic depth by DropPath, their rates scaled to reach `highest`.

    Raises ValueError if the network has none.
    """
    found = [
        (parent, name, _rate(child))
        for parent in network.modules()
        for name, child in parent.named_children()
        if _rate(child) is not None
    ]
    largest = max((rate or 0.0 for _, _, rate in found), default=0.0)
    if largest == 0:
        raise ValueError("the network has no residual branches that can be left out: drop_path must be 0")
    for parent, name, rate in found:
        setattr(parent, name, DropPath((rate or 0.0) * highest / largest))


def _rate(module: nn.Module) -> float | None:
    """The rate of a foreign module of stochastic depth; timm, which is optional, is known by the name of its class."""
    if isinstance(module, StochasticDepth):
        return float(module.p)
    rate = getattr(module, "drop_prob", None) if type(module).__name__ == "DropPath" else None
    return rate if isinstance(rate, float) else None


def set_rates(blocks: Sequence[nn.Module], highest: float) -> None:
    """Gives the transformer blocks `blocks` their two branches' DropPath, with evenly rising rates."""
    for block, rate in zip(blocks, rates(highest, len(blocks)), strict=True):
        block.drop_path1, block.drop_path2 = DropPath(rate), DropPath(rate)
