"""Figures that show whether representations collapse to a point."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def feature_deviation(features: Tensor) -> Tensor:
    """Mean deviation over the batch of normalised features (B, D), times sqrt(D): 0 if all are one, about 1 if spread evenly.

    After Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, section 4.1.
    """
    normal = F.normalize(features.float(), dim=1)
    return normal.std(dim=0, correction=0).mean() * math.sqrt(features.shape[1])


@torch.no_grad()
def mean_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine of the angle between rows of (B, D) and rows of (B, D)."""
    return F.cosine_similarity(first.float(), second.float(), dim=1).mean()
