"""Cross-entropy in which a sample may be asked about some of the classes only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, labels: Tensor, known: Tensor | None, smoothing: float) -> Tensor:
    """The sum over the samples of the cross-entropy of logits float (B, C) with labels int64 (B,); -1 contributes nothing.

    `known` bool (B, C) says which classes a sample's data set can show. The others take no part: as if the network had no such
    outputs, their logits are neither pushed down nor up. `smoothing` is the share of the target that is spread evenly over the
    known classes (Szegedy et al. 2016, section 7). None stands for all of them.
    """
    if known is None:
        return F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=smoothing, reduction="sum")
    counted = labels >= 0
    losses = -F.log_softmax(logits.masked_fill(~known, -torch.inf), dim=1).masked_fill(~known, 0.0)
    own = losses.gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1)
    spread = losses.sum(dim=1) / known.sum(dim=1)
    return (((1 - smoothing) * own + smoothing * spread) * counted).sum()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """The sum over the samples of the cross-entropy, each times the weight (C,) of its label; -1 contributes nothing.

    Logits float (N, C), labels int64 (N,). `smoothing` as in `cross_entropy`.
    """
    losses = F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=smoothing, reduction="none")
    return (losses * weights[labels.clamp(min=0)] * (labels >= 0)).sum()
