"""The learning rate of a step."""

from __future__ import annotations

import math


def learning_rate(step: int, *, iterations: int, highest: float, lowest: float, warmup: int, warmup_from: float) -> float:
    """Cosine from `highest` to `lowest` over `iterations`, times a linear warm-up from `warmup_from` in the first `warmup` steps.

    `step` counts from 0. As in the published configuration: lr = lowest + (highest - lowest) (1 + cos(pi step / iterations)) / 2,
    multiplied by 1 - (1 - step / warmup) (1 - warmup_from) while step < warmup.
    """
    rate = lowest + 0.5 * (highest - lowest) * (1 + math.cos(math.pi * step / iterations))
    if step < warmup:
        rate *= 1 - (1 - step / warmup) * (1 - warmup_from)
    return rate
