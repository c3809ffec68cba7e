"""Sums over a batch that is spread over processes, with the gradient that distributed training expects."""

from __future__ import annotations

from collections.abc import Callable

from accelerate import Accelerator
from torch import Tensor

Pool = Callable[[Tensor], Tensor]
"""From the sums of a process's share to those of the whole batch."""


def alone(sums: Tensor) -> Tensor:
    """The share is the batch."""
    return sums


def over_processes(accelerator: Accelerator) -> Pool:
    """Adds the sums of all processes.

    Each process then computes the same loss of the whole batch, but knows only how its own samples change it. Distributed
    training takes the mean of the processes' gradients, so own sums pass their gradient on times the number of processes: the
    mean is then the gradient of the loss of the whole batch, as one process would have it.
    """
    processes = accelerator.num_processes
    if processes == 1:
        return alone

    def pool(sums: Tensor) -> Tensor:
        together: Tensor = accelerator.reduce(sums.detach(), reduction="sum")
        own = processes * sums
        pooled: Tensor = own + (together - own.detach())
        return pooled

    return pool
