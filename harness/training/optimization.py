"""What the optimizer does at a step: which parameters move, how fast, and how they decay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from harness.training.objective import Objective


@dataclass(frozen=True)
class LoopSettings:
    """What the loop itself needs to know; the fields are recipe keys of the same names."""

    iterations: int
    batch: int
    optimizer: str
    learning_rate: float
    momentum: float
    betas: Sequence[float]
    weight_decay: float
    decay_everything: bool
    warmup: int
    warmup_from: float
    lowest_learning_rate: float
    clip_gradient: float
    evaluate_every: int
    checkpoint_every: int

    @classmethod
    def of(cls, recipe: Any) -> LoopSettings:
        """From a recipe with keys of these names."""
        return cls(**{entry.name: getattr(recipe, entry.name) for entry in fields(cls)})


def learning_rate(step: int, *, iterations: int, highest: float, lowest: float, warmup: int, warmup_from: float) -> float:
    """Cosine from `highest` to `lowest` over `iterations`, times a linear warm-up from `warmup_from` in the first `warmup` steps.

    `step` counts from 0. As in the published configuration: lr = lowest + (highest - lowest) (1 + cos(pi step / iterations)) / 2,
    multiplied by 1 - (1 - step / warmup) (1 - warmup_from) while step < warmup.
    """
    rate = lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * step / iterations))
    if step < warmup:
        rate *= 1 - (1 - step / warmup) * (1 - warmup_from)
    return rate


def make_optimizer(objective: Objective, settings: LoopSettings) -> torch.optim.Optimizer:
    """SGD or AdamW over the objective's groups; each group keeps its learning rate factor under `factor`."""
    groups: list[dict[str, Any]] = []
    for factor, parameters in objective.rate_factors():
        decaying = [p for _, p in parameters if settings.decay_everything or p.dim() > 1]
        plain = [p for _, p in parameters if not settings.decay_everything and p.dim() <= 1]
        if decaying:
            groups.append({"params": decaying, "factor": factor, "weight_decay": settings.weight_decay})
        if plain:
            groups.append({"params": plain, "factor": factor, "weight_decay": 0.0})
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(settings.betas[0], settings.betas[1]))
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
