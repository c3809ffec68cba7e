"""What each architecture must be: parameter counts, maps, tokens and names as published, and equality with slow versions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from models import registry
from models.backbones import torchvision_named
from models.backbones.apvit import APViT, PoolingBlock, keep_highest
from models.backbones.ir50 import Unit


def test_ir50_has_the_published_size_units_and_maps() -> None:
    backbone = registry.create("ir50")
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 30_727_360
    assert sum(isinstance(module, Unit) for module in backbone.modules()) == 24
    features = torch.randn(1, 3, 112, 112)
    shapes = []
    with torch.no_grad():
        for stage in backbone.eval().stages:
            features = backbone.run_stage(stage, features)
            shapes.append(tuple(features.shape[1:]))
    assert shapes == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]


def test_ir50_has_the_names_of_the_face_evolve_weights() -> None:
    names = set(registry.create("ir50").state_dict())
    assert {name.split(".")[1] for name in names if name.startswith("body")} == {str(unit) for unit in range(24)}
    assert {name.split(".")[1] for name in names if "shortcut_layer" in name} == {"3", "7", "21"}
    assert {"input_layer.0.weight", "input_layer.1.running_mean", "input_layer.2.weight", "body.0.res_layer.4.bias"} <= names


def test_hierarchical_ir50_is_the_first_stages_of_ir50_under_other_names() -> None:
    torch.manual_seed(0)
    flat = registry.create("ir50").eval()
    hierarchical = registry.create("hierarchical-ir50").eval()
    assert sum(parameter.numel() for parameter in hierarchical.parameters()) == 17_611_968
    state = {}
    for name, tensor in flat.state_dict().items():
        part, _, rest = name.partition(".")
        if part == "body":
            unit, _, rest = rest.partition(".")
            where = next((s, int(unit) - first) for s, first in ((3, 21), (2, 7), (1, 3), (0, 0)) if int(unit) >= first)
            if where[0] < 3:
                state[f"body.{where[0]}.{where[1]}.{rest}"] = tensor
        else:
            state[name] = tensor
    hierarchical.load_state_dict(state)
    features = images = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        for stage in flat.stages[:3]:
            features = flat.run_stage(stage, features)
        assert torch.equal(features, hierarchical(images))
    assert registry.create("hierarchical-ir50", last_stage=4).feature_shape == (512, 7, 7)


def test_a_unit_of_ir50_equals_its_layers_written_out() -> None:
    torch.manual_seed(0)
    unit = Unit(4, 6, 2).eval()
    state = {
        name: tensor.uniform_(0.5, 1.5) if tensor.is_floating_point() else tensor for name, tensor in unit.state_dict().items()
    }
    features = torch.randn(2, 4, 8, 8)

    def norm(inputs: Tensor, name: str) -> Tensor:
        scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
        centred = inputs - state[f"{name}.running_mean"][:, None, None]
        scaled: Tensor = centred * scale[:, None, None] + state[f"{name}.bias"][:, None, None]
        return scaled

    inner = F.conv2d(norm(features, "res_layer.0"), state["res_layer.1.weight"], padding=1)
    inner = torch.where(inner > 0, inner, inner * state["res_layer.2.weight"][:, None, None])
    inner = norm(F.conv2d(inner, state["res_layer.3.weight"], stride=2, padding=1), "res_layer.4")
    shortcut = norm(F.conv2d(features, state["shortcut_layer.0.weight"], stride=2), "shortcut_layer.1")
    assert torch.allclose(unit(features), inner + shortcut, atol=1e-4, rtol=1e-4)
    # Where the channels stay, every second pixel is taken as it is, without a parameter.
    unit = Unit(4, 4, 2)
    assert [name for name in unit.state_dict() if "shortcut" in name] == []
    assert torch.equal(unit.shortcut_layer(features), features[:, :, ::2, ::2])


@pytest.fixture(scope="module")
def apvit() -> APViT:
    torch.manual_seed(0)
    backbone = registry.create("apvit")
    assert isinstance(backbone, APViT)
    return backbone.eval()


def test_apvit_keeps_161_to_105_tokens_and_has_the_published_size(apvit: APViT) -> None:
    assert sum(parameter.numel() for parameter in apvit.extractor.parameters()) == 17_611_968
    assert sum(parameter.numel() for parameter in apvit.vit.parameters()) == 47_592_192
    features = torch.randn(1, 3, 112, 112)
    tokens = []
    with torch.no_grad():
        for stage in apvit.stages:
            features = apvit.run_stage(stage, features)
            if stage.startswith("block"):
                tokens.append(features.shape[1])
    assert tokens == [161, 161, 161, 161, 145, 130, 117, 105]


def test_apvit_has_the_names_and_shapes_of_its_published_checkpoint(apvit: APViT) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in apvit.state_dict().items()}
    assert shapes["vit.projs.0.weight"] == (768, 256, 1, 1)
    assert shapes["vit.projs.0.bias"] == (768,)
    assert shapes["vit.cls_token"] == shapes["vit.cls_pos_embed"] == (1, 1, 768)
    assert shapes["vit.patch_pos_embed"] == (1, 196, 768)
    assert shapes["vit.blocks.7.attn.qkv.weight"] == (2304, 768)
    assert "vit.blocks.7.attn.qkv.bias" not in shapes
    assert shapes["vit.blocks.7.attn.proj.bias"] == (768,)
    assert shapes["vit.blocks.0.mlp.fc1.weight"] == (2304, 768)
    assert shapes["vit.blocks.0.mlp.fc2.weight"] == (768, 2304)
    assert shapes["vit.norm.bias"] == (768,)
    assert shapes["extractor.body.2.13.res_layer.4.running_var"] == (256,)
    assert "extractor.body.3.0.res_layer.0.weight" not in shapes


def test_attentive_patch_pooling_equals_a_loop_over_patches(apvit: APViT) -> None:
    features = torch.randn(2, 256, 14, 14, generator=torch.Generator().manual_seed(3))
    projection = apvit.vit.projs[0]
    assert isinstance(projection, nn.Conv2d)
    assert projection.bias is not None
    with torch.no_grad():
        pooled = apvit._embed(features)
        for image, tokens in zip(features, pooled, strict=True):
            patches = []
            for row in range(14):
                for column in range(14):
                    token = projection.weight[:, :, 0, 0] @ image[:, row, column] + projection.bias
                    patches.append((float(token.abs().sum()), row * 14 + column, token))
            kept = sorted(sorted(patches, key=lambda patch: -patch[0])[:160], key=lambda patch: patch[1])
            expected = [(apvit.vit.cls_token + apvit.vit.cls_pos_embed)[0, 0]]
            expected += [token + apvit.vit.patch_pos_embed[0, position] for _, position, token in kept]
            assert torch.allclose(tokens, torch.stack(expected), atol=1e-5)


def test_a_pooling_block_equals_a_loop_over_heads_and_queries() -> None:
    torch.manual_seed(4)
    width, heads = 12, 3
    block = PoolingBlock(width, heads, 20, keep_rate=0.5)
    tokens = torch.randn(1, 8, width)
    with torch.no_grad():
        normal = block.norm1(tokens)[0]
        queries, keys, values = (normal @ block.attn.qkv.weight.T).reshape(8, 3, heads, 4).permute(1, 2, 0, 3)
        gathered = torch.zeros(8, width)
        scores = torch.zeros(8)
        for head in range(heads):
            for query in range(8):
                logits = torch.stack([queries[head, query] @ keys[head, key] for key in range(8)]) * 4**-0.5
                gathered[query, head * 4 : head * 4 + 4] = logits.softmax(0) @ values[head]
                if query == 0:
                    scores += logits
        attended = tokens[0] + gathered @ block.attn.proj.weight.T + block.attn.proj.bias
        best = sorted(range(1, 8), key=lambda token: -float(scores[token]))[:3]
        kept = attended[[0, *sorted(best)]]
        expected = kept + block.mlp(block.norm2(kept))
        assert torch.allclose(block(tokens)[0], expected, atol=1e-5)


def test_kept_tokens_stand_in_their_old_order() -> None:
    tokens = torch.arange(5.0).reshape(1, 5, 1)
    assert keep_highest(tokens, torch.tensor([[1.0, 5.0, 2.0, 9.0, 7.0]]), 3).flatten().tolist() == [1, 3, 4]


def test_no_gradient_passes_through_the_scores_of_pooling() -> None:
    block = PoolingBlock(8, 2, 16, keep_rate=0.5)
    with torch.no_grad():
        block.attn.proj.weight.zero_()
        block.attn.proj.bias.zero_()
    block(torch.randn(1, 9, 8)).square().sum().backward()
    assert block.attn.qkv.weight.grad is not None
    assert not block.attn.qkv.weight.grad.any()


def test_apvit_of_another_image_size_says_how_many_patches_it_has() -> None:
    with pytest.raises(ValueError, match="64 pixels has 64 patches, so 160 cannot be kept"):
        registry.create("apvit", image_size=64)
    assert registry.create("apvit", image_size=64, kept_patches=60).feature_shape[1] == 768


def test_vit_b16_equals_timms_with_the_same_weights() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    ours = registry.create("vit-b16", image_size=64).eval()
    full = registry.create_without_data("vit-b16")
    assert sum(parameter.numel() for parameter in full.parameters()) == 85_798_656
    theirs = timm.create_model("vit_base_patch16_224", pretrained=False, num_classes=0, img_size=64).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs.forward_features(images), atol=1e-4)


def test_resnets_equal_torchvisions_up_to_the_last_map() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None).eval()
    torch.manual_seed(0)
    ours = registry.create("res18").eval()
    assert set(theirs.state_dict()) - set(ours.state_dict()) == {"fc.weight", "fc.bias"}
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(theirs.fc(ours(images).mean((2, 3))), theirs(images))


def _logits(network: nn.Module, features: Tensor) -> Tensor:
    """What a torchvision network makes of its last features."""
    if features.dim() == 3:
        tokens: Tensor = network.get_submodule("heads")(features[:, 0])
        return tokens
    if hasattr(network, "avgpool"):
        features = network.get_submodule("avgpool")(features)
    elif not type(network).__name__.startswith(("SqueezeNet", "MaxVit")):
        features = features.mean((2, 3))
    last = next(name for name in ("classifier", "fc", "head") if hasattr(network, name))
    if type(network).__name__ not in ("ConvNeXt", "SqueezeNet", "MaxVit"):
        features = features.flatten(1)
    logits: Tensor = network.get_submodule(last)(features).flatten(1)
    return logits


def _assert_equal_to_torchvision(name: str, image_size: int | None = None) -> None:
    torch.manual_seed(0)
    backbone = torchvision_named.build(name, image_size).eval()
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_weights": True, "aux_logits": False} if name.startswith(("googlenet", "inception")) else {}
    if name.startswith("vit"):
        options = {"image_size": backbone.image_size}
    if name.startswith("maxvit"):
        options = {"input_size": (backbone.image_size, backbone.image_size)}
    network = torchvision.models.get_model(name, weights=None, **options).eval()
    assert set(backbone.state_dict()) <= set(network.state_dict())
    images = torch.randn(1, 3, backbone.image_size, backbone.image_size)
    with torch.no_grad():
        features = backbone(images)
        assert tuple(features.shape[1:]) == backbone.feature_shape
        assert torch.equal(_logits(network, features), network(images))


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_small", "squeezenet1_1", "swin_t", "googlenet"])
def test_a_torchvision_network_by_name_gives_the_features_that_its_classifier_reads(name: str) -> None:
    _assert_equal_to_torchvision(name, 64)


GIANTS = ("regnet_y_128gf", "vit_h_14", "vit_l_16", "vit_l_32")
"""Over 300 million parameters; smaller ones of the same code are tested."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in torchvision_named.names() if name not in GIANTS])
def test_every_torchvision_network_gives_the_features_that_its_classifier_reads(name: str) -> None:
    _assert_equal_to_torchvision(name, None if name.startswith(("inception", "maxvit", "vit")) else 96)


@pytest.mark.parametrize("name", ["efficientnet_b0", "densenet121"])
def test_a_network_by_name_draws_no_random_numbers_in_training(name: str) -> None:
    backbone = registry.create(f"torchvision:{name}", image_size=32).train()
    before = torch.random.get_rng_state()
    backbone(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_timm_maps_with_channels_last_are_turned_and_registers_dropped() -> None:
    pytest.importorskip("timm")
    assert registry.create_without_data("timm:swin_tiny_patch4_window7_224").feature_shape == (768, 7, 7)
    backbone = registry.create("timm:vit_small_patch14_reg4_dinov2", image_size=56)
    assert backbone.feature_shape == (1 + 4 * 4, 384)
    assert backbone.has_class_token
