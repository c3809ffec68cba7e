"""The loss of a challenge: one for each of its parts, weighed against each other by fixed or by learned weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from harness.kinds.classes import ClassPart
from harness.kinds.part import Part
from harness.kinds.parts import Parts
from harness.kinds.reals import RealPart
from harness.kinds.units import UnitPart
from harness.training.losses.classes import cross_entropy
from harness.training.losses.pool import Pool, alone
from harness.training.losses.reals import concordance_loss, moment_sums
from harness.training.losses.units import binary_cross_entropy

Mean = Callable[[Tensor], Tensor]
"""From a sum over the samples of a share to the mean that its process contributes, such as a division by their number."""


@dataclass(frozen=True)
class ClassOptions:
    """The options of `cross_entropy`; empty tuples stand for none."""

    smoothing: float = 0.0
    weights: tuple[float, ...] = ()
    focus: float = 0.0
    adjustment: tuple[float, ...] = ()


@dataclass(frozen=True)
class UnitOptions:
    """The options of `binary_cross_entropy`; empty tuples stand for none."""

    weights: tuple[float, ...] = ()
    active_weights: tuple[float, ...] = ()
    active_focus: float = 0.0
    inactive_focus: float = 0.0
    margin: float = 0.0


@dataclass(frozen=True)
class RealOptions:
    """The share of the mean squared error in the loss of a value, in 0..1; the rest is 1 - CCC."""

    squared_error: float = 0.0


@dataclass(frozen=True)
class LossOptions:
    """How a challenge is trained.

    Attributes
    ----------
    classes, units, reals : options of the parts of each kind.
    weights : one for each part, by which it counts; empty for equal ones.
    learned : whether the weights are learned besides (uncertainty weighting).
    """

    classes: ClassOptions = field(default_factory=ClassOptions)
    units: UnitOptions = field(default_factory=UnitOptions)
    reals: RealOptions = field(default_factory=RealOptions)
    weights: tuple[float, ...] = ()
    learned: bool = False


class PartsLoss(nn.Module):
    """The loss of a batch of a challenge.

    Uncertainty weighting (Kendall, Gal and Cipolla 2018, Multi-Task Learning Using Uncertainty to Weigh Losses, equation 10)
    gives each part a variance: its loss L counts L / v + log(v) / 2, which is smallest at v = 2 L. What is learned is log v, from
    0 on. The paper's factor of one half for values is left to the fixed weights. As log v is trained like the parameters of the
    network, this module has to be part of the one that distributed training wraps.

    Raises ValueError if there are weights, but not one for each part.
    """

    def __init__(self, parts: Parts, options: LossOptions) -> None:
        super().__init__()
        self.parts = parts
        count = len(parts.placed)
        if options.weights and len(options.weights) != count:
            raise ValueError(f"{parts.challenge.name} has {count} parts, but there are {len(options.weights)} weights")
        self.losses = nn.ModuleList(_LOSSES[type(own.part)](own.part, options) for own in parts.placed)
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(options.weights or (1.0,) * count), persistent=False)
        self.log_variances = nn.Parameter(torch.zeros(count)) if options.learned else None

    def of_parts(
        self, outputs: Tensor, labels: Tensor, mean: Mean | Sequence[Mean], pool: Pool = alone, known: Tensor | None = None
    ) -> Tensor:
        """The loss (parts,) of each part, unweighted.

        Parameters
        ----------
        outputs : float (B, columns), the network's.
        labels : (B, fields); a field's `ignore` contributes nothing to its part, and a part without any label has the loss 0.
        mean : what makes a sum over the samples a mean, for classes and units; one for all parts, or one for each.
        pool : what adds sums of all processes, for values.
        known : bool (B, columns), which columns a sample's data set can show; None for all.
        """
        means = [mean] * len(self.losses) if callable(mean) else mean
        found = []
        for own, loss, of_part in zip(self.parts.placed, self.losses, means, strict=True):
            shown = None if known is None else known[:, own.columns]
            found.append(loss(outputs[:, own.columns], labels[:, own.fields], of_part, pool, shown))
        return torch.stack([one.to(outputs.dtype) for one in found])

    def forward(
        self, outputs: Tensor, labels: Tensor, mean: Mean | Sequence[Mean], pool: Pool = alone, known: Tensor | None = None
    ) -> Tensor:
        """The weighted sum of the parts' losses; see `of_parts`."""
        losses = self.weights * self.of_parts(outputs, labels, mean, pool, known)
        if self.log_variances is None:
            return losses.sum()
        return (losses * torch.exp(-self.log_variances) + 0.5 * self.log_variances).sum()


class _ClassLoss(nn.Module):
    def __init__(self, part: Part, options: LossOptions) -> None:
        super().__init__()
        self.options = options.classes
        self.weights, self.adjustment = _Numbers(self.options.weights), _Numbers(self.options.adjustment)

    def forward(self, outputs: Tensor, labels: Tensor, mean: Mean, pool: Pool, known: Tensor | None) -> Tensor:
        smoothing, focus = self.options.smoothing, self.options.focus
        numbers = labels[:, 0].long()
        return mean(cross_entropy(outputs, numbers, known, smoothing, self.weights(), focus, self.adjustment()))


class _UnitLoss(nn.Module):
    def __init__(self, part: Part, options: LossOptions) -> None:
        super().__init__()
        self.options = options.units
        self.weights, self.active_weights = _Numbers(self.options.weights), _Numbers(self.options.active_weights)

    def forward(self, outputs: Tensor, labels: Tensor, mean: Mean, pool: Pool, known: Tensor | None) -> Tensor:
        one = self.options
        focus = (one.active_focus, one.inactive_focus, one.margin)
        return mean(binary_cross_entropy(outputs, labels, self.weights(), self.active_weights(), *focus))


class _RealLoss(nn.Module):
    def __init__(self, part: Part, options: LossOptions) -> None:
        super().__init__()
        self.options = options.reals
        (self.field,) = part.fields

    def forward(self, outputs: Tensor, labels: Tensor, mean: Mean, pool: Pool, known: Tensor | None) -> Tensor:
        middle, half = 0.5 * (self.field.high + self.field.low), 0.5 * (self.field.high - self.field.low)
        values = middle + half * torch.tanh(outputs[:, 0].double())
        return concordance_loss(pool(moment_sums(values, labels[:, 0], self.field.ignore)), self.options.squared_error)


class _Numbers(nn.Module):
    """Numbers that move with the module and are no part of its state; None where there are none."""

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__()
        self.values: Tensor | None
        self.register_buffer("values", torch.tensor(values) if values else None, persistent=False)

    def forward(self) -> Tensor | None:
        return self.values


_LOSSES: Mapping[type, Callable[[Part, LossOptions], nn.Module]] = {
    ClassPart: _ClassLoss,
    UnitPart: _UnitLoss,
    RealPart: _RealLoss,
}
