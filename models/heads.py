"""From a backbone's features to logits: pooled, or the paper's spatial head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models import plugins
from models.backbones.base import patch_map, pool
from models.names import UnknownNameError


def _linear(inputs: int, classes: int) -> nn.Linear:
    """The last layer as mmcls starts it: weights normal with deviation 0.01, bias 0."""
    layer = nn.Linear(inputs, classes)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class PooledHead(nn.Module):
    """Pooling of a map (B, C, h, w), or the class token or mean of tokens (B, N, C), and a linear layer: logits (B, classes)."""

    def __init__(self, feature_shape: Sequence[int], classes: int, *, has_class_token: bool = False) -> None:
        super().__init__()
        self.has_class_token = has_class_token
        self.fc = _linear(feature_shape[0] if len(feature_shape) == 3 else feature_shape[1], classes)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(pool(features, self.has_class_token))
        return logits


class ConvolutionBlock(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(features)))


class SpatialHead(nn.Module):
    """The paper's head (Xue et al. 2023, section 3): two 2x2 convolutions to `hidden` channels, flattened, and a linear layer.

    It keeps where in the face a feature lies. Tokens of a whole patch grid are taken as a map.

    Parameters
    ----------
    feature_shape : (C, h, w) or (N, C) of one image's features.
    strides : of the two convolutions. (1, 2) as in the published code takes 2048x7x7 to 256x3x3 = 2304 numbers; (2, 2), as the
        text of the paper says, takes it to 256.
    hidden : channels of both convolutions.
    """

    def __init__(
        self,
        feature_shape: Sequence[int],
        classes: int,
        *,
        strides: tuple[int, int] = (1, 2),
        hidden: int = 256,
        has_class_token: bool = False,
    ) -> None:
        super().__init__()
        self.has_class_token = has_class_token
        channels, height, width = self._map(torch.empty(1, *feature_shape, device="meta")).shape[1:]
        for stride in strides:
            height, width = (height - 2) // stride + 1, (width - 2) // stride + 1
        if height < 1 or width < 1:
            raise ValueError(
                f"features of shape {tuple(feature_shape)} are too small for two 2x2 convolutions of strides {strides}"
            )
        self.conv1 = ConvolutionBlock(channels, hidden, 2, strides[0])
        self.conv2 = ConvolutionBlock(hidden, hidden, 2, strides[1])
        self.fc = _linear(hidden * height * width, classes)

    def _map(self, features: Tensor) -> Tensor:
        return features if features.dim() == 4 else patch_map(features, self.has_class_token)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv2(self.conv1(self._map(features))).flatten(1))
        return logits


HEADS: dict[str, type[nn.Module]] = {"pooled": PooledHead, "spatial": SpatialHead}


class UnknownHeadError(UnknownNameError):
    """No head has this name."""

    def __init__(self, name: str) -> None:
        super().__init__("head", name, HEADS)


def names() -> tuple[str, ...]:
    """The names of the heads."""
    return tuple(HEADS)


def create(name: str, feature_shape: Sequence[int], classes: int, **options: Any) -> nn.Module:
    """A head for features of shape (C, h, w) or (N, C) per image, with random weights from torch's global generator.

    Code of one's own takes no options. Raises plugins.PluginError for code that cannot be used, UnknownHeadError, and ValueError
    if the features do not suit the head or it has no such option.
    """
    if plugins.is_plugin(name):
        return plugins.head(name, tuple(feature_shape), classes)
    if name not in HEADS:
        raise UnknownHeadError(name)
    try:
        return HEADS[name](feature_shape, classes, **options)
    except TypeError as error:
        raise ValueError(f"head {name!r} cannot be built with {options}: {error}") from error
