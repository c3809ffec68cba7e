"""One minus the concordance correlation coefficient of a batch, and its mixture with the mean squared error, from sums.

The CCC of a batch is no mean over its samples: it has to know all of them. So a batch that is spread over processes is reduced to
its sums, these are pooled, and the loss is a function of the pool (harness.training.losses.pool).
"""

from __future__ import annotations

import torch
from torch import Tensor

# Batches whose values and labels hardly differ have no concordance to speak of.
SMALLEST_DENOMINATOR = 1e-12


def moment_sums(values: Tensor, labels: Tensor, ignore: float) -> Tensor:
    """n, Σy, Σx, Σy², Σx², Σyx float64 (6,) of values x (B,) and labels y (B,) that are not `ignore`.

    float64, because the variance is a small difference of sums.
    """
    labelled = labels != ignore
    y = torch.where(labelled, labels, 0.0).double()
    x = torch.where(labelled, values, 0.0).double()
    return torch.stack([labelled.sum().double(), y.sum(), x.sum(), (y * y).sum(), (x * x).sum(), (y * x).sum()])


def concordance_loss(sums: Tensor, squared_error: float = 0.0) -> Tensor:
    """1 - CCC of sums (6,), of which a share `squared_error` in 0..1 is the mean squared error instead; 0 without any label.

    CCC with population moments, written with the covariance (Lin 1989), so that equal values have the CCC 0 and a gradient that
    draws them apart.
    """
    count = sums[0].clamp(min=1)
    label_mean, mean, label_square, square, product = (sums[1:] / count).unbind()
    covariance = product - label_mean * mean
    spread = (label_square - label_mean**2) + (square - mean**2) + (label_mean - mean) ** 2
    concordance = 2 * covariance / spread.clamp(min=SMALLEST_DENOMINATOR)
    error = label_square + square - 2 * product
    return ((1 - squared_error) * (1 - concordance) + squared_error * error) * (sums[0] > 0)
