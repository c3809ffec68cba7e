"""Binary cross-entropy of action units, with weights, focal or asymmetric, each unit on the samples that are labelled with it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def binary_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    active_weights: Tensor | None = None,
    active_focus: float = 0.0,
    inactive_focus: float = 0.0,
    margin: float = 0.0,
) -> Tensor:
    """The sum over the samples of the mean over the units of the binary cross-entropy of logits (B, K) with labels (B, K).

    Labels are 1, 0, or -1, which contributes nothing; a sample's mean is over all K units.

    Parameters
    ----------
    weights : (K,), by which each unit counts.
    active_weights : (K,), by which samples in which the unit is active count besides.
    active_focus, inactive_focus, margin : gamma+, gamma- and m of the asymmetric loss (Ridnik et al. 2021, Asymmetric Loss For
        Multi-Label Classification): active samples count (1 - p)^gamma+; of inactive ones p is lowered by m, at most to 0, where
        they contribute nothing, and they count what is left of p, to the power gamma-. Focuses are 0 or at least 1. With equal
        ones and no margin this is the focal loss.
    """
    probabilities = logits.sigmoid()
    active = F.softplus(-logits)
    if active_focus:
        active = active * (1 - probabilities) ** active_focus
    if active_weights is not None:
        active = active * active_weights
    lowered = (probabilities - margin).clamp(min=0)
    # Without a margin, in the form that keeps its digits where p is near 1.
    inactive = -(1 - lowered).log() if margin else F.softplus(logits)
    if inactive_focus:
        inactive = inactive * lowered**inactive_focus
    losses = (labels == 1) * active + (labels == 0) * inactive
    if weights is not None:
        losses = losses * weights
    return losses.sum() / logits.shape[1]
