"""Any timm model by name, up to its unpooled features. timm, an optional package, is imported only here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.backbones.base import Backbone, Stages, remove_randomness
from models.names import MissingPackageError


class TimmBackbone(Backbone):
    """A timm network without pooling and classifier: (B, 3, H, W) to (B, C, h, w), or to tokens (B, N, C).

    Stages are timm's own layer groups, its stem counted with the first. Of tokens that stand for no patch, registers and
    distillation tokens are dropped; a class token comes first. Parameters have timm's names behind `network.`.
    """

    def __init__(self, network: Any, image_size: int) -> None:
        features = _require_used_gradients(network, image_size)
        prefix_tokens = getattr(network, "num_prefix_tokens", 0) if features.dim() == 3 else 0
        super().__init__(
            _stages(network),
            image_size=image_size,
            mean=tuple(network.pretrained_cfg["mean"]),
            std=tuple(network.pretrained_cfg["std"]),
            has_class_token=prefix_tokens > 0 and getattr(network, "cls_token", None) is not None,
        )
        self.key_prefix = "network."
        self.prefix_tokens = prefix_tokens
        # Maps of square images are square, so the odd side is that of the channels.
        self.channels_last = features.dim() == 4 and features.shape[1] == features.shape[2] != features.shape[3]
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        # Frozen stages need no gradient and come first, so autograd records nothing for them.
        features: Tensor = self.network(images)
        if self.channels_last:
            return features.permute(0, 3, 1, 2)
        if self.prefix_tokens:
            class_token = features[:, : int(self.has_class_token)]
            return torch.cat([class_token, features[:, self.prefix_tokens :]], dim=1)
        return features


def _require_used_gradients(network: nn.Module, image_size: int) -> Tensor:
    """Switches off the gradient of parameters on which the features do not depend, such as a norm after pooling.

    Found by a backward pass without data. Returns the features without data.
    """
    tensors = {name: tensor.detach().to("meta") for name, tensor in [*network.named_parameters(), *network.named_buffers()]}
    for name, parameter in network.named_parameters():
        tensors[name].requires_grad_(parameter.requires_grad)
    features = functional_call(network, tensors, (torch.empty(2, 3, image_size, image_size, device="meta"),))
    if not isinstance(features, Tensor) or features.dim() not in (3, 4):
        raise ValueError(f"timm's {type(network).__name__} gives no feature map and no tokens")
    torch.autograd.backward(features.sum())
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(tensors[name].grad is not None)
    return features


def _stages(network: Any) -> Stages:
    """timm's coarse layer groups: the names of their trainable parameters, and of the modules of those with running statistics.

    A network for which timm knows no groups is one stage.
    """
    from timm.models import group_parameters

    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    stages: dict[str, list[str]] = {}
    if hasattr(network, "group_matcher"):
        groups = group_parameters(network, network.group_matcher(coarse=True))
    else:
        groups = {1: [name for name, _ in network.named_parameters()]}
    for index, parameters in groups.items():
        members = stages.setdefault(f"stage{max(index, 1)}", [])
        for name in parameters:
            owner = name.rpartition(".")[0]
            if name in trainable:
                members.append(f"network.{name}")
            if getattr(network.get_submodule(owner), "running_mean", None) is not None:
                members.append(f"network.{owner}")
    return {stage: tuple(dict.fromkeys(members)) for stage, members in stages.items()}


def names() -> tuple[str, ...]:
    """The names of timm's models, and those with the tag of published weights behind a dot, such as resnet18.a1_in1k.

    Raises MissingPackageError if timm is not installed.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise MissingPackageError("timm", "timm", "a backbone by timm's name") from error
    return (*timm.list_models(), *timm.list_pretrained())


def build(name: str, image_size: int | None = None, **options: Any) -> TimmBackbone:
    """The network `name` without its classifier, with random weights and without dropout. Options are timm's.

    Image size and normalisation are those of the weights that its tag names, or else of timm's default ones.
    Raises ValueError for the few without a feature map.
    """
    import timm

    if image_size is not None and _takes_image_size(name):
        options = {"img_size": image_size, **options}
    network: Any
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **options)
    except (AssertionError, ValueError):
        # Some cannot switch pooling off; what comes before it is then the feature map.
        network = timm.create_model(name, pretrained=False, num_classes=0, **options)
        network.forward = network.forward_features
    remove_randomness(network)
    return TimmBackbone(network, image_size or network.pretrained_cfg["input_size"][-1])


def _takes_image_size(name: str) -> bool:
    """Whether the network has parameters that depend on the image's size."""
    from timm.models import get_pretrained_cfg

    configuration = get_pretrained_cfg(name)
    return configuration is not None and bool(configuration.fixed_input_size)
