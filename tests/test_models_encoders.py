"""Encoders as they are published: DINOv2, CLIP and ConvNeXt of four houses, under their names, into timm's networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import convnext, vision_transformer
from torch import Tensor

from harness.errors import DataError
from harness.recipes import recipe as recipes
from harness.training.network import initial_weights
from models import registry, weights
from models.backbones.base import Backbone
from models.weights.encoders import likely_backbones

Tensors = dict[str, Tensor]
TRANSFORMER = {"embed_dim": 24, "depth": 2, "num_heads": 2}
CONVNEXT = {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 24)}


def small(name: str, seed: int, image_size: int, **options: Any) -> Backbone:
    """A small network of this kind, every tensor of it random."""
    torch.manual_seed(seed)
    backbone = registry.create(f"timm:{name}", image_size=image_size, **options)
    for tensor in backbone.state_dict().values():
        torch.nn.init.normal_(tensor)
    return backbone.eval()


def named(backbone: Backbone, *rules: tuple[str, str]) -> Tensors:
    """The tensors under names made of timm's by replacing patterns, the first that fits."""
    found = {}
    for name, tensor in backbone.state_dict().items():
        plain = name.removeprefix("network.")
        rule = next((rule for rule in rules if re.fullmatch(rule[0], plain)), (re.escape(plain), plain.replace("\\", "")))
        found[re.sub(rule[0], rule[1], plain)] = tensor.clone()
    return found


def apart(tensors: Tensors, before: str, names: tuple[str, str, str]) -> Tensors:
    """The tensors with each `...qkv.kind` in three."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        if f".{before}.qkv." not in name:
            found[name] = tensor
            continue
        for part, share in zip(names, tensor.chunk(3), strict=True):
            found[name.replace("qkv", part)] = share.clone()
    return found


def with_registers(tensors: Tensors) -> Tensors:
    """As facebookresearch keeps them: the class token's position apart from it, at the head of the others."""
    position = torch.randn(1, 1, 24)
    found = {**tensors, "cls_token": tensors["cls_token"] - position, "register_tokens": tensors["reg_token"]}
    del found["reg_token"]
    return {**found, "pos_embed": torch.cat([position, tensors["pos_embed"]], dim=1), "mask_token": torch.zeros(1, 24)}


def facebook_dino(backbone: Backbone) -> Tensors:
    return {**named(backbone), "mask_token": torch.zeros(1, 24)}


def facebook_dino_registers(backbone: Backbone) -> Tensors:
    return with_registers(named(backbone))


def of_hugging_face(tensors: Tensors) -> Tensors:
    rules = (
        (r"^(cls_token|register_tokens|mask_token)$", r"embeddings.\1"),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"^blocks\.(\d+)\.attn\.qkv", r"encoder.layer.\1.attention.attention.qkv"),
        (r"^blocks\.(\d+)\.attn\.proj", r"encoder.layer.\1.attention.output.dense"),
        (r"^blocks\.(\d+)\.ls(\d)\.gamma", r"encoder.layer.\1.layer_scale\2.lambda1"),
        (r"^blocks\.", "encoder.layer."),
        (r"^norm\.", "layernorm."),
    )
    found = {}
    for name, tensor in tensors.items():
        rule = next(rule for rule in rules if re.search(rule[0], name))
        found[re.sub(rule[0], rule[1], name)] = tensor
    return apart(found, "attention", ("query", "key", "value"))


def hugging_dino(backbone: Backbone) -> Tensors:
    return of_hugging_face(facebook_dino(backbone))


def hugging_dino_registers(backbone: Backbone) -> Tensors:
    return {
        f"dinov2_with_registers.{name}": tensor for name, tensor in of_hugging_face(facebook_dino_registers(backbone)).items()
    }


def open_clip(backbone: Backbone) -> Tensors:
    found = named(
        backbone,
        (r"cls_token", "visual.class_embedding"),
        (r"pos_embed", "visual.positional_embedding"),
        (r"patch_embed\.proj\.(.+)", r"visual.conv1.\1"),
        (r"norm_pre\.(.+)", r"visual.ln_pre.\1"),
        (r"norm\.(.+)", r"visual.ln_post.\1"),
        (r"blocks\.(\d+)\.attn\.qkv\.(.+)", r"visual.transformer.resblocks.\1.attn.in_proj_\2"),
        (r"blocks\.(\d+)\.attn\.proj\.(.+)", r"visual.transformer.resblocks.\1.attn.out_proj.\2"),
        (r"blocks\.(\d+)\.norm(\d)\.(.+)", r"visual.transformer.resblocks.\1.ln_\2.\3"),
        (r"blocks\.(\d+)\.mlp\.fc1\.(.+)", r"visual.transformer.resblocks.\1.mlp.c_fc.\2"),
        (r"blocks\.(\d+)\.mlp\.fc2\.(.+)", r"visual.transformer.resblocks.\1.mlp.c_proj.\2"),
    )
    found["visual.class_embedding"] = found["visual.class_embedding"].flatten()
    found["visual.positional_embedding"] = found["visual.positional_embedding"][0]
    text = {"transformer.resblocks.0.ln_1.weight": torch.ones(4), "positional_embedding": torch.ones(3, 4)}
    return {
        **found,
        **text,
        "visual.proj": torch.randn(24, 5),
        "logit_scale": torch.ones(()),
        "text_projection": torch.ones(4, 5),
    }


def hugging_clip(backbone: Backbone) -> Tensors:
    found = named(
        backbone,
        (r"cls_token", "vision_model.embeddings.class_embedding"),
        (r"pos_embed", "vision_model.embeddings.position_embedding.weight"),
        (r"patch_embed\.proj\.(.+)", r"vision_model.embeddings.patch_embedding.\1"),
        (r"norm_pre\.(.+)", r"vision_model.pre_layrnorm.\1"),
        (r"norm\.(.+)", r"vision_model.post_layernorm.\1"),
        (r"blocks\.(\d+)\.attn\.qkv\.(.+)", r"vision_model.encoder.layers.\1.self_attn.qkv.\2"),
        (r"blocks\.(\d+)\.attn\.proj\.(.+)", r"vision_model.encoder.layers.\1.self_attn.out_proj.\2"),
        (r"blocks\.(\d+)\.norm(\d)\.(.+)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
        (r"blocks\.(\d+)\.mlp\.(.+)", r"vision_model.encoder.layers.\1.mlp.\2"),
    )
    place = "vision_model.embeddings."
    found[f"{place}class_embedding"] = found[f"{place}class_embedding"].flatten()
    found[f"{place}position_embedding.weight"] = found[f"{place}position_embedding.weight"][0]
    found[f"{place}position_ids"] = torch.arange(5)[None]
    found |= {"text_model.final_layer_norm.bias": torch.ones(4), "visual_projection.weight": torch.ones(5, 24)}
    return apart(found, "self_attn", ("q_proj", "k_proj", "v_proj"))


def facebook_convnext(backbone: Backbone) -> Tensors:
    found = named(
        backbone,
        (r"stem\.(\d)\.(.+)", r"downsample_layers.0.\1.\2"),
        (r"stages\.(\d)\.downsample\.(\d)\.(.+)", r"downsample_layers.\1.\2.\3"),
        (r"stages\.(\d)\.blocks\.(\d)\.conv_dw\.(.+)", r"stages.\1.\2.dwconv.\3"),
        (r"stages\.(\d)\.blocks\.(\d)\.mlp\.fc(\d)\.(.+)", r"stages.\1.\2.pwconv\3.\4"),
        (r"stages\.(\d)\.blocks\.(\d)\.(.+)", r"stages.\1.\2.\3"),
        (r"head\.norm\.(.+)", r"norm.\1"),
    )
    return {**found, "head.weight": torch.ones(3, 24), "head.bias": torch.ones(3)}


def hugging_convnext(backbone: Backbone) -> Tensors:
    found = named(
        backbone,
        (r"stem\.0\.(.+)", r"convnext.embeddings.patch_embeddings.\1"),
        (r"stem\.1\.(.+)", r"convnext.embeddings.layernorm.\1"),
        (r"stages\.(\d)\.downsample\.(\d)\.(.+)", r"convnext.encoder.stages.\1.downsampling_layer.\2.\3"),
        (r"stages\.(\d)\.blocks\.(\d)\.conv_dw\.(.+)", r"convnext.encoder.stages.\1.layers.\2.dwconv.\3"),
        (r"stages\.(\d)\.blocks\.(\d)\.norm\.(.+)", r"convnext.encoder.stages.\1.layers.\2.layernorm.\3"),
        (r"stages\.(\d)\.blocks\.(\d)\.mlp\.fc(\d)\.(.+)", r"convnext.encoder.stages.\1.layers.\2.pwconv\3.\4"),
        (r"stages\.(\d)\.blocks\.(\d)\.gamma", r"convnext.encoder.stages.\1.layers.\2.layer_scale_parameter"),
        (r"head\.norm\.(.+)", r"convnext.layernorm.\1"),
    )
    return {**found, "classifier.weight": torch.ones(3, 24)}


DINO, REGISTERS = "vit_base_patch14_dinov2", "vit_base_patch14_reg4_dinov2"
CLIP, NEXT = "vit_base_patch16_clip_224", "convnext_tiny"
LAYOUTS: list[tuple[str, dict[str, Any], int, Callable[[Backbone], Tensors]]] = [
    (DINO, TRANSFORMER, 28, facebook_dino),
    (DINO, TRANSFORMER, 28, hugging_dino),
    (REGISTERS, TRANSFORMER, 28, facebook_dino_registers),
    (REGISTERS, TRANSFORMER, 28, hugging_dino_registers),
    (CLIP, TRANSFORMER, 32, open_clip),
    (CLIP, TRANSFORMER, 32, hugging_clip),
    (NEXT, CONVNEXT, 32, facebook_convnext),
    (NEXT, CONVNEXT, 32, hugging_convnext),
]


@pytest.mark.parametrize(("name", "options", "side", "publish"), LAYOUTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_published_file_gives_the_network_it_is_of(
    tmp_path: Path, name: str, options: dict[str, Any], side: int, publish: Callable[[Backbone], Tensors]
) -> None:
    source, other = small(name, 0, side, **options), small(name, 1, side, **options)
    path = tmp_path / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in publish(source).items()}, path)
    report = weights.load_backbone(other, path)
    assert report.random == ()
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        assert torch.allclose(other(images), source(images), atol=1e-5)
    for key, tensor in source.state_dict().items():
        assert torch.allclose(other.state_dict()[key], tensor, atol=1e-6), key


@pytest.mark.parametrize(("name", "options", "side", "publish"), LAYOUTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_file_that_lacks_a_tensor_is_refused_by_its_name(
    tmp_path: Path, name: str, options: dict[str, Any], side: int, publish: Callable[[Backbone], Tensors]
) -> None:
    backbone = small(name, 0, side, **options)
    tensors = publish(backbone)
    lacking = next(key for key in tensors if re.search(r"(fc1|c_fc|pwconv1)\.weight$", key))
    path = tmp_path / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items() if key != lacking}, path)
    with pytest.raises(weights.WeightsError, match=r"1 missing: .*mlp\.fc1\.weight"):
        weights.load_backbone(backbone, path)


@pytest.mark.parametrize(
    ("name", "options", "side", "publish", "convert"),
    [
        (REGISTERS, TRANSFORMER, 28, facebook_dino_registers, vision_transformer._convert_dinov2),
        (CLIP, TRANSFORMER, 32, open_clip, vision_transformer._convert_openai_clip),
        (NEXT, CONVNEXT, 32, facebook_convnext, convnext.checkpoint_filter_fn),
    ],
)
def test_what_timm_converts_itself_comes_out_as_timm_has_it(
    tmp_path: Path, name: str, options: dict[str, Any], side: int, publish: Callable[[Backbone], Tensors], convert: Any
) -> None:
    backbone = small(name, 0, side, **options)
    tensors = {key: tensor.contiguous() for key, tensor in publish(backbone).items()}
    save_file(tensors, tmp_path / "model.safetensors")
    other = small(name, 1, side, **options)
    weights.load_backbone(other, tmp_path / "model.safetensors")
    expected = convert(dict(tensors), backbone.network)
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, expected[key.removeprefix("network.")]), key


@pytest.mark.parametrize(("name", "publish", "leading"), [(DINO, facebook_dino, 1), (REGISTERS, facebook_dino_registers, 0)])
def test_positions_of_another_size_are_resized_as_timm_does(
    tmp_path: Path, name: str, publish: Callable[[Backbone], Tensors], leading: int
) -> None:
    large, other = small(name, 0, 70, **TRANSFORMER), small(name, 1, 28, **TRANSFORMER)
    save_file({key: tensor.contiguous() for key, tensor in publish(large).items()}, tmp_path / "model.safetensors")
    report = weights.load_backbone(other, tmp_path / "model.safetensors")
    positions = large.state_dict()["network.pos_embed"]
    expected = resample_abs_pos_embed(positions, [2, 2], num_prefix_tokens=leading)
    assert torch.allclose(other.state_dict()["network.pos_embed"], expected, atol=1e-5)
    assert report.adapted == (f"pos_embed resized from {25 + leading} to {4 + leading} tokens",)


def shapes_of(name: str, publish: Callable[[Backbone], Tensors]) -> Tensors:
    """A published file of the whole network `name`, two blocks deep, as zeros that take no memory."""
    with torch.device("meta"):
        plain = registry.create(f"timm:{name}", depth=2)
    renamed = {key: torch.zeros(1).expand(tensor.shape) for key, tensor in plain.state_dict().items()}
    plain.state_dict = lambda: renamed  # type: ignore[method-assign, assignment]
    return publish(plain)


@pytest.mark.parametrize(
    ("name", "publish", "expected"),
    [
        (DINO, hugging_dino, (DINO,)),
        (DINO, facebook_dino, (DINO,)),
        (REGISTERS, named, (REGISTERS,)),
        (CLIP, hugging_clip, ("vit_base_patch16_clip_quickgelu_224", CLIP)),
        (CLIP, open_clip, ("vit_base_patch16_clip_quickgelu_224", CLIP)),
    ],
)
def test_names_and_shapes_say_which_network_a_file_is_of(
    name: str, publish: Callable[[Backbone], Tensors], expected: tuple[str, ...]
) -> None:
    assert likely_backbones(shapes_of(name, publish)) == tuple(f"timm:{one}" for one in expected)
    assert set(likely_backbones(shapes_of(name, publish))) <= set(registry.names_of_library("timm"))


def test_a_small_convnext_and_a_stranger_are_no_known_network(tmp_path: Path) -> None:
    assert likely_backbones(hugging_convnext(small(NEXT, 0, 32, **CONVNEXT))) == ()
    assert likely_backbones({"fc.weight": torch.ones(2, 2)}) == ()
    with torch.device("meta"):
        whole = registry.create(f"timm:{NEXT}")
    assert likely_backbones({key.removeprefix("network."): value for key, value in whole.state_dict().items()}) == (
        f"timm:{NEXT}",
    )


def test_a_file_is_told_by_what_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = registry.create("timm:vit_tiny_patch16_224")
    save_file({key: value.contiguous() for key, value in named(backbone).items()}, tmp_path / "fmae.safetensors")
    best = weights.inspect(tmp_path / "fmae.safetensors").candidates[0]
    assert (best.backbone, best.match.complete) == ("timm:vit_tiny_patch16_224", True)


ENCODERS = {"dinov2": (257, 768), "clip": (197, 768), "convnext": (768, 7, 7)}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_recipe_of_an_encoder_builds_it_at_224_and_names_the_file_it_wants(name: str) -> None:
    recipe = recipes.load(name)
    with torch.device("meta"):
        backbone = registry.create(recipe.backbone, image_size=recipe.image_size)
    assert (recipe.image_size, backbone.feature_shape) == (224, ENCODERS[name])
    with pytest.raises(DataError, match=r"docs/encoders\.md"):
        initial_weights(recipe, from_scratch=False)
    page = (Path(__file__).resolve().parent.parent / "docs" / "encoders.md").read_text()
    assert all(word in page for word in re.findall(r"[\w/-]+\.(?:pth|pt|safetensors)", recipe.weights_wanted))


def test_clip_is_normalised_as_it_was_trained() -> None:
    backbone = registry.create(recipes.load("clip").backbone)
    assert backbone.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
