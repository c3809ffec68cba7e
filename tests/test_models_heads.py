"""Heads: the arithmetic of the paper's spatial head, pooling, and names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models import heads
from models.heads import PooledHead, SpatialHead


@pytest.mark.parametrize(("strides", "inputs"), [((1, 2), 2304), ((2, 2), 256)])
def test_the_spatial_head_flattens_a_7x7_map_to_2304_numbers_as_in_the_code_and_to_256_as_in_the_text(
    strides: tuple[int, int], inputs: int
) -> None:
    head = SpatialHead((2048, 7, 7), 8, strides=strides)
    assert head.fc.in_features == inputs
    assert head(torch.randn(2, 2048, 7, 7)).shape == (2, 8)


def test_the_convolutions_of_the_spatial_head_have_as_many_parameters_as_the_published_ones() -> None:
    head = SpatialHead((2048, 7, 7), 8)
    assert sum(p.numel() for block in (head.conv1, head.conv2) for p in block.parameters()) == 2_360_320


def test_the_spatial_head_equals_its_layers_written_out() -> None:
    head = SpatialHead((6, 5, 5), 3, hidden=4).eval()
    for block in (head.conv1, head.conv2):
        for statistics in block.bn.buffers():
            if statistics.is_floating_point():
                nn.init.uniform_(statistics, 0.5, 2)
    features = torch.randn(2, 6, 5, 5)
    expected = features
    for block, stride in ((head.conv1, 1), (head.conv2, 2)):
        expected = nn.functional.conv2d(expected, block.conv.weight, stride=stride)
        mean, variance = block.bn.running_mean, block.bn.running_var
        assert mean is not None
        assert variance is not None
        expected = ((expected - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()).clamp(min=0)
    expected = expected.reshape(2, -1) @ head.fc.weight.T
    assert torch.allclose(head(features), expected, atol=1e-5)


def test_the_spatial_head_takes_patch_tokens_as_the_map_they_are() -> None:
    head = SpatialHead((197, 12), 8, has_class_token=True, strides=(2, 2), hidden=4)
    assert head.fc.in_features == 4 * 3 * 3
    channels = torch.randn(2, 12, 14, 14)
    tokens = torch.cat([torch.randn(2, 1, 12), channels.flatten(2).transpose(1, 2)], dim=1)
    head.eval()
    expected = head.fc(head.conv2(head.conv1(channels)).flatten(1))
    # Memory lies otherwise in the map made of tokens, so another convolution kernel may round differently.
    torch.testing.assert_close(head(tokens), expected, atol=1e-6, rtol=0)


def test_the_spatial_head_refuses_tokens_that_fill_no_square_and_maps_that_are_too_small() -> None:
    with pytest.raises(ValueError, match="104 patch tokens do not fill a square grid"):
        heads.create("spatial", (105, 768), 8, has_class_token=True)
    with pytest.raises(ValueError, match="too small for two 2x2 convolutions"):
        heads.create("spatial", (512, 2, 2), 8)


def test_the_pooled_head_takes_the_mean_of_a_map_the_class_token_or_the_mean_of_tokens() -> None:
    head = PooledHead((4, 3, 3), 8)
    features = torch.randn(2, 4, 3, 3)
    assert torch.allclose(head(features), head.fc(features.flatten(2).mean(2)))
    tokens = torch.randn(2, 5, 4)
    with_token = PooledHead((5, 4), 8, has_class_token=True)
    assert torch.equal(with_token(tokens), with_token.fc(tokens[:, 0]))
    without = PooledHead((5, 4), 8)
    assert torch.allclose(without(tokens), without.fc(tokens.mean(1)))


@pytest.mark.parametrize("name", ["pooled", "spatial"])
def test_the_last_layer_starts_small_and_without_bias(name: str) -> None:
    torch.manual_seed(0)
    head = heads.create(name, (512, 7, 7), 8)
    assert isinstance(head, PooledHead | SpatialHead)
    assert abs(head.fc.weight.std().item() - 0.01) < 0.001
    assert not head.fc.bias.any()


def test_an_unknown_head_or_option_is_named() -> None:
    with pytest.raises(heads.UnknownHeadError, match="Did you mean 'spatial'"):
        heads.create("spacial", (512, 7, 7), 8)
    with pytest.raises(ValueError, match="hiden"):
        heads.create("spatial", (512, 7, 7), 8, hiden=3)
