"""ResNet-18 and ResNet-50 (He et al., CVPR 2016; stride on the 3x3 convolution, "v1.5"), up to the last feature map.

Parameter names are those of torchvision, timm and mmcls, which agree.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models import resnet18, resnet50

from models.backbones.base import Backbone

STAGES = {
    "layer1": ("conv1", "bn1", "relu", "maxpool", "layer1"),
    "layer2": ("layer2",),
    "layer3": ("layer3",),
    "layer4": ("layer4",),
}


class ResNet(Backbone):
    """A torchvision ResNet without pooling and classifier: (B, 3, 224, 224) to (B, 512 or 2048, 7, 7)."""

    def __init__(self, network: nn.Module, image_size: int) -> None:
        super().__init__(STAGES, image_size=image_size)
        for names in STAGES.values():
            for name in names:
                self.add_module(name, network.get_submodule(name))


def build_res18(image_size: int = 224, **options: Any) -> ResNet:
    """ResNet-18, 11,176,512 parameters. Options are torchvision's, such as `zero_init_residual`."""
    return ResNet(resnet18(weights=None, **options), image_size)


def build_res50(image_size: int = 224, **options: Any) -> ResNet:
    """ResNet-50, 23,508,032 parameters. Options are torchvision's, such as `zero_init_residual`."""
    return ResNet(resnet50(weights=None, **options), image_size)
