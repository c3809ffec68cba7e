"""Cross-entropy and its kin, in which a sample may be asked about some of the classes only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    known: Tensor | None = None,
    smoothing: float = 0.0,
    weights: Tensor | None = None,
    focus: float = 0.0,
    adjustment: Tensor | None = None,
) -> Tensor:
    """The sum over the samples of the cross-entropy of logits float (B, C) with labels int64 (B,); -1 contributes nothing.

    Parameters
    ----------
    known : bool (B, C), which classes a sample's data set can show. The others take no part: as if the network had no such
        outputs, their logits are neither pushed down nor up. None stands for all of them.
    smoothing : the share of the target that is spread evenly over the known classes (Szegedy et al. 2016, section 7).
    weights : (C,), by which a sample counts according to its label.
    focus : gamma of the focal loss, 0 or at least 1: a sample counts (1 - p)^gamma, for the probability p of its label
        (Lin et al. 2017, Focal Loss for Dense Object Detection).
    adjustment : (C,), added to the logits here and left out in prediction. With the logarithms of the class shares, times a
        factor, what is learned fits classes of equal frequency (Menon et al. 2021, Long-tail Learning via Logit Adjustment).
    """
    if adjustment is not None:
        logits = logits + adjustment
    if known is None and weights is None and not focus:
        return F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=smoothing, reduction="sum")
    losses = _of_samples(logits, labels, known, smoothing)
    own = labels.clamp(min=0)
    if weights is not None:
        losses = losses * weights[own]
    if focus:
        masked = logits if known is None else logits.masked_fill(~known, -torch.inf)
        losses = losses * (1 - F.softmax(masked, dim=1).gather(1, own.unsqueeze(1)).squeeze(1)) ** focus
    return (losses * (labels >= 0)).sum()


def _of_samples(logits: Tensor, labels: Tensor, known: Tensor | None, smoothing: float) -> Tensor:
    """The cross-entropy of each sample (B,); what stands where the label is -1 is finite and has no meaning."""
    if known is None:
        return F.cross_entropy(logits, labels, ignore_index=-1, label_smoothing=smoothing, reduction="none")
    losses = -F.log_softmax(logits.masked_fill(~known, -torch.inf), dim=1).masked_fill(~known, 0.0)
    own = losses.gather(1, labels.clamp(min=0).unsqueeze(1)).squeeze(1)
    spread = losses.sum(dim=1) / known.sum(dim=1)
    return (1 - smoothing) * own + smoothing * spread
