"""Random local warps of faces: what changes an expression and nothing else (Xue et al., arXiv 2303.09034, abstract).

Around each of a few facial points the image is pushed in one direction, most at the point and less with the distance: as a
Gaussian, or as the thin-plate spline that holds the points that no muscle moves. The authors have published neither the family of
warps nor its numbers; a checkpoint's name (`m6_ldmk`) suggests six points at landmarks. All else is our reading.

Coordinates are x and y in 0..1 of the image's sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.ssl.fields import CHECK_SIDE, WarpField, offsets, squares, trace_and_determinant
from models.ssl.landmarks import MIRROR, MUSCLE_AXES, RIGID, TEMPLATE, TEMPLATE_SIDE
from models.ssl.thin_plate import thin_plate

FAMILIES = ("gaussian", "thin-plate")
DIRECTIONS = ("isotropic", "muscles")
JITTER = 2.0 / TEMPLATE_SIDE
"""Largest motion of a control point away from its landmark along each axis, 2 pixels of 112."""
MUSCLE_SPREAD = math.radians(30)
"""Largest angle between a displacement and the axis of its muscle."""
CHECK_SPACING = 0.36
"""Largest distance of two such points in widths of the narrowest Gaussian; it changes little in between."""
SMALLEST_RADIUS = 0.05
"""A narrower warp would move a handful of pixels at 112, and want a grid of more points than pixels to be checked."""


@dataclass(frozen=True)
class Warps(WarpField):
    """Gaussian warps: `centres` (B, M, 2), `shifts` (B, M, 2) and Gaussian `widths` (B, M), as shares of the side.

    Seen at point p is the image at p - sum_k exp(-|p - centre_k|^2 / (2 width_k^2)) shift_k.
    """

    centres: Tensor
    shifts: Tensor
    widths: Tensor
    check_side: int = CHECK_SIDE

    def displace(self, points: Tensor) -> Tensor:
        return points - self._weights(*offsets(points, self.centres)).mT @ self.shifts

    def jacobians(self, points: Tensor) -> tuple[Tensor, Tensor]:
        x, y = offsets(points, self.centres)
        weights = self._weights(x, y) / self.widths.unsqueeze(2) ** 2
        along_x, along_y = (weights * x).mT @ self.shifts, (weights * y).mT @ self.shifts  # (B, N, 2), columns of A
        return trace_and_determinant(along_x, along_y)

    def scaled(self, factors: Tensor) -> Warps:
        return replace(self, shifts=self.shifts * factors.view(-1, 1, 1))

    def _weights(self, x: Tensor, y: Tensor) -> Tensor:
        """Gaussian weights (B, M, N) at such offsets from the centres."""
        return squares(x, y).mul_(-0.5 / self.widths.unsqueeze(2) ** 2).exp_()


class LocalWarp(nn.Module):
    """Draws local warps at facial points as functions of uniform numbers.

    Parameters
    ----------
    points : control points per warp.
    magnitude : displacement as a share of the radius of its effect, at most 2.
    radius : smallest and largest radius as shares of the image's side, from SMALLEST_RADIUS on; the Gaussian's width is half of
        it.
    family : "gaussian", or "thin-plate", where the radius decides the displacement alone.
    directions : "isotropic", or "muscles" for displacements along the axes of facial muscles, on both sides of the face alike for
        half of the images.

    `uniforms` numbers are needed per image.
    """

    anchors: Tensor
    template: Tensor
    mirror: Tensor
    axes: Tensor

    def __init__(
        self,
        points: int = 6,
        magnitude: float = 1.0,
        radius: tuple[float, float] = (0.10, 0.20),
        directions: str = "muscles",
        family: str = "gaussian",
    ) -> None:
        super().__init__()
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")
        if directions not in DIRECTIONS:
            raise ValueError(f"unknown directions {directions!r}; known: {', '.join(DIRECTIONS)}")
        if not 1 <= points <= len(MUSCLE_AXES):
            raise ValueError(f"a warp has 1 to {len(MUSCLE_AXES)} points, not {points}")
        if not 0 <= magnitude <= 2:
            raise ValueError(f"a displacement of {magnitude} radii is not between 0 and 2")
        if not 0 < radius[0] <= radius[1]:
            raise ValueError(f"the radius {radius} is not a range of positive numbers")
        if radius[0] < SMALLEST_RADIUS:
            raise ValueError(f"a radius of {radius[0]} of the side is too small: at least {SMALLEST_RADIUS}")
        # The Gaussian's width is half of the radius.
        self.check_side = max(CHECK_SIDE, math.ceil(2 / (CHECK_SPACING * radius[0])))
        self.points = points
        self.magnitude = magnitude
        self.radius = radius
        self.directions = directions
        self.family = family
        self.uniforms = len(MUSCLE_AXES) + 5 * points + 1
        self.register_buffer("template", torch.tensor(TEMPLATE) / TEMPLATE_SIDE, persistent=False)
        self.register_buffer("anchors", torch.tensor(list(MUSCLE_AXES)), persistent=False)
        self.register_buffer("mirror", torch.tensor(MIRROR), persistent=False)
        axes = torch.zeros(len(TEMPLATE), 2)
        axes[list(MUSCLE_AXES)] = torch.tensor(list(MUSCLE_AXES.values()))
        self.register_buffer("axes", axes, persistent=False)

    @torch.no_grad()
    def draw(self, uniforms: Tensor, landmarks: Tensor | None = None) -> WarpField:
        """One warp per row of uniforms (B, self.uniforms), at landmarks (B, 68, 2) or at the template's.

        Points are drawn without repetition from those that muscles move, moved by up to JITTER, pushed by half to all of the
        magnitude, and checked: nothing folds over.
        """
        if landmarks is None:
            landmarks = self.template.expand(len(uniforms), -1, -1)
        if landmarks.shape[1:] != self.template.shape:
            raise ValueError(f"landmarks of shape {tuple(landmarks.shape[1:])} instead of {tuple(self.template.shape)} per image")
        if not bool(landmarks.isfinite().all()):
            raise ValueError("landmarks that are NaN or infinite cannot be warped at")
        keys, rest = uniforms[:, : len(self.anchors)], uniforms[:, len(self.anchors) :]
        chosen = self.anchors[keys.argsort(dim=1, stable=True)[:, : self.points]]  # (B, M)
        numbers = rest[:, : 5 * self.points].view(-1, self.points, 5)
        jitter = (2 * numbers[..., 0:2] - 1) * JITTER
        radius = self.radius[0] + (self.radius[1] - self.radius[0]) * numbers[..., 2]
        length = (0.5 + 0.5 * numbers[..., 3]) * self.magnitude * radius
        if self.directions == "isotropic":
            direction = _turned(torch.tensor([1.0, 0.0], device=uniforms.device), 2 * math.pi * numbers[..., 4])
        else:
            chosen, jitter, radius, length, direction = self._along_muscles(
                chosen, jitter, radius, length, numbers[..., 4], rest[:, -1]
            )
        centres = landmarks.gather(1, chosen.unsqueeze(2).expand(-1, -1, 2)) + jitter
        shifts = direction * length.unsqueeze(2)
        if self.family == "thin-plate":
            return thin_plate(centres, shifts, landmarks[:, list(RIGID)]).without_folds()
        return Warps(centres, shifts, radius / 2, self.check_side).without_folds()

    def _along_muscles(
        self, chosen: Tensor, jitter: Tensor, radius: Tensor, length: Tensor, angle: Tensor, symmetry: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Points and directions along muscles; where `symmetry` < 0.5 the second half of the points mirrors the first."""
        # One number decides both the way (its half) and the angle to the axis (its place in the half).
        way = torch.where(angle < 0.5, 1.0, -1.0)
        spread = (4 * (angle % 0.5) - 1) * MUSCLE_SPREAD
        direction = _turned(self.axes[chosen], spread) * way.unsqueeze(2)
        pairs = self.points // 2
        flip = torch.tensor([-1.0, 1.0], device=chosen.device)

        def mirrored(values: Tensor, copies: Tensor) -> Tensor:
            both = torch.cat([values[:, :pairs], copies, values[:, 2 * pairs :]], dim=1)
            return torch.where((symmetry < 0.5).view(-1, *[1] * (values.dim() - 1)), both, values)

        return (
            mirrored(chosen, self.mirror[chosen[:, :pairs]]),
            mirrored(jitter, jitter[:, :pairs] * flip),
            mirrored(radius, radius[:, :pairs]),
            mirrored(length, length[:, :pairs]),
            mirrored(direction, direction[:, :pairs] * flip),
        )


def _turned(vectors: Tensor, angles: Tensor) -> Tensor:
    """Vectors (…, 2) turned by angles (…) in radians."""
    cosine, sine = torch.cos(angles), torch.sin(angles)
    x, y = vectors[..., 0], vectors[..., 1]
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1)
