"""How encoders are published elsewhere than in timm, as timm's names: DINOv2, CLIP and ConvNeXt.

Known are the files of facebookresearch, of Hugging Face's transformers, of OpenAI and of OpenCLIP. Only names and shapes are
changed; what has no place in timm's network, such as a text tower, keeps its name and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.weights.faces import efficientnets
from models.weights.layouts import CLASSIFIER_PARTS, TensorLayout

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class PublishedEncoder:
    """A way of publishing an encoder.

    Attributes
    ----------
    description : whose way.
    signature : a name that no other way has.
    names : pattern of a whole name -> timm's.
    left_out : what begins the names that have no place in timm's network.
    """

    description: str
    signature: re.Pattern[str]
    names: tuple[tuple[str, str], ...]
    left_out: str = ""

    def translated(self, tensors: Mapping[str, Tensor]) -> tuple[TensorLayout, Tensors]:
        """The tensors under timm's names, and what is left out of them."""
        rules = [(re.compile(f"(?:module\\.)?{pattern}"), name) for pattern, name in self.names]
        found: Tensors = {}
        for name, tensor in _joined(tensors).items():
            rule = next(((match, new) for pattern, new in rules if (match := pattern.fullmatch(name))), None)
            found[name if rule is None else rule[0].expand(rule[1])] = tensor
        ignored = CLASSIFIER_PARTS if not self.left_out else re.compile(f"{CLASSIFIER_PARTS.pattern}|^(?:{self.left_out})")
        return TensorLayout(self.description, ignored=ignored), _fitted(found)


JOINED = re.compile(r"(?P<before>.*(?:attention\.attention|self_attn)\.)(?P<part>query|q_proj)\.(?P<kind>weight|bias)")
"""The first of three matrices that timm keeps as one, in this order."""
OTHERS = {"query": ("key", "value"), "q_proj": ("k_proj", "v_proj")}


def _joined(tensors: Mapping[str, Tensor]) -> Tensors:
    """`tensors` with queries, keys and values in one, as `...qkv`."""
    found = dict(tensors)
    for name in tensors:
        match = JOINED.fullmatch(name)
        if match is None:
            continue
        parts = [f"{match['before']}{part}.{match['kind']}" for part in (match["part"], *OTHERS[match["part"]])]
        if all(part in tensors for part in parts):
            found[f"{match['before']}qkv.{match['kind']}"] = torch.cat([found.pop(part) for part in parts])
    return found


def _fitted(tensors: Tensors) -> Tensors:
    """Tokens and positions in timm's shapes; with registers the class token has its position in itself, and they have none."""
    found = dict(tensors)
    if "cls_token" in found:
        found["cls_token"] = found["cls_token"].reshape(1, 1, -1)
    if "pos_embed" in found and found["pos_embed"].dim() == 2:
        found["pos_embed"] = found["pos_embed"].unsqueeze(0)
    if "register_tokens" in found and {"cls_token", "pos_embed"} <= found.keys():
        found["reg_token"] = found.pop("register_tokens")
        found["cls_token"] = found["cls_token"] + found["pos_embed"][:, :1]
        found["pos_embed"] = found["pos_embed"][:, 1:]
    return found


_DINO = r"(?:dinov2(?:_with_registers)?\.)?"
_CLIP = r"(?:vision_model\.)?"
_NEXT = r"(?:convnext\.)?"
_ANY = r"(.+)"
ENCODERS = (
    PublishedEncoder(
        "facebookresearch's DINOv2 with registers",
        re.compile(r"(module\.)?register_tokens"),
        ((_ANY, r"\1"),),
    ),
    PublishedEncoder(
        "Hugging Face's DINOv2",
        re.compile(rf"{_DINO}encoder\.layer\.0\.layer_scale1\.lambda1"),
        (
            (rf"{_DINO}embeddings\.(cls_token|register_tokens)", r"\1"),
            (rf"{_DINO}embeddings\.position_embeddings", "pos_embed"),
            (rf"{_DINO}embeddings\.patch_embeddings\.projection\.{_ANY}", r"patch_embed.proj.\1"),
            (rf"{_DINO}encoder\.layer\.(\d+)\.attention\.attention\.qkv\.{_ANY}", r"blocks.\1.attn.qkv.\2"),
            (rf"{_DINO}encoder\.layer\.(\d+)\.attention\.output\.dense\.{_ANY}", r"blocks.\1.attn.proj.\2"),
            (rf"{_DINO}encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
            (rf"{_DINO}encoder\.layer\.(\d+)\.((?:norm[12]|mlp\.fc[12])\..+)", r"blocks.\1.\2"),
            (rf"{_DINO}layernorm\.{_ANY}", r"norm.\1"),
        ),
        rf"{_DINO}embeddings\.mask_token",
    ),
    PublishedEncoder(
        "Hugging Face's CLIP",
        re.compile(rf"{_CLIP}encoder\.layers\.0\.self_attn\.q_proj\.weight"),
        (
            (rf"{_CLIP}embeddings\.class_embedding", "cls_token"),
            (rf"{_CLIP}embeddings\.position_embedding\.weight", "pos_embed"),
            (rf"{_CLIP}embeddings\.patch_embedding\.{_ANY}", r"patch_embed.proj.\1"),
            (rf"{_CLIP}pre_layrnorm\.{_ANY}", r"norm_pre.\1"),
            (rf"{_CLIP}post_layernorm\.{_ANY}", r"norm.\1"),
            (rf"{_CLIP}encoder\.layers\.(\d+)\.self_attn\.qkv\.{_ANY}", r"blocks.\1.attn.qkv.\2"),
            (rf"{_CLIP}encoder\.layers\.(\d+)\.self_attn\.out_proj\.{_ANY}", r"blocks.\1.attn.proj.\2"),
            (rf"{_CLIP}encoder\.layers\.(\d+)\.layer_norm([12])\.{_ANY}", r"blocks.\1.norm\2.\3"),
            (rf"{_CLIP}encoder\.layers\.(\d+)\.(mlp\.fc[12]\..+)", r"blocks.\1.\2"),
        ),
        rf"text_model|text_projection|visual_projection|logit_scale|logit_bias|{_CLIP}embeddings\.position_ids",
    ),
    PublishedEncoder(
        "OpenAI's and OpenCLIP's CLIP",
        re.compile(r"(module\.)?visual\.transformer\.resblocks\.0\.attn\.in_proj_weight"),
        (
            (r"visual\.class_embedding", "cls_token"),
            (r"visual\.positional_embedding", "pos_embed"),
            (rf"visual\.conv1\.{_ANY}", r"patch_embed.proj.\1"),
            (rf"visual\.ln_pre\.{_ANY}", r"norm_pre.\1"),
            (rf"visual\.ln_post\.{_ANY}", r"norm.\1"),
            (r"visual\.transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
            (rf"visual\.transformer\.resblocks\.(\d+)\.attn\.out_proj\.{_ANY}", r"blocks.\1.attn.proj.\2"),
            (rf"visual\.transformer\.resblocks\.(\d+)\.ln_([12])\.{_ANY}", r"blocks.\1.norm\2.\3"),
            (rf"visual\.transformer\.resblocks\.(\d+)\.mlp\.c_fc\.{_ANY}", r"blocks.\1.mlp.fc1.\2"),
            (rf"visual\.transformer\.resblocks\.(\d+)\.mlp\.c_proj\.{_ANY}", r"blocks.\1.mlp.fc2.\2"),
        ),
        r"(?:module\.)?(?:visual\.proj$|transformer\.|token_embedding|positional_embedding|ln_final|text_projection|logit_scale"
        r"|logit_bias|input_resolution|context_length|vocab_size|attn_mask)",
    ),
    PublishedEncoder(
        "Hugging Face's ConvNeXt",
        re.compile(rf"{_NEXT}encoder\.stages\.0\.layers\.0\.dwconv\.weight"),
        (
            (rf"{_NEXT}embeddings\.patch_embeddings\.{_ANY}", r"stem.0.\1"),
            (rf"{_NEXT}embeddings\.layernorm\.{_ANY}", r"stem.1.\1"),
            (rf"{_NEXT}encoder\.stages\.(\d+)\.downsampling_layer\.(\d+)\.{_ANY}", r"stages.\1.downsample.\2.\3"),
            (rf"{_NEXT}encoder\.stages\.(\d+)\.layers\.(\d+)\.dwconv\.{_ANY}", r"stages.\1.blocks.\2.conv_dw.\3"),
            (rf"{_NEXT}encoder\.stages\.(\d+)\.layers\.(\d+)\.layernorm\.{_ANY}", r"stages.\1.blocks.\2.norm.\3"),
            (rf"{_NEXT}encoder\.stages\.(\d+)\.layers\.(\d+)\.pwconv([12])\.{_ANY}", r"stages.\1.blocks.\2.mlp.fc\3.\4"),
            (rf"{_NEXT}encoder\.stages\.(\d+)\.layers\.(\d+)\.layer_scale_parameter", r"stages.\1.blocks.\2.gamma"),
            (rf"{_NEXT}layernorm\.{_ANY}", r"head.norm.\1"),
        ),
    ),
    PublishedEncoder(
        "facebookresearch's ConvNeXt",
        re.compile(r"downsample_layers\.0\.0\.weight"),
        (
            (rf"downsample_layers\.0\.(\d+)\.{_ANY}", r"stem.\1.\2"),
            (rf"downsample_layers\.(\d+)\.(\d+)\.{_ANY}", r"stages.\1.downsample.\2.\3"),
            (rf"stages\.(\d+)\.(\d+)\.dwconv\.{_ANY}", r"stages.\1.blocks.\2.conv_dw.\3"),
            (rf"stages\.(\d+)\.(\d+)\.pwconv([12])\.{_ANY}", r"stages.\1.blocks.\2.mlp.fc\3.\4"),
            (r"stages\.(\d+)\.(\d+)\.(gamma|norm\..+)", r"stages.\1.blocks.\2.\3"),
            (rf"norm\.{_ANY}", r"head.norm.\1"),
            (rf"head\.{_ANY}", r"head.fc.\1"),
        ),
    ),
)


def as_timm(tensors: Mapping[str, Tensor]) -> tuple[TensorLayout, Tensors] | None:
    """The tensors of a published encoder under timm's names, and how they were named; None for a file of none of ENCODERS."""
    for encoder in ENCODERS:
        if any(encoder.signature.fullmatch(name) for name in tensors):
            return encoder.translated(tensors)
    return None


TRANSFORMERS = {192: "tiny", 384: "small", 768: "base", 1024: "large"}
"""Width of a vision transformer -> what timm calls it."""
OF_MAE = {192: "timm:vit_tiny_patch16_224", 384: "timm:vit_small_patch16_224.dino"}
"""Width of a masked autoencoder that timm has no weights of -> timm's network alike, normalised as for ImageNet if one is."""
CONVNEXTS = {(9, 96): "tiny", (27, 96): "small", (27, 128): "base", (27, 192): "large"}
"""Blocks of the third stage of a ConvNeXt and width of its first -> what timm calls it."""


def likely_backbones(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """timm's names of the networks that the tensors of an encoder, published so or in timm's names, may be of; by shapes.

    A masked autoencoder wants ImageNet's mean and deviation, which among timm's names only some tags have. Two for CLIP: OpenAI's
    own weights want QuickGELU, most of OpenCLIP's GELU, and no file says which. Two for an EfficientNet, see faces.efficientnets.
    """
    translated = as_timm(tensors)
    found = dict(tensors) if translated is None else translated[1]
    patches, stem = found.get("patch_embed.proj.weight"), found.get("stem.0.weight")
    if patches is not None and patches.dim() == 4 and patches.shape[0] in TRANSFORMERS:
        start = f"timm:vit_{TRANSFORMERS[patches.shape[0]]}_patch{patches.shape[-1]}"
        if "norm_pre.weight" in found:
            return f"{start}_clip_quickgelu_224", f"{start}_clip_224"
        if "blocks.0.ls1.gamma" in found:
            return (f"{start}_{'reg4_' if 'reg_token' in found else ''}dinov2",)
        if any(name in found for name in ("decoder_embed.weight", "fc_norm.weight")):
            return (OF_MAE.get(patches.shape[0], f"{start}_224.mae"),)
        return (f"{start}_224",)
    if stem is not None and "stages.0.blocks.0.gamma" in found:
        depth = len({name.split(".")[3] for name in found if name.startswith("stages.2.blocks.")})
        size = CONVNEXTS.get((depth, stem.shape[0]))
        return () if size is None else (f"timm:convnext_{size}",)
    return efficientnets(found)
