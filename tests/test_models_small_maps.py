"""Depthwise convolution of small maps: conv2d's answer and gradients, with the weight's summed tap by tap where a CPU is slow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import registry
from models.backbones import small_maps
from models.backbones.efficientnet_lite0 import SamePaddingConv2d
from models.backbones.small_maps import depthwise_conv2d, weight_gradient

# Map, kernel, stride, padding: those of Lite0's last blocks on faces of 48 and 112 pixels, and odd ones.
SMALL = [
    (2, 5, 1, 2),
    (3, 5, 1, 2),
    (4, 5, 1, 2),
    (2, 3, 1, 1),
    (7, 5, 2, 0),
    (11, 5, 2, 0),
    (1, 5, 1, 2),
    (5, 3, 3, 0),
    (4, 5, 2, 2),
]


def given(side: int, kernel: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Features of five images and six channels, and a weight."""
    generator = torch.Generator().manual_seed(side * 10 + kernel)
    features = torch.randn(5, 6, side, side + 1, dtype=dtype, generator=generator)
    return features.requires_grad_(), torch.randn(6, 1, kernel, kernel, dtype=dtype, generator=generator).requires_grad_()


@pytest.fixture
def summed(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of the inputs whose weight gradients were summed by taps, as they come."""
    seen: list[torch.Size] = []

    def spy(features: Tensor, *rest: object) -> Tensor:
        seen.append(features.shape)
        return weight_gradient(features, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(small_maps, "weight_gradient", spy)
    return seen


@pytest.mark.parametrize(("side", "kernel", "stride", "padding"), SMALL)
def test_answer_and_gradients_are_those_of_conv2d(
    side: int, kernel: int, stride: int, padding: int, summed: list[torch.Size]
) -> None:
    features, weight = given(side, kernel)
    plain_features, plain_weight = (tensor.detach().clone().requires_grad_() for tensor in (features, weight))
    answer = depthwise_conv2d(features, weight, stride, padding)
    plain = F.conv2d(plain_features, plain_weight, stride=stride, padding=padding, groups=6)
    asked = torch.randn(answer.shape, dtype=answer.dtype, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward([answer, plain], [asked, asked])
    assert summed == [features.shape]
    assert torch.equal(answer, plain)
    assert features.grad is not None
    assert plain_features.grad is not None
    assert torch.equal(features.grad, plain_features.grad)
    torch.testing.assert_close(weight.grad, plain_weight.grad, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_small_changes_of_the_weight() -> None:
    features, weight = given(3, 5)
    assert torch.autograd.gradcheck(lambda features, weight: depthwise_conv2d(features, weight, 1, 2), (features, weight))


def test_maps_as_large_as_the_kernel_are_left_to_torch(summed: list[torch.Size]) -> None:
    features, weight = given(5, 5)
    torch.autograd.backward(depthwise_conv2d(features, weight, 1, 2).sum())
    assert summed == []
    assert weight.grad is not None


def test_autocast_and_frozen_weights_are_left_to_torch(summed: list[torch.Size]) -> None:
    features, weight = given(2, 5, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        answer = depthwise_conv2d(features, weight, 1, 2)
    assert answer.dtype == torch.bfloat16
    torch.autograd.backward(answer.sum())
    weight.requires_grad_(False)
    torch.autograd.backward(depthwise_conv2d(features, weight, 1, 2).sum())
    assert summed == []


def test_lite0_sums_the_gradients_of_its_last_blocks_and_of_no_others(summed: list[torch.Size]) -> None:
    network = registry.create("lite0", image_size=48)
    convolutions = [module for module in network.modules() if isinstance(module, SamePaddingConv2d) and module.groups > 1]
    images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    network(images).square().mean().backward()
    # As gradients come, the last block first: its kernel is 3, that of the others 5. Of the first eight blocks no map is smaller
    # than its kernel.
    assert [tuple(shape[1:]) for shape in summed] == [
        (1152, 2, 2),
        *[(1152, 2, 2)] * 3,
        (672, 7, 7),
        *[(672, 3, 3)] * 2,
        (480, 3, 3),
    ]
    by_taps = [gradient_of(convolution) for convolution in convolutions]
    network.zero_grad()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_maps, "_is_slow", lambda *_: False)
        network(images).square().mean().backward()
    for ours, torchs in zip(by_taps, map(gradient_of, convolutions), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-3, atol=1e-6 * float(torchs.abs().max()) + 1e-8)


def gradient_of(module: nn.Conv2d) -> Tensor:
    assert module.weight.grad is not None
    return module.weight.grad.clone()
