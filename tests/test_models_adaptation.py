"""How a large backbone is trained: layers for falling rates, branches left out, low-rank adaptation, gradient checkpointing."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import timm
import torch
from timm.layers.drop import DropPath as TimmDropPath
from timm.optim._param_groups import param_groups_layer_decay
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from models import lora, registry
from models.backbones.base import Backbone
from models.backbones.drop_path import DropPath, drop_paths, give_numbers
from models.backbones.vit import VisionTransformer
from tests.toy_faces import SmallNetwork


def small_vit(seed: int = 0, side: int = 16) -> VisionTransformer:
    """Two blocks of width 16 on four patches."""
    torch.manual_seed(seed)
    return VisionTransformer(side, patch_size=8, width=16, depth=2, heads=2)


def images(count: int = 3, side: int = 16) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("timm:vit_tiny_patch16_224", "vit_tiny_patch16_224"),
        ("timm:convnext_atto", "convnext_atto"),
        ("vit-b16", "vit_base_patch16_224"),
    ],
)
def test_the_layers_are_those_by_which_timm_lets_rates_fall(ours: str, theirs: str) -> None:
    decay = 0.75
    with torch.device("meta"):
        whole = timm.create_model(theirs)
        backbone = registry.create(ours)
    rate_of = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(whole, layer_decay=decay)
        for parameter in group["params"]
    }
    expected = {name: rate_of[id(parameter)] for name, parameter in whole.named_parameters()}
    layers = backbone.decay_layers()
    found = {
        name.removeprefix(backbone.key_prefix): decay ** (len(layers) - index)
        for index, layer in enumerate(layers)
        for name in layer
    }
    # timm counts ConvNeXt's last norm with the classifier, whose rate does not fall.
    assert {name: found.get(name, 1.0) for name in expected} == pytest.approx(expected)
    assert len(found) > 50


def test_layers_hold_every_parameter_of_a_network_of_stages_once() -> None:
    backbone = registry.create("res18")
    names = [name for layer in backbone.decay_layers() for name in layer]
    assert sorted(names) == sorted(name for name, _ in backbone.named_parameters())
    assert "conv1.weight" in backbone.decay_layers()[0]


@pytest.mark.parametrize("foreign", [StochasticDepth(0.3, "row"), TimmDropPath(0.3)])
def test_a_branch_that_is_left_out_is_what_torchvision_and_timm_leave_out(
    foreign: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch, numbers = torch.randn(64, 5, 4), torch.rand(64)
    ours = DropPath(0.3)
    ours.numbers = numbers

    def drawn(self: Tensor, probability: float) -> Tensor:
        return self.copy_((numbers >= 1 - probability).to(self.dtype).view_as(self))

    monkeypatch.setattr(Tensor, "bernoulli_", drawn)
    assert torch.allclose(ours.train()(branch), foreign.train()(branch), rtol=1e-6)
    assert 0 < int((ours(branch) == 0).all(dim=(1, 2)).sum()) < 64
    assert torch.equal(ours.eval()(branch), branch)


@pytest.mark.parametrize("name", ["vit-b16", "apvit", "timm:vit_tiny_patch16_224", "torchvision:convnext_tiny"])
def test_rates_rise_to_the_one_that_was_asked_for_and_change_no_name(name: str) -> None:
    with torch.device("meta"):
        backbone, plain = registry.create(name, drop_path=0.2), registry.create(name)
    rates = [path.rate for path in drop_paths(backbone)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2)
    assert list(backbone.state_dict()) == list(plain.state_dict())
    assert not any(path.rate for path in drop_paths(plain))


@pytest.mark.parametrize("name", ["res18", "torchvision:resnet18", "timm:vgg11"])
def test_a_network_without_branches_to_leave_out_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="drop_path"):
        registry.create(name, drop_path=0.2)


def test_each_branch_takes_its_own_number_of_each_sample() -> None:
    backbone = registry.create("vit-b16", drop_path=0.5)
    numbers = torch.rand(2, len(drop_paths(backbone)))
    give_numbers(backbone, numbers)
    assert torch.equal(torch.stack([path.numbers for path in drop_paths(backbone) if path.numbers is not None], dim=1), numbers)


def adapted_vit() -> VisionTransformer:
    """The small network with low-rank matrices that are not zero."""
    backbone = small_vit()
    assert lora.adapt(backbone, rank=2, scale=3.0, targets=("attn",), seed=0) == 4
    generator = torch.Generator().manual_seed(2)
    for name, parameter in backbone.named_parameters():
        if name.endswith(".0.b"):
            nn.init.normal_(parameter, generator=generator)
    return backbone


def test_low_rank_adaptation_adds_what_its_paper_adds() -> None:
    """h = W x + b + (alpha / r) B A x, equation 3."""
    layer: Any = adapted_vit().blocks[0].attn.qkv  # type: ignore[union-attr]
    (low_rank,) = layer.parametrizations.weight
    tokens = torch.randn(2, 5, 16)
    slow = F.linear(tokens, layer.parametrizations.weight.original, layer.bias)
    for sample in range(2):
        for token in range(5):
            slow[sample, token] += 3.0 * (low_rank.b @ (low_rank.a @ tokens[sample, token]))
    assert torch.allclose(layer(tokens), slow, atol=1e-5)


@pytest.mark.slow  # PEFT takes long to be imported, more than this file takes.
def test_low_rank_adaptation_is_pefts() -> None:
    """With the same matrices PEFT's network gives the same outputs, gradients and merged weights."""
    import peft

    ours, theirs = adapted_vit(), small_vit()
    settings = peft.LoraConfig(r=2, lora_alpha=6, target_modules=r".*attn\.(qkv|proj)", lora_dropout=0.0)
    peft.inject_adapter_in_model(settings, theirs)
    matrices = {
        "parametrizations.weight.0.a": "lora_A.default.weight",
        "parametrizations.weight.0.b": "lora_B.default.weight",
    }
    theirs_of = {
        name: f"{name.removesuffix(end)}{matrices[end]}"
        for name, _ in ours.named_parameters()
        for end in matrices
        if name.endswith(end)
    }
    assert len(theirs_of) == 8
    known = dict(theirs.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if name in theirs_of:
                known[theirs_of[name]].copy_(parameter)
    assert torch.allclose(theirs(images()), ours(images()), atol=1e-5)
    found, expected = gradients(ours, images()), gradients(theirs, images())
    assert {theirs_of[name] for name in found} == set(expected)
    for name, gradient in found.items():
        assert torch.allclose(gradient, expected[theirs_of[name]], atol=1e-5), name
    merged = lora.merged(ours.state_dict(), 3.0)
    for module in theirs.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.merge()
    for name, tensor in theirs.state_dict().items():
        if ".lora_" not in name:
            assert torch.allclose(merged[name.replace(".base_layer", "")], tensor, atol=1e-6), name


def test_adaptation_starts_at_the_weights_and_trains_nothing_but_the_matrices() -> None:
    plain, backbone = small_vit(), small_vit()
    lora.adapt(backbone, rank=2, scale=1.0, targets=("attn",), seed=0)
    assert torch.equal(backbone(images()), plain(images()))
    backbone(images()).square().sum().backward()
    trained = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert trained == {name for name, _ in backbone.named_parameters() if name.endswith((".0.a", ".0.b"))}
    assert len(trained) == 8


def test_merged_weights_are_those_of_the_plain_network() -> None:
    plain, backbone = small_vit(), adapted_vit()
    before = plain.state_dict()["blocks.0.attn.qkv.weight"].clone()
    plain.load_state_dict(lora.merged(backbone.state_dict(), 3.0))
    assert torch.equal(plain(images()), backbone(images()))
    assert not torch.equal(plain.state_dict()["blocks.0.attn.qkv.weight"], before)


def test_adaptation_is_refused_where_it_would_lose_something() -> None:
    with pytest.raises(ValueError, match="BatchNorm"):
        lora.adapt(SmallNetwork(), rank=2, scale=1.0, targets=("conv",), seed=0)
    with pytest.raises(ValueError, match="no matrix"):
        lora.adapt(small_vit(), rank=2, scale=1.0, targets=("query",), seed=0)
    frozen = small_vit()
    frozen.freeze(1)
    assert lora.adapt(frozen, rank=2, scale=1.0, targets=("attn",), seed=0) == 2


def gradients(backbone: Backbone, inputs: Tensor) -> dict[str, Tensor]:
    backbone.train()
    backbone(inputs).square().mean().backward()
    return {name: parameter.grad for name, parameter in backbone.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("build", [small_vit, SmallNetwork, lambda: registry.create("timm:vit_tiny_patch16_224", image_size=32)])
def test_gradient_checkpointing_changes_no_gradient_and_no_statistic(build: Any) -> None:
    torch.manual_seed(0)
    plain = build()
    saving = copy.deepcopy(plain)
    saving.checkpoint_gradients()
    inputs = images(3, plain.image_size)
    first, second = gradients(plain, inputs), gradients(saving, inputs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    buffers = dict(saving.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in plain.named_buffers())


def test_gradient_checkpointing_runs_the_stages_a_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = small_vit()
    backbone.checkpoint_gradients()
    stages: list[str] = []
    plain = VisionTransformer.run_stage

    def noted(self: VisionTransformer, stage: str, features: Tensor) -> Tensor:
        stages.append(stage)
        return plain(self, stage, features)

    monkeypatch.setattr(VisionTransformer, "run_stage", noted)
    gradients(backbone, images())
    assert stages == ["block1", "block2", "block2", "block1"]


def test_gradient_checkpointing_is_refused_where_statistics_would_move_twice() -> None:
    with pytest.raises(ValueError, match="BatchNorm"):
        registry.create("timm:resnet18").checkpoint_gradients()


def test_the_first_matrix_starts_as_a_linear_layer_does() -> None:
    backbone = small_vit()
    lora.adapt(backbone, rank=64, scale=1.0, targets=("mlp.fc1",), seed=0)
    layer: Any = backbone.blocks[0].mlp.fc1  # type: ignore[union-attr]
    (low_rank,) = layer.parametrizations.weight
    assert float(low_rank.a.detach().std()) == pytest.approx(1 / math.sqrt(16) / math.sqrt(3), rel=0.1)
