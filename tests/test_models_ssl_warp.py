"""Local warps: no fold-over, points and directions as promised, each a function of its own numbers."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator
from torch import Tensor

from models.ssl.fields import SMALLEST_JACOBIAN, WarpField
from models.ssl.landmarks import MIRROR, MUSCLE_AXES, RIGID, TEMPLATE, TEMPLATE_SIDE
from models.ssl.thin_plate import SMOOTHING, SURROUNDINGS, ThinPlateWarps, thin_plate
from models.ssl.views import ViewSettings, make_view
from models.ssl.warp import DIRECTIONS, FAMILIES, JITTER, SMALLEST_RADIUS, LocalWarp, Warps

UNTOUCHED = ViewSettings((1, 1), 0, 0, (1, 1), 0, 0, grayscale=0, blur=(0, 0), solarize=(0, 0))


def numbers(count: int, warp: LocalWarp, seed: int = 0) -> Tensor:
    return torch.rand(count, warp.uniforms, generator=torch.Generator().manual_seed(seed))


def draw(warp: LocalWarp, uniforms: Tensor, landmarks: Tensor | None = None) -> Warps:
    """Gaussian warps."""
    warps = warp.draw(uniforms, landmarks)
    assert isinstance(warps, Warps)
    return warps


def grid(side: int) -> Tensor:
    steps = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=2).reshape(1, side * side, 2)


def exactly(warps: WarpField) -> WarpField:
    """The same in float64."""
    assert isinstance(warps, Warps | ThinPlateWarps)
    values = {entry.name: getattr(warps, entry.name) for entry in fields(warps)}
    doubled: dict[str, Any] = {name: value.double() for name, value in values.items() if isinstance(value, Tensor)}
    return replace(warps, **doubled)


def finite_difference_jacobian(warps: WarpField, side: int = 80, step: float = 1e-5) -> Tensor:
    """The smallest determinant (B,), from differences of where neighbouring points come from."""
    exact = exactly(warps)
    points = grid(side).expand(len(warps.centres), -1, -1)
    right, down = torch.tensor([step, 0.0], dtype=torch.float64), torch.tensor([0.0, step], dtype=torch.float64)
    along_x = (exact.displace(points + right) - exact.displace(points - right)) / (2 * step)
    along_y = (exact.displace(points + down) - exact.displace(points - down)) / (2 * step)
    return (along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0]).amin(dim=1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("magnitude", [0.3, 0.5, 1.0, 2.0])
def test_no_warp_folds_over_whatever_its_magnitude(magnitude: float, directions: str, family: str) -> None:
    warp = LocalWarp(magnitude=magnitude, directions=directions, family=family)
    warps = warp.draw(numbers(64 if family == "gaussian" else 16, warp))
    assert (warps.smallest_jacobian() >= SMALLEST_JACOBIAN - 1e-5).all()
    assert (finite_difference_jacobian(warps) > 0.05).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 2), st.sampled_from(DIRECTIONS), st.integers(1, 12), st.sampled_from(FAMILIES))
def test_no_warp_folds_over_for_any_numbers(seed: int, magnitude: float, directions: str, points: int, family: str) -> None:
    warp = LocalWarp(points, magnitude, directions=directions, family=family)
    assert (finite_difference_jacobian(warp.draw(numbers(4, warp, seed)), side=60) > 0).all()


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_no_narrow_warp_folds_over_between_the_points_that_are_checked(directions: str) -> None:
    warp = LocalWarp(6, 2, (SMALLEST_RADIUS, SMALLEST_RADIUS), directions)
    assert (finite_difference_jacobian(draw(warp, numbers(16, warp)), side=400) > 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_smallest_jacobian_equals_that_of_differences(family: str) -> None:
    # One point, so that there is no place between two that is looked at besides the grid.
    warp = LocalWarp(points=1 if family == "thin-plate" else 6, family=family, magnitude=0.3, directions="isotropic")
    warps = warp.draw(numbers(16, warp))
    assert torch.allclose(warps.smallest_jacobian().double(), finite_difference_jacobian(warps, side=56), atol=1e-4)


def test_a_fold_is_taken_out_by_halving_and_other_warps_stay_as_they_are() -> None:
    centres = torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]]])
    # Two Gaussians of width 0.1: one pushes by half its width, the other by five widths and folds.
    warps = Warps(centres, torch.tensor([[[0.05, 0.0]], [[0.5, 0.0]]]), torch.full((2, 1), 0.1))
    assert (warps.smallest_jacobian() > 0).tolist() == [True, False]
    safe = warps.without_folds()
    assert torch.equal(safe.shifts[0], warps.shifts[0])
    # The steepest slope of a Gaussian is exp(-1/2) / width, so 0.125 still passes (1 - 0.758) and 0.25 does not.
    assert safe.shifts[1].tolist() == [[0.125, 0.0]]


def test_displacement_equals_a_loop_over_points_and_centres() -> None:
    warp = LocalWarp(points=4, magnitude=0.3, directions="isotropic")
    warps = draw(warp, numbers(2, warp))
    points = torch.rand(2, 5, 2, generator=torch.Generator().manual_seed(1))
    for image in range(2):
        for index in range(5):
            point = points[image, index].clone()
            for k in range(4):
                distance = (points[image, index] - warps.centres[image, k]).square().sum()
                point -= math.exp(-float(distance) / (2 * float(warps.widths[image, k]) ** 2)) * warps.shifts[image, k]
            assert torch.allclose(warps.displace(points)[image, index], point, atol=1e-6)


def test_a_thin_plate_spline_is_scipys() -> None:
    generator = torch.Generator().manual_seed(0)
    moved, held = torch.rand(3, 5, 2, generator=generator), torch.rand(3, 4, 2, generator=generator)
    shifts = 0.05 * torch.randn(3, 5, 2, generator=generator)
    points = torch.rand(3, 40, 2, generator=generator)
    found = thin_plate(moved, shifts, held).displace(points)
    for image in range(3):
        centres = np.concatenate([moved[image], held[image], np.array(SURROUNDINGS)])
        wanted = np.concatenate([shifts[image], np.zeros((4 + len(SURROUNDINGS), 2))])
        spline = RBFInterpolator(centres, wanted, kernel="thin_plate_spline", smoothing=SMOOTHING)
        np.testing.assert_allclose(found[image].numpy(), points[image].numpy() - spline(points[image].numpy()), atol=2e-5)


def test_a_thin_plate_spline_moves_its_points_and_holds_the_rigid_ones() -> None:
    warp = LocalWarp(points=2, magnitude=0.3, family="thin-plate", directions="isotropic")
    uniforms = numbers(32, warp)
    gaussian = draw(LocalWarp(points=2, magnitude=0.3, directions="isotropic"), uniforms)
    warps = warp.draw(uniforms)
    # Far from each other, so that neither draws the other along.
    apart = (gaussian.centres[:, 0] - gaussian.centres[:, 1]).norm(dim=1) > 0.3
    assert apart.sum() > 5
    moved = gaussian.centres - warps.displace(gaussian.centres)
    assert torch.allclose(moved[apart], gaussian.shifts[apart], atol=4e-3)
    assert float((moved * gaussian.shifts)[apart].sum() / gaussian.shifts[apart].square().sum()) > 0.85
    rigid = (torch.tensor(TEMPLATE) / TEMPLATE_SIDE)[list(RIGID)].expand(32, -1, -1)
    assert float((warps.displace(rigid) - rigid).abs().max()) < 3e-3
    assert float((warps.displace(grid(20).float().expand(32, -1, -1)) - grid(20)).abs().amax(dim=(1, 2)).min()) > 0.005


def test_points_that_coincide_and_are_pushed_apart_are_met_half_way() -> None:
    moved = torch.full((1, 2, 2), 0.5)
    warps = thin_plate(moved, torch.tensor([[[0.02, 0.0], [-0.02, 0.0]]]), torch.zeros(1, 0, 2))
    assert bool(warps.displace(grid(20).float()).isfinite().all())
    assert torch.allclose(warps.displace(moved), moved, atol=1e-4)


def test_what_lies_at_a_centre_is_seen_moved_by_its_shift() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 30:34, 30:34] = 1
    warps = Warps(torch.full((1, 1, 2), 0.5), torch.tensor([[[6 / 64, -4 / 64]]]), torch.full((1, 1), 0.15))
    view = make_view(image, torch.zeros(1, 17), UNTOUCHED, 64, (0, 0, 0), (1, 1, 1), first=True, displacement=warps.displace)
    weights = view[0, 0] / view[0, 0].sum()
    rows, columns = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    # A pixel shows what lay back by the push at its own place: x + g(x) * 6 = 32 + 6 for the middle of what was there.
    column, row = 32.0, 32.0
    for _ in range(100):
        push = math.exp(-((column - 32) ** 2 + (row - 32) ** 2) / (2 * (0.15 * 64) ** 2))
        column, row = 32 + 6 * push, 32 - 4 * push
    assert float((weights * columns).sum()) == pytest.approx(column, abs=0.2)
    assert float((weights * rows).sum()) == pytest.approx(row, abs=0.2)


def test_a_warp_is_a_function_of_its_own_numbers_and_not_of_the_batch() -> None:
    for directions in DIRECTIONS:
        warp = LocalWarp(directions=directions)
        uniforms = numbers(9, warp)
        together, alone = draw(warp, uniforms), draw(warp, uniforms[4:5])
        again = draw(warp, uniforms)
        for name in ("centres", "shifts", "widths"):
            assert torch.equal(getattr(together, name)[4:5], getattr(alone, name))
            assert torch.equal(getattr(together, name), getattr(again, name))


def test_isotropic_warps_have_distinct_points_and_the_promised_lengths_and_radii() -> None:
    warp = LocalWarp(points=6, magnitude=0.3, radius=(0.10, 0.20), directions="isotropic")
    warps = draw(warp, numbers(400, warp))
    radius = 2 * warps.widths
    assert (radius >= 0.10).all()
    assert (radius <= 0.20).all()
    lengths = warps.shifts.norm(dim=2) / (0.3 * radius)
    # Fewer than one warp in twenty needs halving at this magnitude; the others are pushed by half to all of it.
    halved = lengths.amin(dim=1) < 0.5 - 1e-4
    assert halved.float().mean() < 0.05
    assert (lengths <= 1 + 1e-4).all()
    template = torch.tensor(TEMPLATE)[list(MUSCLE_AXES)] / TEMPLATE_SIDE
    nearest = (warps.centres.unsqueeze(2) - template).abs().amax(dim=3)
    assert (nearest.amin(dim=2) <= JITTER + 1e-6).all()
    # Directions all round: their mean is nearly nothing.
    unit = warps.shifts / warps.shifts.norm(dim=2, keepdim=True)
    assert unit.mean(dim=(0, 1)).norm() < 0.05


def test_points_are_drawn_without_repetition() -> None:
    warp = LocalWarp(points=len(MUSCLE_AXES), magnitude=0.3, directions="isotropic")
    uniforms = numbers(3, warp)
    uniforms[:, len(MUSCLE_AXES) :] = 0.5  # no jitter
    centres = draw(warp, uniforms).centres
    template = (torch.tensor(TEMPLATE)[list(MUSCLE_AXES)] / TEMPLATE_SIDE).expand(3, -1, -1)
    assert torch.allclose(centres.sort(dim=1).values, template.sort(dim=1).values, atol=1e-6)


def test_muscle_directions_stay_near_their_axes_and_half_of_the_faces_move_symmetrically() -> None:
    warp = LocalWarp(points=6, directions="muscles")
    uniforms = numbers(400, warp)
    uniforms[:, len(MUSCLE_AXES) : -1] = numbers(400, warp, 1)[:, len(MUSCLE_AXES) : -1]
    warps = draw(warp, uniforms)
    template = torch.tensor(TEMPLATE)[list(MUSCLE_AXES)] / TEMPLATE_SIDE
    axes = torch.tensor(list(MUSCLE_AXES.values()))
    unit = warps.shifts / warps.shifts.norm(dim=2, keepdim=True)
    reachable = (warps.centres.unsqueeze(2) - template).abs().amax(dim=3) <= JITTER + 1e-6
    aligned = (unit @ axes.T).abs() >= math.cos(math.radians(30)) - 1e-4
    assert (reachable & aligned).any(dim=2).all()

    symmetric = uniforms[:, -1] < 0.5
    assert 150 < int(symmetric.sum()) < 250
    flip = torch.tensor([-1.0, 1.0])
    first, second = warps.shifts[:, :3], warps.shifts[:, 3:]
    assert torch.allclose(second[symmetric], first[symmetric] * flip, atol=1e-6)
    middle = torch.tensor([1.0, 0.0])
    mirrored = middle + warps.centres[:, :3] * flip
    assert torch.allclose(warps.centres[:, 3:][symmetric], mirrored[symmetric], atol=1e-6)
    assert not torch.allclose(second[~symmetric], first[~symmetric] * flip, atol=1e-3)


def test_points_come_from_given_landmarks() -> None:
    warp = LocalWarp()
    landmarks = torch.full((2, 68, 2), 0.25)
    assert (draw(warp, numbers(2, warp), landmarks).centres - 0.25).abs().max() <= JITTER + 1e-6
    with pytest.raises(ValueError, match=r"\(5, 2\) instead of \(68, 2\)"):
        draw(warp, numbers(2, warp), torch.rand(2, 5, 2))
    landmarks[1, 3, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        draw(warp, numbers(2, warp), landmarks)


@pytest.mark.parametrize("family", FAMILIES)
def test_magnitude_nothing_is_no_warp(family: str) -> None:
    warp = LocalWarp(magnitude=0, family=family, directions="isotropic")
    points = grid(8).float()
    assert torch.equal(warp.draw(numbers(1, warp)).displace(points), points)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": "facs"}, "known: isotropic, muscles"),
        ({"family": "spline"}, "known: gaussian, thin-plate"),
        ({"points": 0}, "has 1 to 47 points"),
        ({"magnitude": 3}, "not between 0 and 2"),
        ({"radius": (0.2, 0.1)}, "not a range"),
        ({"radius": (0.01, 0.01)}, "too small: at least 0.05"),
    ],
)
def test_impossible_warps_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalWarp(**options)  # type: ignore[arg-type]


def test_the_template_is_symmetric_and_muscles_have_partners() -> None:
    template = torch.tensor(TEMPLATE)
    mirror = torch.tensor(MIRROR)
    assert torch.equal(mirror[mirror], torch.arange(68))
    assert torch.allclose(template[mirror] * torch.tensor([-1.0, 1.0]) + torch.tensor([112.0, 0.0]), template, atol=0.11)
    for point, (x, y) in MUSCLE_AXES.items():
        assert math.hypot(x, y) == pytest.approx(1)
        other = MUSCLE_AXES[MIRROR[point]]
        assert abs(other[0] * -x + other[1] * y) == pytest.approx(1)
