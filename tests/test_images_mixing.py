"""Mixup, CutMix and RandAugment: what timm and torchvision do with the same draws, and draws that are functions of the sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.data.mixup import Mixup
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import RandAugment

from harness.images.mixing import Mix as Drawn
from harness.images.mixing import cut, drawn_mix, mixed
from harness.images.rand_augment import OPERATIONS, rand_augment

SIDE = 16


def faces(count: int = 6) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def by_timm(
    monkeypatch: pytest.MonkeyPatch, images: Tensor, share: float, row: int, column: int, cuts: bool
) -> tuple[Tensor, float]:
    """timm's images and share where its draws are these."""
    places = iter((row, column))
    monkeypatch.setattr(np.random, "beta", lambda a, b: share)
    monkeypatch.setattr(np.random, "randint", lambda *limits, size=None: next(places))
    theirs = Mixup(mixup_alpha=0.0 if cuts else 1.0, cutmix_alpha=1.0 if cuts else 0.0, label_smoothing=0.0, num_classes=2)  # type: ignore[no-untyped-call]
    seen, target = theirs(
        images.clone(), torch.zeros(len(images) // 2).repeat_interleave(2).index_fill(0, torch.tensor([0, 1, 2]), 1).long()
    )
    return seen, float(target[0, 1])


@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 0.999])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (7, 3), (15, 15)])
@pytest.mark.parametrize("cuts", [False, True])
def test_images_and_share_are_timms(monkeypatch: pytest.MonkeyPatch, share: float, row: int, column: int, cuts: bool) -> None:
    images = faces()
    expected, labels = by_timm(monkeypatch, images, share, row, column, cuts)
    drawn = cut(share, row, column, SIDE) if cuts else Drawn(share)
    assert torch.allclose(mixed(images.clone(), images.flip(0), drawn), expected, atol=1e-7)
    assert drawn.share == pytest.approx(labels, abs=1e-6)


def test_a_mix_is_a_function_of_seed_and_step() -> None:
    first = [drawn_mix(3, step, 0.8, 1.0, SIDE) for step in range(40)]
    assert first == [drawn_mix(3, step, 0.8, 1.0, SIDE) for step in range(40)]
    assert first != [drawn_mix(4, step, 0.8, 1.0, SIDE) for step in range(40)]
    kinds = [drawn is not None and drawn.box is not None for drawn in first]
    assert 8 < sum(kinds) < 32
    assert all(drawn is not None and drawn.box is None for drawn in (drawn_mix(3, step, 0.8, 0, SIDE) for step in range(9)))
    assert all(drawn is not None and drawn.box is not None for drawn in (drawn_mix(3, step, 0, 1.0, SIDE) for step in range(9)))
    assert drawn_mix(3, 0, 0, 0, SIDE) is None


def test_shares_follow_the_distribution_that_was_asked_for() -> None:
    shares = [drawn.share for drawn in (drawn_mix(0, step, 0.4, 0, SIDE) for step in range(2000)) if drawn is not None]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.1)


@pytest.mark.parametrize("strength", [0, 9, 30])
def test_every_operation_is_torchvisions(strength: int) -> None:
    images = (faces(1) * 255).byte()
    theirs = RandAugment()
    space = theirs._AUGMENTATION_SPACE
    order = [name for name, (_, signed) in space.items() if signed]
    order += ["Posterize", "Solarize", "AutoContrast", "Equalize", "Identity"]
    assert len(order) == len(OPERATIONS) == len(space)
    for index, name in enumerate(order):
        magnitudes_of, signed = space[name]
        magnitudes = magnitudes_of(31, SIDE, SIDE)
        for sign in (1, -1) if signed else (1,):
            magnitude = 0.0 if magnitudes is None else sign * float(magnitudes[strength])
            fill = {type(images): None}
            expected = theirs._apply_image_or_video_transform(images, name, magnitude, InterpolationMode.NEAREST, fill)
            numbers = torch.tensor([[[(index + 0.5) / len(order), 0.25 if sign < 0 else 0.75]]])
            assert torch.equal(rand_augment(images, numbers, strength), expected), (name, sign)


def test_what_happens_to_an_image_hangs_on_its_own_numbers_alone() -> None:
    images, numbers = (faces(24) * 255).byte(), torch.rand(24, 2, 2, generator=torch.Generator().manual_seed(1))
    together = rand_augment(images, numbers, 9)
    apart = torch.cat([rand_augment(images[row : row + 1], numbers[row : row + 1], 9) for row in range(24)])
    assert torch.equal(together, apart)
    assert not torch.equal(together, images)
