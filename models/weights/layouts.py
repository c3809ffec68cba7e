"""How published files name the tensors of our backbones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.apvit import APViT, PoolingTransformer
from models.backbones.base import Backbone
from models.backbones.ir50 import IR50, UNITS, HierarchicalIR50
from models.backbones.resnet import ResNet
from models.backbones.vit import VisionTransformer

PREFIXES = (
    "backbone.",
    "online_net.0.",
    "online_network.",
    "online_encoder.net.",
    "encoder_q.",
    "base_encoder.",
    "encoder.",
    "model.",
    "",
)
"""What backbones are called in checkpoints (mmcls, mmselfsup BYOL, MoCo v2, MoCo v3, SimCLR, …), the better first."""
SLOW_COPIES = (
    "target_net",
    "target_network",
    "target_encoder",
    "target",
    "encoder_k",
    "key_encoder",
    "momentum_encoder",
    "backbone_momentum",
    "encoder_momentum",
)
"""What running averages of the backbone are called. They are never taken in its place."""
CLASSIFIER_PARTS = re.compile(
    r"^(_?fc|heads?|head_dist|classif(ier)?|output_layer|neck|proj(ector|ection|ection_head)?|predictor|prediction_head|last_linear"
    r"|logits|(AU|ID)_head|decoder\w*|mask_token|fc_norm|pre_logits|queue(_ptr)?|AuxLogits|aux[12]|aux_classifier|attnpool)(\.|$)"
)
"""What stands beside a backbone in a file of it and is left out: classifiers, projections, decoders."""


@dataclass(frozen=True)
class TensorLayout:
    """One way of naming a backbone's tensors.

    Attributes
    ----------
    description : whose way.
    source : our name -> the name in the file.
    convert : our name -> what makes our tensor of the file's; as it is where there is none.
    absent : our names begin so that the file never has; they keep their random values.
    ignored : names in the file that match have no place in the backbone and are left out.
    """

    description: str
    source: Callable[[str], str] = lambda name: name
    convert: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    ignored: re.Pattern[str] = CLASSIFIER_PARTS


PLAIN = TensorLayout("the same names")
AFTER_POOLING = "fc_norm.weight"
"""A norm in this place stands behind the mean over the tokens, and none before it."""
POOLED = TensorLayout("the same names, but for a norm after the mean over the tokens", absent=("norm.",))

POSITIONS = {"pos_embed": 1, "encoder.pos_embedding": 1, "patch_pos_embed": 0, "vit.patch_pos_embed": 0}
"""Position embeddings that may be resized for another image size -> tokens before those of the patches."""

FIRST_UNITS = (0, *accumulate(UNITS))
"""Flat number of the first unit of each stage of IR-50, and of the unit after the last."""


def layouts_for(network: nn.Module) -> tuple[TensorLayout, ...]:
    """The ways in which files may name the tensors of `network`, a backbone or a part of one."""
    if isinstance(network, ResNet):
        return (PLAIN, RESNET_CHILDREN)
    if isinstance(network, IR50):
        return (PLAIN, TensorLayout("IR-50 by stages", _by_stages))
    if isinstance(network, HierarchicalIR50):
        left_out = "|".join(map(str, range(FIRST_UNITS[len(network.body)], FIRST_UNITS[-1])))
        flat = TensorLayout(
            "face.evoLVe IR-50", _flat, ignored=_or(CLASSIFIER_PARTS, rf"^body\.({left_out})\." if left_out else None)
        )
        return (TensorLayout("the same names", ignored=_or(CLASSIFIER_PARTS, rf"^body\.[{len(network.body)}-3]\.")), flat)
    if isinstance(network, APViT):
        # Without the transformer, so that it only loads in part.
        extractor = TensorLayout("face.evoLVe IR-50 as extractor", lambda name: _flat(name.removeprefix("extractor.")))
        return (PLAIN, extractor)
    if isinstance(network, PoolingTransformer):
        return (PLAIN, WITHOUT_PROJECTION, TIMM_SMALL)
    if isinstance(network, VisionTransformer):
        return (PLAIN, TORCHVISION_VIT, MMPRETRAIN_VIT)
    return (PLAIN,)


def bare_names(network: nn.Module) -> dict[str, str]:
    """Published name -> name in the state dict, for each tensor of `network`."""
    prefix = network.key_prefix if isinstance(network, Backbone) else ""
    return {name.removeprefix(prefix): name for name in network.state_dict()}


def resize_positions(positions: Tensor, tokens: int, leading: int) -> Tensor:
    """Embeddings (1, leading + n * n, C) of an n x n grid for `tokens` tokens, bicubic; the `leading` ones stay.

    Raises ValueError if a number of patches is no square.
    """
    old, new = math.isqrt(positions.shape[1] - leading), math.isqrt(tokens - leading)
    if old * old != positions.shape[1] - leading or new * new != tokens - leading:
        raise ValueError("position embeddings that are no square grid cannot be resized")
    positions = positions.float()
    grid = positions[:, leading:].transpose(1, 2).reshape(1, -1, old, old)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([positions[:, :leading], grid.flatten(2).transpose(1, 2)], dim=1)


def _or(pattern: re.Pattern[str], other: str | None) -> re.Pattern[str]:
    return pattern if other is None else re.compile(f"{pattern.pattern}|{other}")


def _replace(*pairs: tuple[str, str]) -> Callable[[str], str]:
    """A renaming by regular expressions, all applied one after the other."""
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in pairs]

    def rename(name: str) -> str:
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        return name

    return rename


def _flat(name: str) -> str:
    """IR-50's name by stages as face.evoLVe has it: body.2.3.… to body.10.…"""
    return re.sub(r"^body\.(\d+)\.(\d+)\.", lambda found: f"body.{FIRST_UNITS[int(found[1])] + int(found[2])}.", name)


def _by_stages(name: str) -> str:
    """IR-50's flat name by stages: body.10.… to body.2.3.…"""

    def rename(found: re.Match[str]) -> str:
        unit = int(found[1])
        stage = max(stage for stage, first in enumerate(FIRST_UNITS[:-1]) if first <= unit)
        return f"body.{stage}.{unit - FIRST_UNITS[stage]}."

    return re.sub(r"^body\.(\d+)\.", rename, name)


RESNET_CHILDREN = TensorLayout(
    "a ResNet's children by number, as lightly keeps them",
    _replace(
        (r"^conv1\.", "0."),
        (r"^bn1\.", "1."),
        (r"^layer1\.", "4."),
        (r"^layer2\.", "5."),
        (r"^layer3\.", "6."),
        (r"^layer4\.", "7."),
    ),
)
TORCHVISION_VIT = TensorLayout(
    "torchvision's ViT",
    _replace(
        (r"^cls_token$", "class_token"),
        (r"^pos_embed$", "encoder.pos_embedding"),
        (r"^patch_embed\.proj\.", "conv_proj."),
        (r"^norm\.", "encoder.ln."),
        (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
        (r"\.norm([12])\.", r".ln_\1."),
        (r"\.attn\.qkv\.", ".self_attention.in_proj_"),
        (r"\.attn\.proj\.", ".self_attention.out_proj."),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
    ),
)
MMPRETRAIN_VIT = TensorLayout(
    "mmpretrain's ViT",
    _replace(
        (r"^patch_embed\.proj\.", "patch_embed.projection."),
        (r"^norm\.", "ln1."),
        (r"^blocks\.", "layers."),
        (r"\.norm([12])\.", r".ln\1."),
        (r"\.mlp\.fc1\.", ".ffn.layers.0.0."),
        (r"\.mlp\.fc2\.", ".ffn.layers.1."),
    ),
)
WITHOUT_PROJECTION = TensorLayout("APViT's transformer as converted from timm's, without its projection", absent=("projs.",))
TIMM_SMALL = TensorLayout(
    "timm's first vit_small (8 blocks of width 768), which APViT's transformer started from",
    _replace((r"^(cls|patch)_pos_embed$", "pos_embed")),
    convert={"cls_pos_embed": lambda positions: positions[:, :1], "patch_pos_embed": lambda positions: positions[:, 1:]},
    absent=("projs.",),
    ignored=_or(CLASSIFIER_PARTS, r"^patch_embed\."),
)
