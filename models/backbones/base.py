"""What every backbone promises: an image in, a feature map or tokens out, in named stages that can be frozen."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

IMAGENET_MEAN = (123.675 / 255, 116.28 / 255, 103.53 / 255)
"""Channel means of ImageNet (RGB, pixel / 255), as torchvision, timm and mmcls use them."""
IMAGENET_STD = (58.395 / 255, 57.12 / 255, 57.375 / 255)
"""Channel standard deviations of ImageNet (RGB, pixel / 255)."""
Channels = tuple[float, float, float]
Stages = dict[str, tuple[str, ...]]


class Backbone(nn.Module):
    """A network from a normalised image, float (B, 3, H, W), to a feature map (B, C, h, w) or tokens (B, N, C).

    Parameters
    ----------
    stages : stage name -> dotted names of the submodules and parameters of that stage, in the order in which they run. The stem
        belongs to the first stage, so freezing two stages of a ResNet freezes conv1, bn1, layer1 and layer2. Together the stages
        name everything in the network.
    image_size : side of the square image in pixels.
    mean, std : normalisation of RGB in units of pixel / 255.
    has_class_token : whether the first token stands for the whole image.

    `key_prefix` is what its parameters' names begin with beyond their published names.
    """

    def __init__(
        self,
        stages: Mapping[str, tuple[str, ...]],
        *,
        image_size: int,
        mean: Channels = IMAGENET_MEAN,
        std: Channels = IMAGENET_STD,
        has_class_token: bool = False,
    ) -> None:
        super().__init__()
        self.key_prefix = ""
        self.members = dict(stages)
        self.image_size = image_size
        self.mean = mean
        self.std = std
        self.has_class_token = has_class_token
        self.frozen_stages = 0
        self.gradient_checkpointing = False

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages from the image to the features."""
        return tuple(self.members)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, C, h, w) or (B, N, C) of images (B, 3, H, W). Frozen stages record nothing for a backward pass."""
        features = images
        for index, stage in enumerate(self.stages):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= self.frozen_stages):
                features = self._run_again_later(stage, features) if self._recomputes else self.run_stage(stage, features)
        return features

    @property
    def _recomputes(self) -> bool:
        return self.gradient_checkpointing and self.training and torch.is_grad_enabled()

    def _run_again_later(self, stage: str, features: Tensor) -> Tensor:
        """The output of one stage, of which nothing is kept for the backward pass but its input."""
        contexts = (contextlib.nullcontext(), _statistics_stay(self))
        output: Tensor = checkpoint(self.run_stage, stage, features, use_reentrant=False, context_fn=lambda: contexts)
        return output

    def checkpoint_gradients(self) -> None:
        """Keeps the input of each stage alone while training and computes the rest again in the backward pass: less memory, the
        same gradients. Raises ValueError if the network cannot."""
        self.gradient_checkpointing = True

    def run_stage(self, stage: str, features: Tensor) -> Tensor:
        """The output of one stage; by default that of its members, one after the other."""
        for name in self.members[stage]:
            features = self.get_submodule(name)(features)
        return features

    def freeze(self, stages: int) -> None:
        """Holds the first `stages` stages as they are: no gradient, and BatchNorm in evaluation mode even in training.

        Raises ValueError if there are not that many stages.
        """
        if not 0 <= stages <= len(self.members):
            raise ValueError(f"cannot freeze {stages} stages: the backbone has {len(self.members)} ({', '.join(self.stages)})")
        for index in range(max(stages, self.frozen_stages)):
            for name in self.members[self.stages[index]]:
                _member(self, name).requires_grad_(index >= stages)
        self.frozen_stages = stages
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Sets training mode everywhere but in the frozen stages."""
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            for name in self.members[stage]:
                member = _member(self, name)
                if isinstance(member, nn.Module):
                    member.eval()
        return self

    def decay_layers(self) -> list[list[str]]:
        """The names of the parameters in groups from the image to the features, for rates that fall from layer to layer.

        By default those of the stages. What is in none belongs to the head.
        """
        names = [name for name, _ in self.named_parameters()]
        return [[name for name in names if _is_inside(name, members)] for members in self.members.values()]

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one image's features, (C, h, w) or (N, C), from a run without data at `image_size`."""
        # Two images: in training mode BatchNorm refuses a single value per channel.
        images = torch.empty(2, 3, self.image_size, self.image_size, device="meta")
        with torch.no_grad():
            return tuple(run_without_data(self, images).shape[1:])


@contextlib.contextmanager
def _statistics_stay(network: nn.Module) -> Iterator[None]:
    """Within the block a forward pass in training leaves the running statistics of BatchNorm as they are."""
    layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        # With momentum 0 the statistics are written back to the bit; their counter is a copy that is thrown away.
        layer.momentum = 0.0
        layer.num_batches_tracked = None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, momentum, counted in before:
            layer.momentum, layer.num_batches_tracked = momentum, counted


def run_without_data(network: nn.Module, inputs: Tensor) -> Tensor:
    """The output of `network` on a meta tensor: its shape alone. Parameters and buffers stay as they are."""
    tensors = {name: tensor.to("meta") for name, tensor in [*network.named_parameters(), *network.named_buffers()]}
    output: Tensor = functional_call(network, tensors, (inputs,))
    return output


def remove_randomness(network: nn.Module) -> None:
    """Sets every dropout and stochastic depth in `network` to zero: a batch's output may depend on the batch alone."""
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d | StochasticDepth):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):  # timm's DropPath
            setattr(module, "drop_prob", 0.0)  # noqa: B010 - a plain number, not a tensor of the module


def pool(features: Tensor, has_class_token: bool) -> Tensor:
    """One vector (B, C) per image: the mean over a map (B, C, h, w), the class token of tokens (B, N, C) or their mean."""
    if features.dim() == 4:
        return features.mean(dim=(2, 3))
    return features[:, 0] if has_class_token else features.mean(dim=1)


def patch_map(tokens: Tensor, has_class_token: bool) -> Tensor:
    """The tokens (B, N, C) of a square grid of patches, without the class token, as a map (B, C, h, w).

    Raises ValueError if they do not fill a square, as after attentive pooling.
    """
    patches = tokens[:, 1:] if has_class_token else tokens
    side = math.isqrt(patches.shape[1])
    if side * side != patches.shape[1]:
        raise ValueError(f"{patches.shape[1]} patch tokens do not fill a square grid, so they have no map; use the pooled head")
    return patches.transpose(1, 2).reshape(len(patches), -1, side, side)


def _is_inside(name: str, members: tuple[str, ...]) -> bool:
    """Whether a parameter is one of the members of a stage or lies inside of one."""
    return any(name == member or name.startswith(f"{member}.") for member in members)


def _member(network: nn.Module, name: str) -> nn.Module | nn.Parameter:
    parent, _, last = name.rpartition(".")
    member = getattr(network.get_submodule(parent), last)
    assert isinstance(member, nn.Module | nn.Parameter)
    return member
