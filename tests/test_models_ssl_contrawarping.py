"""ContraWarping: its loss against loops, what it costs to be blind to warps, and that it is learned where warps can be seen."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import ssl
from models.ssl.base import Partners
from models.ssl.byol import regression_loss
from models.ssl.contrawarping import ContraWarping, contrast_versions
from models.ssl.fields import WarpField
from models.ssl.views import ViewSettings
from models.ssl.warp import LocalWarp, Warps
from tests.toy_faces import SmallNetwork, toy_faces

LN2 = math.log(2)
GENTLE = ViewSettings(
    crop_area=(0.8, 1.0), rotation=5.0, shift=0.04, hue=0.0, blur=(0.2, 0.1), blur_sigma=(0.1, 1.0), solarize=(0.0, 0.2)
)


def vectors(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(seed: int = 0, method: str = "contrawarping", **options: Any) -> Any:
    torch.manual_seed(seed)
    return ssl.create(method, SmallNetwork(), **{"hidden": 64, "embedding": 32, "momentum": 0.9, **options})


def views_of(method: Any, faces: Tensor, step: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(step)
    rows = torch.randint(0, len(faces), (32,), generator=generator)
    views: tuple[Tensor, ...] = method.make_views(faces[rows], torch.rand(32, method.uniforms, generator=generator))
    return views


def train(
    method: Any, faces: Tensor, steps: int, change: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]] = tuple
) -> list[dict[str, Tensor]]:
    """Trains along a cosine and returns each step's figures; `change` alters the views of a step."""
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    method.train()
    outputs = []
    for step in range(steps):
        output = method(*change(views_of(method, faces, step)))
        optimizer.zero_grad()
        output["loss"].backward()
        optimizer.step()
        schedule.step()
        method.after_step(step, steps)
        outputs.append({name: value.detach() for name, value in output.items()})
    return outputs


# The loss.


@pytest.mark.parametrize("versions", [2, 4])
def test_the_contrast_of_versions_equals_loops_over_images_queries_and_versions(versions: int) -> None:
    predictions, targets = vectors(5, versions, 6, seed=0), vectors(5, versions, 6, seed=1)
    losses, won = [0.0] * versions, 0
    for p, z in zip(predictions, targets, strict=True):
        for query in range(versions):
            cosines = [float(p[query] @ z[one] / (p[query].norm() * z[one].norm())) for one in range(versions)]
            shares = [math.exp(cosine / 0.3) for cosine in cosines]
            losses[query] -= math.log(shares[query] / sum(shares)) / 5
            won += cosines[query] == max(cosines)
    contrast = contrast_versions(predictions, targets, 0.3)
    assert contrast.losses.tolist() == pytest.approx(losses, abs=1e-5)
    assert float(contrast.won) == pytest.approx(won / (5 * versions))


def test_versions_that_are_equally_near_share_a_win() -> None:
    targets = vectors(5, 1, 6, seed=1).expand(5, 3, 6)
    assert float(contrast_versions(vectors(5, 3, 6, seed=0), targets, 0.2).won) == pytest.approx(1 / 3)


@pytest.mark.parametrize("warps", [1, 2])
def test_the_loss_is_byols_of_faces_as_they_are_plus_weight_times_the_contrast_both_ways(warps: int) -> None:
    method = make(weight=0.7, warps=warps)
    views = views_of(method, toy_faces(8, 0), 0)
    assert len(views) == 2 * (1 + warps)
    network = copy.deepcopy(method)
    with torch.no_grad():
        # Evaluation, so that an image's embedding does not depend on who else is in the pass.
        network.eval(), method.eval()
        predictions = [torch.stack([network.predictor(network.online(view)[1]) for view in views[way::2]], 1) for way in (0, 1)]
        targets = [torch.stack([network.target(view)[1] for view in views[way::2]], 1) for way in (0, 1)]
        expected = 0.0
        for way in (0, 1):
            p, z = predictions[way], targets[1 - way]
            expected += float(regression_loss(p[:, 0], z[:, 0]))
            expected += 0.7 * float(contrast_versions(p, z, 0.2).losses.mean())
        output = method(*views)
    assert float(output["loss"]) == pytest.approx(expected, abs=1e-4)
    assert set(output) >= {"warp_loss", "won", "positive_similarity", "warped_similarity", "feature_deviation"}
    nearest = [
        (predictions[way][row, query] @ targets[1 - way][row].T / targets[1 - way][row].norm(dim=1)).argmax() == query
        for way in (0, 1)
        for row in range(32)
        for query in range(1 + warps)
    ]
    assert float(output["won"]) == pytest.approx(sum(map(bool, nearest)) / len(nearest))


def test_with_weight_nothing_it_is_byol_bit_for_bit() -> None:
    warped, plain = make(weight=0.0), make(method="byol")
    assert warped.uniforms == plain.uniforms
    faces = toy_faces(16, 0)
    for ours, theirs in zip(train(warped, faces, 4), train(plain, faces, 4), strict=True):
        assert set(ours) == set(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    expected = plain.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in warped.state_dict().items())


# Views.


def test_all_versions_are_seen_under_the_same_two_draws_so_that_only_the_warp_differs() -> None:
    faces = toy_faces(8, 0)
    still = make(warp=LocalWarp(magnitude=0), warps=2)
    first, second, *versions = views_of(still, faces, 0)
    assert len(versions) == 4
    assert all(torch.equal(version, first) for version in versions[0::2])
    assert all(torch.equal(version, second) for version in versions[1::2])
    moving = make(warps=2)
    first, second, *versions = views_of(moving, faces, 0)
    assert all(float((version - view).abs().max()) > 0.1 for version, view in zip(versions, (first, second) * 2, strict=True))
    assert not torch.equal(versions[0], versions[2])


def test_both_views_of_a_version_show_the_same_warp() -> None:
    # Without any global transformation both views of a warped face are one picture.
    plain = ViewSettings((1, 1), 0, 0, (1, 1), 0, 0, grayscale=0, blur=(0, 0), solarize=(0, 0))
    first, second, warped_first, warped_second = views_of(make(views=plain), toy_faces(8, 0), 0)
    assert torch.equal(first, second)
    assert torch.equal(warped_first, warped_second)
    assert not torch.equal(first, warped_first)


@pytest.mark.parametrize("method", ["contrawarping", "byol", "simclr", "moco"])
def test_of_partners_view_two_shows_what_it_would_show_of_them_alone(method: str) -> None:
    made: Any = ssl.create(method, SmallNetwork(), hidden=64, embedding=32)
    faces, others = toy_faces(6, 0), toy_faces(6, 1)
    points, theirs = None, None
    if method == "contrawarping":
        points, theirs = made.warp.template + vectors(2, 6, 68, 2, seed=2) / 50
    uniforms = torch.rand(6, made.uniforms, generator=torch.Generator().manual_seed(3))
    paired = made.make_views(faces, uniforms, points, Partners(others, theirs))
    of_faces, of_others = made.make_views(faces, uniforms, points), made.make_views(others, uniforms, theirs)
    assert len(paired) == len(of_faces) >= 2
    assert all(torch.equal(view, alone) for view, alone in zip(paired[0::2], of_faces[0::2], strict=True))
    assert all(torch.equal(view, alone) for view, alone in zip(paired[1::2], of_others[1::2], strict=True))
    assert not torch.equal(paired[1], of_faces[1])


# What no information costs.


def test_at_the_start_each_direction_costs_the_logarithm_of_two() -> None:
    faces = toy_faces(64, 0)
    for seed in range(5):
        method = make(seed)
        views = views_of(method, faces, seed)
        # With random weights about, as predictions know nothing of the targets.
        with torch.no_grad():
            assert direction_losses(method, views) == pytest.approx([LN2] * 4, abs=0.1)
            # Exactly, as long as the predictor gives nothing.
            nn.init.zeros_(method.predictor[-1].weight)
            nn.init.zeros_(method.predictor[-1].bias)
            assert direction_losses(method, views) == pytest.approx([LN2] * 4, abs=1e-6)


def direction_losses(method: ContraWarping, views: tuple[Tensor, ...]) -> list[float]:
    """The four losses: as it is and warped, one way and the other."""
    _, predictions, targets = method._both_ways((torch.cat(views[0::2]), torch.cat(views[1::2])))
    first, second = (method._by_version(one) for one in predictions)
    to_first, to_second = (method._by_version(one) for one in targets)
    return [*contrast_versions(first, to_second, 0.2).losses.tolist(), *contrast_versions(second, to_first, 0.2).losses.tolist()]


@pytest.mark.parametrize("blind", ["both", "online", "target"])
def test_the_best_networks_that_are_blind_to_warps_do_not_get_below_a_coin(blind: str) -> None:
    # A network that is blind to warps is any function of face and draw alone: a table of free vectors for each of them, one table
    # for predictions and one for targets. Optimising the tables themselves is to have the best such networks there are.
    versions = {"both": (1, 1), "online": (1, 2), "target": (2, 1)}[blind]
    tables = [vectors(6, 2, count, 8, seed=count + 1).requires_grad_() for count in versions]
    optimizer = torch.optim.Adam(tables, lr=0.05)
    lowest = math.inf
    for _ in range(300):
        predictions, targets = (table.expand(6, 2, 2, 8) for table in tables)
        ways = [contrast_versions(predictions[:, way], targets[:, 1 - way], 0.2).losses.mean() for way in (0, 1)]
        optimizer.zero_grad()
        sum(ways).backward()  # type: ignore[union-attr]
        optimizer.step()
        lowest = min(lowest, *(float(way.detach()) for way in ways))
    assert lowest >= LN2 - 1e-5
    # The same search finds the way where the tables know of warps.
    tables = [vectors(6, 2, 2, 8, seed=seed).requires_grad_() for seed in (2, 3)]
    optimizer = torch.optim.Adam(tables, lr=0.05)
    for _ in range(100):
        loss = sum(contrast_versions(tables[0][:, way], tables[1][:, 1 - way], 0.2).losses.mean() for way in (0, 1))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
    assert float(loss.detach()) < 0.01  # type: ignore[union-attr]


class AcrossWarp(LocalWarp):
    """Moves points along x alone."""

    def draw(self, uniforms: Tensor, landmarks: Tensor | None = None) -> WarpField:
        warps = super().draw(uniforms, landmarks)
        assert isinstance(warps, Warps)
        return replace(warps, shifts=warps.shifts * torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("gives_away", [False, True])
def test_a_network_finds_any_cue_beside_the_warp_and_there_is_none(gives_away: bool) -> None:
    # Pictures of lines across do not change when they are warped along x: all that a network could learn from is elsewhere.
    generator = torch.Generator().manual_seed(0)
    lines = torch.rand(64, 3, 12, 1, generator=generator).repeat_interleave(4, dim=2).expand(64, 3, 48, 48).contiguous()
    method = make(warp=AcrossWarp(magnitude=1.0, radius=(0.2, 0.3)), weight=3.0)

    def brighter(views: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (*views[:2], *(view + gives_away for view in views[2:]))

    figures = train(method, lines, 40, brighter)
    lowest = min(float(step["warp_loss"]) for step in figures)
    if gives_away:
        assert lowest < 0.3
    else:
        assert lowest > LN2 - 1e-3
        assert all(float(step["warped_similarity"]) == pytest.approx(1, abs=1e-4) for step in figures)


def test_a_magnitude_of_nothing_gives_no_gradient_and_the_coins_loss() -> None:
    method = make(warp=LocalWarp(magnitude=0), weight=1.0)
    views = views_of(method, toy_faces(16, 0), 0)
    output = method(*views)
    assert float(output["warp_loss"]) == pytest.approx(LN2, abs=1e-6)
    assert float(output["won"]) == pytest.approx(0.5)
    output["loss"].backward()
    with_warps = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    control = make(warp=LocalWarp(magnitude=0), weight=1e-30)
    control(*views)["loss"].backward()
    for name, parameter in control.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(with_warps[name], parameter.grad, atol=1e-5, rtol=1e-3)


# Learning.


def test_gradients_reach_every_view_of_every_version() -> None:
    method = make(warps=2, weight=1.0).eval()
    views = [view.clone().requires_grad_() for view in views_of(method, toy_faces(8, 0), 0)]
    method(*views)["loss"].backward()
    assert len(views) == 6
    for view in views:
        assert view.grad is not None
        assert bool(view.grad.flatten(1).any(dim=1).all())


@pytest.mark.slow
def test_warps_that_can_be_seen_are_learned_and_told_on_other_faces() -> None:
    method = make(views=GENTLE, warp=LocalWarp(radius=(0.2, 0.35), directions="isotropic"))
    others = toy_faces(200, 1)
    views = method.make_views(others, torch.rand(200, method.uniforms, generator=torch.Generator().manual_seed(5)))

    def won() -> float:
        method.eval()
        with torch.no_grad():
            return float(method(*views)["won"])

    assert won() == pytest.approx(0.5, abs=0.02)
    train(method, toy_faces(512, 0), 200)
    assert won() >= 0.95
