"""Any timm model by name, up to its unpooled features. timm, an optional package, is imported only here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.backbones.base import Backbone, Stages, remove_randomness
from models.backbones.drop_path import take_over
from models.names import MissingPackageError


class TimmBackbone(Backbone):
    """A timm network without pooling and classifier: (B, 3, H, W) to (B, C, h, w), or to tokens (B, N, C).

    Stages are timm's own layer groups, its stem counted with the first. Of tokens that stand for no patch, registers and
    distillation tokens are dropped; a class token comes first. Parameters have timm's names behind `network.`. Of the position
    embeddings the first `positions_before` are those of no patch.
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
        self.positions_before = 0 if getattr(network, "no_embed_class", False) else prefix_tokens
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

    def decay_layers(self) -> list[list[str]]:
        """timm's own layers, as its layer-wise decay counts them; the stages where it knows none.

        A norm that timm counts with the classifier belongs to no layer.
        """
        from timm.models import group_parameters

        if not hasattr(self.network, "group_matcher"):
            return super().decay_layers()
        groups = group_parameters(self.network, self.network.group_matcher(coarse=False))
        head = f"{str(self.network.pretrained_cfg['classifier']).partition('.')[0]}."
        layers = [[f"network.{name}" for name in groups[layer] if not name.startswith(head)] for layer in sorted(groups)]
        return [layer for layer in layers if layer]

    def checkpoint_gradients(self) -> None:
        """Lets timm keep the inputs of the network's blocks alone. Raises ValueError where it cannot, or has BatchNorm."""
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.modules()):
            raise ValueError("timm's way of gradient checkpointing would count each batch twice in the statistics of BatchNorm")
        try:
            self.network.set_grad_checkpointing()
        except (AssertionError, AttributeError) as error:
            raise ValueError(f"timm has no gradient checkpointing for {type(self.network).__name__}") from error


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


def build(name: str, image_size: int | None = None, drop_path: float = 0.0, **options: Any) -> TimmBackbone:
    """The network `name` without its classifier, with random weights and without dropout. Options are timm's.

    Image size and normalisation are those of the weights that its tag names, or else of timm's default ones. `drop_path` is the
    rate of the last block's branches.
    Raises ValueError for the few without a feature map, and for a rate where no branch can be left out.
    """
    import timm

    if image_size is not None and _takes_image_size(name):
        options = {"img_size": image_size, **options}
    if drop_path:
        options = {"drop_path_rate": drop_path, **options}
    network: Any
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0, global_pool="", **options)
    except (AssertionError, ValueError):
        # Some cannot switch pooling off; what comes before it is then the feature map.
        network = timm.create_model(name, pretrained=False, num_classes=0, **options)
        network.forward = network.forward_features
    if drop_path:
        take_over(network, drop_path)
    remove_randomness(network)
    return TimmBackbone(network, image_size or network.pretrained_cfg["input_size"][-1])


def _takes_image_size(name: str) -> bool:
    """Whether the network has parameters that depend on the image's size."""
    from timm.models import get_pretrained_cfg

    configuration = get_pretrained_cfg(name)
    return configuration is not None and bool(configuration.fixed_input_size)
