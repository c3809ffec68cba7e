"""The samples of all processes on each of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def processes() -> tuple[int, int]:
    """The number of processes that train together and this one's rank: (1, 0) outside a launch."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size(), dist.get_rank()
    return 1, 0


class _Gather(torch.autograd.Function):
    """Stacks the tensors (B, …) of all processes to (B, processes, …); the gradient is summed over the processes."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        world, _ = processes()
        parts = [torch.empty_like(tensor) for _ in range(world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.stack(parts, dim=1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[:, processes()[1]]


def gather(tensor: Tensor) -> Tensor:
    """The rows (B, …) of all processes, (processes * B, …), with gradient.

    Row i of process r becomes row i * processes + r, so that they stand as in one process when each takes every processes-th
    sample of a batch.
    """
    if processes()[0] == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor)
    return gathered.flatten(0, 1)
