"""Any torchvision classifier by name, up to its last feature map, with torchvision's parameter names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.densenet import DenseNet
from torchvision.models.vision_transformer import VisionTransformer

from models.backbones.base import Backbone, Channels, Stages, remove_randomness, run_without_data
from models.backbones.drop_path import take_over

CLASSIFIER_PARTS = ("avgpool", "flatten", "dropout", "classifier", "fc", "head", "heads", "AuxLogits", "aux1", "aux2")
"""What torchvision's networks call the parts after the last feature map, and auxiliary classifiers."""
FIRST_STAGE_HALVINGS = 2
"""The first stage is all that works at a quarter of the image's side or more, as stem and layer1 of a ResNet; each further
halving begins the next."""


class TorchvisionMap(Backbone):
    """The modules of a torchvision network in the order in which they run: (B, 3, H, W) to (B, C, h, w)."""

    def __init__(self, network: nn.Module, image_size: int, mean: Channels, std: Channels) -> None:
        parts = list(_parts(network))
        if isinstance(network, DenseNet):
            # DenseNet has its last ReLU inside forward().
            parts.append(("relu", nn.ReLU()))
        super().__init__(_stages(parts, image_size), image_size=image_size, mean=mean, std=std)
        for name, child in [*network.named_children(), *parts]:
            if name not in CLASSIFIER_PARTS and "." not in name:
                self.add_module(name, child)


class TorchvisionTransformer(Backbone):
    """A torchvision ViT: (B, 3, 224, 224) to a class token and the patch tokens, (B, 197, C)."""

    def __init__(self, network: VisionTransformer, mean: Channels, std: Channels) -> None:
        layers = [f"encoder.layers.{name}" for name, _ in network.encoder.layers.named_children()]
        stages: Stages = {f"block{index}": (layer,) for index, layer in enumerate(layers, start=1)}
        stages["block1"] = ("conv_proj", "class_token", "encoder.pos_embedding", *stages["block1"])
        last = f"block{len(layers)}"
        stages[last] = (*stages[last], "encoder.ln")
        super().__init__(stages, image_size=network.image_size, mean=mean, std=std, has_class_token=True)
        self.conv_proj = network.conv_proj
        self.class_token = network.class_token
        self.encoder = network.encoder

    def run_stage(self, stage: str, features: Tensor) -> Tensor:
        if stage == "block1":
            patches = self.conv_proj(features).flatten(2).transpose(1, 2)
            token = self.class_token.expand(len(patches), -1, -1)
            features = torch.cat([token, patches], dim=1) + self.encoder.pos_embedding
        features = self.encoder.layers[self.stages.index(stage)](features)
        return self.encoder.ln(features) if stage == self.stages[-1] else features


def _parts(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The dotted names and modules that run one after the other, lists and sequences taken apart."""
    for name, child in network.named_children():
        if name in CLASSIFIER_PARTS:
            continue
        if type(child) in (nn.ModuleList, nn.Sequential):
            yield from ((f"{name}.{inner}", module) for inner, module in child.named_children())
        else:
            yield name, child


@torch.no_grad()
def _stages(parts: list[tuple[str, nn.Module]], image_size: int) -> Stages:
    """The parts by the number of times the image's side was halved, from a run without data."""
    stages: Stages = {}
    features = torch.empty(2, 3, image_size, image_size, device="meta")
    halvings = FIRST_STAGE_HALVINGS
    for name, module in parts:
        features = run_without_data(module, features)
        # The side is the third number of a map (B, C, h, w) and, in Swin, of (B, h, w, C).
        halvings = max(halvings, round(math.log2(image_size / features.shape[2])))
        stage = f"stride{2**halvings}"
        stages[stage] = (*stages.get(stage, ()), name)
    return stages


def names() -> tuple[str, ...]:
    """The names of torchvision's image classifiers."""
    return tuple(torchvision.models.list_models(module=torchvision.models))


def build(name: str, image_size: int | None = None, drop_path: float = 0.0, **options: Any) -> Backbone:
    """The network `name` without its classifier, with random weights.

    Image size and normalisation are those of torchvision's best weights for it. Dropout and stochastic depth are off, because a
    batch may depend on nothing but its images; with `drop_path`, the highest rate, the latter has draws that come with the batch.
    Options are torchvision's. Raises ValueError for a rate where no branch can be left out.
    """
    preset = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    size = image_size or preset.crop_size[0]
    if name.startswith(("googlenet", "inception")):
        options = {"init_weights": True, "aux_logits": False, **options}
    if name.startswith("vit"):
        options = {"image_size": size, **options}
    if name.startswith("maxvit"):
        options = {"input_size": (size, size), **options}
    network = torchvision.models.get_model(name, weights=None, **options)
    if drop_path:
        take_over(network, drop_path)
    remove_randomness(network)
    if isinstance(network, VisionTransformer):
        return TorchvisionTransformer(network, mean, std)
    return TorchvisionMap(network, size, mean, std)
