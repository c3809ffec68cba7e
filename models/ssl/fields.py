"""What a warp of an image is: where each point comes from, and how it is kept from folding the image over itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor

SMALLEST_JACOBIAN = 0.1
"""A warp must keep this share of every small area; below 0 the image would fold over itself."""
CHECK_SIDE = 56
"""The Jacobian is looked at on a grid of this many points a side, more for narrow warps."""
HALVINGS = 6
"""How often a displacement may be halved; enough for six points of magnitude 2 in the same place."""


def offsets(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """How far points (B or 1, P, 2) are right of and below centres (B, N, 2), each (B, N, P).

    Apart and with the many points last, because that is how torch is fast: over a last axis of two or of few centres it is not.
    """
    x, y = (points[..., axis].unsqueeze(1) - centres[..., axis].unsqueeze(2) for axis in (0, 1))
    return x, y


def squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared lengths of offsets."""
    return (x * x).addcmul_(y, y)


def trace_and_determinant(along_x: Tensor, along_y: Tensor) -> tuple[Tensor, Tensor]:
    """Of matrices whose columns are vectors (B, P, 2): each (B, P)."""
    trace = along_x[..., 0] + along_y[..., 1]
    return trace, along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0]


class WarpField(ABC):
    """One warp per image of a batch. Coordinates are x and y in 0..1 of the image's sides.

    Attributes
    ----------
    centres : (B, N, 2), the points around which the image is pushed or held.
    check_side : number of points a side in which it is looked at for folds.
    """

    centres: Tensor
    check_side: int

    @abstractmethod
    def displace(self, points: Tensor) -> Tensor:
        """Where points (B, N, 2) of the warped image come from."""

    @abstractmethod
    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Trace and determinant, each (B, N), of A, where the warp's Jacobian at points (B, N, 2) is the unit matrix plus A."""

    @abstractmethod
    def scaled(self, factors: Tensor) -> Self:
        """The same warps with displacements times `factors` (B,)."""

    def smallest_jacobian(self) -> Tensor:
        """The smallest determinant of the Jacobian over the image, (B,): positive where nothing folds over."""
        trace, determinant = self.jacobians(self.check_points())
        return (1 + trace + determinant).amin(dim=1)

    def without_folds(self) -> Self:
        """The same warps, displacements halved until no Jacobian is below SMALLEST_JACOBIAN.

        Halving scales A, so one look at the image decides all scales: det(1 + aA) = 1 + a trace A + a^2 det A.
        """
        trace, determinant = self.jacobians(self.check_points())
        scales = 0.5 ** torch.arange(HALVINGS + 1, device=trace.device)
        worst = (1 + scales.view(-1, 1, 1) * trace + scales.view(-1, 1, 1) ** 2 * determinant).amin(dim=2)  # (scales, B)
        # The first scale that does; the last one if none did.
        good = worst >= SMALLEST_JACOBIAN
        good[-1] = True
        return self.scaled(scales[good.int().argmax(dim=0)])

    def check_points(self) -> Tensor:
        """Points (1 or B, N, 2) of the image in which it is looked at for folds: a grid, unless a field adds some."""
        steps = (torch.arange(self.check_side, device=self.centres.device) + 0.5) / self.check_side
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        return torch.stack([columns.flatten(), rows.flatten()], dim=1).unsqueeze(0)
