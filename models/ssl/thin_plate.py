"""Thin-plate splines: the smoothest displacement of an image that moves some points and holds others (Bookstein, PAMI 1989)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.ssl.fields import CHECK_SIDE, WarpField, offsets, squares, trace_and_determinant

SMOOTHING = 5e-4
"""Added to the kernel's diagonal: points that nearly coincide and are pushed apart are met half-way."""
SURROUNDINGS = tuple((x, y) for x in (-0.25, 0.5, 1.25) for y in (-0.25, 0.5, 1.25) if (x, y) != (0.5, 0.5))
"""Points around the image that are held."""


@dataclass(frozen=True)
class ThinPlateWarps(WarpField):
    """Seen at point p is the image at p - (a + B p + sum_i w_i U(|p - c_i|)), with U(r) = r^2 log r.

    Attributes
    ----------
    centres : c, (B, N, 2). weights : w, (B, N, 2).
    affine : (B, 3, 2), a and then B's rows.
    moved : how many of the centres are moved, the first ones; the others are held.
    """

    centres: Tensor
    weights: Tensor
    affine: Tensor
    moved: int
    check_side: int = CHECK_SIDE

    def displace(self, points: Tensor) -> Tensor:
        affine = self.affine[:, :1] + points @ self.affine[:, 1:]
        return points - affine - _kernel(points, self.centres).mT @ self.weights

    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x, y = offsets(points, self.centres)
        slopes = squares(x, y).clamp_(min=1e-12).log_().add_(1)
        along_x, along_y = (-(slopes * axis).mT @ self.weights for axis in (x, y))  # (B, P, 2), columns of A
        return trace_and_determinant(along_x - self.affine[:, 1:2], along_y - self.affine[:, 2:3])

    def check_points(self) -> Tensor:
        # Between two moved points the spline is steepest half-way, and two may lie closer than the grid.
        first, second = torch.triu_indices(self.moved, self.moved, 1, device=self.centres.device)
        between = (self.centres[:, first] + self.centres[:, second]) / 2
        return torch.cat([super().check_points().expand(len(between), -1, -1), between], dim=1)

    def scaled(self, factors: Tensor) -> ThinPlateWarps:
        factors = factors.view(-1, 1, 1)
        return replace(self, weights=self.weights * factors, affine=self.affine * factors)


def thin_plate(moved: Tensor, shifts: Tensor, held: Tensor) -> ThinPlateWarps:
    """The spline that moves points (B, M, 2) by shifts (B, M, 2) and holds points (B, H, 2) and SURROUNDINGS."""
    batch = len(moved)
    around = torch.tensor(SURROUNDINGS, device=moved.device).expand(batch, -1, -1)
    centres = torch.cat([moved, held, around], dim=1)
    wanted = torch.cat([shifts, torch.zeros_like(held), torch.zeros_like(around)], dim=1)
    count = centres.shape[1]
    kernel = _kernel(centres, centres) + SMOOTHING * torch.eye(count, device=moved.device)
    plane = torch.cat([torch.ones(batch, count, 1, device=moved.device), centres], dim=2)
    corner = torch.zeros(batch, 3, 3, device=moved.device)
    system = torch.cat([torch.cat([kernel, plane], dim=2), torch.cat([plane.mT, corner], dim=2)], dim=1)
    solution = torch.linalg.solve(system, torch.cat([wanted, torch.zeros(batch, 3, 2, device=moved.device)], dim=1))
    return ThinPlateWarps(centres, solution[:, :count], solution[:, count:], moved.shape[1])


def _kernel(points: Tensor, centres: Tensor) -> Tensor:
    """U of the distances of points (B, P, 2) from centres (B, N, 2), r^2 log r, 0 at 0: (B, N, P)."""
    squared = squares(*offsets(points, centres))
    return squared.clamp(min=1e-12).log_().mul_(squared).mul_(0.5)
