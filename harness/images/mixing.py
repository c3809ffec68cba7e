"""Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019): a step's images, each with another of the step.

One share and one box are drawn for a step, as timm does by default; sample i of B meets sample B - 1 - i. So what is seen is a
function of (seed, step, sample), on however many processes the step is done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from harness.images.sampling import MIX, stream


@dataclass(frozen=True)
class Mix:
    """What a step mixes.

    Attributes
    ----------
    share : of an image itself in what is seen, 0..1; its partner has the rest, and so have their labels.
    box : first and last row, first and last column (the last exclusive) that are the partner's; None mixes every pixel.
    """

    share: float
    box: tuple[int, int, int, int] | None = None


def drawn_mix(seed: int, step: int, mixup: float, cutmix: float, side: int) -> Mix | None:
    """The mix of a step of images of `side` pixels; None where nothing is mixed.

    `mixup` and `cutmix` are the alpha of Beta(alpha, alpha) from which the share is drawn, 0 for neither; of both, each has every
    second step on average.
    """
    if not mixup and not cutmix:
        return None
    random = stream(seed, MIX, step)
    cuts = bool(cutmix) and (not mixup or random.random() < 0.5)
    alpha = cutmix if cuts else mixup
    share = float(random.beta(alpha, alpha))
    if not cuts:
        return Mix(share)
    return cut(share, int(random.integers(side)), int(random.integers(side)), side)


def cut(share: float, row: int, column: int, side: int) -> Mix:
    """The box about a pixel that leaves `share` of the image; where the border cuts it, the share is what is left in truth."""
    length = int(side * math.sqrt(1 - share))
    top, left = max(row - length // 2, 0), max(column - length // 2, 0)
    bottom, right = min(row + (length + 1) // 2, side), min(column + (length + 1) // 2, side)
    return Mix(1 - (bottom - top) * (right - left) / (side * side), (top, bottom, left, right))


def mixed(images: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """Images (B, 3, H, W) with their partners, alike in shape; `images` may be changed."""
    if mix.box is None:
        return images.mul_(mix.share).add_(partners, alpha=1 - mix.share)
    top, bottom, left, right = mix.box
    images[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return images
