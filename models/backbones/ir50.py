"""IR-50, the improved residual network of ArcFace (Deng et al., CVPR 2019), flat and by stages.

The flat form has the parameter names of the face.evoLVe weights (`body.0` to `body.23`), the hierarchical one those of APViT's
extractor (`body.0.0` to `body.3.2`). Both leave out the output layer that face recognition ends in.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.backbones.base import Backbone, Channels, Stages

MEAN: Channels = (0.5, 0.5, 0.5)
STD: Channels = (0.5, 0.5, 0.5)
STEM_CHANNELS = 64
CHANNELS = (64, 128, 256, 512)
UNITS = (3, 4, 14, 3)
"""Units of each stage; the first of each halves the map."""


class Unit(nn.Module):
    """BatchNorm, 3x3 convolution, PReLU, 3x3 convolution with the stride, BatchNorm, added to the shortcut without activation."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module
        if inputs == outputs:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.res_layer(features) + self.shortcut_layer(features)
        return total


def _stem() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, STEM_CHANNELS, 3, 1, 1, bias=False), nn.BatchNorm2d(STEM_CHANNELS), nn.PReLU(STEM_CHANNELS))


def _stages(count: int) -> list[list[Unit]]:
    """The units of the first `count` stages."""
    inputs = (STEM_CHANNELS, *CHANNELS)
    return [
        [Unit(inputs[stage] if unit == 0 else CHANNELS[stage], CHANNELS[stage], 2 if unit == 0 else 1) for unit in range(units)]
        for stage, units in enumerate(UNITS[:count])
    ]


def _initialise(network: nn.Module) -> None:
    """Xavier-uniform convolutions, as face.evoLVe."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)


class IR50(Backbone):
    """IR-50 with its 24 units in a row: (B, 3, 112, 112) to (B, 512, 7, 7)."""

    def __init__(self, image_size: int = 112) -> None:
        stages: Stages = {}
        first = 0
        for stage, units in enumerate(UNITS, start=1):
            stages[f"stage{stage}"] = tuple(f"body.{unit}" for unit in range(first, first + units))
            first += units
        stages["stage1"] = ("input_layer", *stages["stage1"])
        super().__init__(stages, image_size=image_size, mean=MEAN, std=STD)
        self.input_layer = _stem()
        self.body = nn.Sequential(*(unit for units in _stages(len(UNITS)) for unit in units))
        _initialise(self)


class HierarchicalIR50(Backbone):
    """The first `last_stage` stages of IR-50: (B, 3, 112, 112) to (B, 256, 14, 14) after three of the four."""

    def __init__(self, image_size: int = 112, last_stage: int = 3) -> None:
        if not 1 <= last_stage <= len(UNITS):
            raise ValueError(f"IR-50 has the stages 1 to {len(UNITS)}, not {last_stage}")
        stages: Stages = {f"stage{stage}": (f"body.{stage - 1}",) for stage in range(1, last_stage + 1)}
        stages["stage1"] = ("input_layer", *stages["stage1"])
        super().__init__(stages, image_size=image_size, mean=MEAN, std=STD)
        self.input_layer = _stem()
        self.body = nn.ModuleList(nn.Sequential(*units) for units in _stages(last_stage))
        _initialise(self)


def build_ir50(image_size: int = 112) -> IR50:
    """IR-50, 30,727,360 parameters."""
    return IR50(image_size)


def build_hierarchical_ir50(image_size: int = 112, last_stage: int = 3) -> HierarchicalIR50:
    """The first `last_stage` stages of IR-50; three have 17,611,968 parameters."""
    return HierarchicalIR50(image_size, last_stage)
