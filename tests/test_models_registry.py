"""Every backbone keeps the one contract: shapes, stages, gradients, freezing, reduced precision; and names."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from models import registry
from models.backbones.base import Backbone
from models.names import MissingPackageError

SHAPES = {
    "res18": (512, 7, 7),
    "res50": (2048, 7, 7),
    "ir50": (512, 7, 7),
    "hierarchical-ir50": (256, 14, 14),
    "apvit": (105, 768),
    "vit-b16": (197, 768),
    "lite0": (1280, 7, 7),
    "torchvision:shufflenet_v2_x0_5": (1024, 7, 7),
    "timm:resnet18": (512, 7, 7),
    "timm:vit_tiny_patch16_224": (197, 192),
}


SMALL: dict[str, dict[str, Any]] = {
    "res18": {"image_size": 64},
    "res50": {"image_size": 64},
    "ir50": {"image_size": 48},
    "hierarchical-ir50": {"image_size": 48},
    "apvit": {"image_size": 64, "kept_patches": 60},
    "vit-b16": {"image_size": 64},
    "lite0": {"image_size": 64},
}
"""Sizes at which the tests run quickly."""


@pytest.fixture(scope="module", params=SHAPES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    torch.manual_seed(0)
    return registry.create(request.param, **SMALL.get(request.param, {}))


def images(backbone: Backbone, count: int) -> Tensor:
    return torch.randn(count, 3, backbone.image_size, backbone.image_size, generator=torch.Generator().manual_seed(1))


def state_of(backbone: Backbone, stages: tuple[str, ...]) -> dict[str, Tensor]:
    members = tuple(name for stage in stages for name in backbone.members[stage])
    return {
        name: tensor.clone()
        for name, tensor in backbone.state_dict().items()
        if any(name == member or name.startswith(f"{member}.") for member in members)
    }


def test_our_own_names_are_all_tested() -> None:
    assert set(registry.names()) <= set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_the_features_of_images_of_the_designed_size_have_the_published_shape(name: str) -> None:
    assert registry.create_without_data(name).feature_shape == SHAPES[name]


def test_features_have_the_promised_shape_are_finite_and_depend_on_their_image_alone(backbone: Backbone) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.named_buffers()}
    expected = backbone.feature_shape
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.named_buffers())
    backbone.eval()
    batch = images(backbone, 2)
    with torch.no_grad():
        features = backbone(batch)
        swapped = backbone(batch.flip(0)).flip(0)
    assert features.shape == (2, *expected)
    assert features.isfinite().all()
    assert torch.equal(features, swapped)


def test_the_stages_name_each_parameter_and_statistic_once(backbone: Backbone) -> None:
    found = [name for stage in backbone.stages for name in state_of(backbone, (stage,))]
    assert sorted(found) == sorted(backbone.state_dict())


def test_bfloat16_is_close_to_float32(backbone: Backbone) -> None:
    backbone.eval()
    batch = images(backbone, 2)
    with torch.no_grad():
        exact = backbone(batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = backbone(batch).float()
    if backbone.has_class_token:
        # Attentive pooling may keep other patches after rounding; the class token stays.
        exact, rounded = exact[:, 0], rounded[:, 0]
    assert rounded.isfinite().all()
    assert torch.cosine_similarity(exact.flatten(1), rounded.flatten(1)).min() > 0.99


def test_two_frozen_stages_stay_bit_identical_and_all_other_parameters_learn(backbone: Backbone) -> None:
    backbone = copy.deepcopy(backbone)
    backbone.freeze(2)
    backbone.train()
    frozen = state_of(backbone, backbone.stages[:2])
    free = {name: tensor for name, tensor in backbone.named_parameters() if name not in frozen}
    assert frozen
    assert free
    optimiser = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=1e-3, momentum=0.9, weight_decay=0.1)
    target = torch.randn(backbone.feature_shape, generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        optimiser.zero_grad()
        features = backbone(images(backbone, 2))
        (features * target).mean().backward()
        optimiser.step()
    for name, tensor in state_of(backbone, backbone.stages[:2]).items():
        assert torch.equal(tensor, frozen[name]), name
    for name, parameter in backbone.named_parameters():
        if name in free:
            assert parameter.grad is not None, f"no gradient for {name}"
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), f"zero gradient for {name}"
        else:
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name


def test_freezing_fewer_stages_lets_the_others_learn_again() -> None:
    backbone = registry.create("res18", image_size=64)
    backbone.freeze(2)
    assert sum(p.numel() for p in backbone.parameters() if not p.requires_grad) == 683_072
    backbone.freeze(1)
    assert backbone.get_submodule("layer2").training
    assert not backbone.get_submodule("bn1").training
    backbone.freeze(0)
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    assert all(module.training for module in backbone.modules())
    with pytest.raises(ValueError, match="cannot freeze 5 stages: the backbone has 4"):
        backbone.freeze(5)


def test_freezing_two_stages_of_res50_holds_1444928_of_23508032_parameters() -> None:
    backbone = registry.create("res50")
    backbone.freeze(2)
    assert sum(p.numel() for p in backbone.parameters()) == 23_508_032
    assert sum(p.numel() for p in backbone.parameters() if not p.requires_grad) == 1_444_928
    assert not any(
        p.requires_grad for name in ("conv1", "bn1", "layer1", "layer2") for p in backbone.get_submodule(name).parameters()
    )


def test_frozen_stages_record_nothing_for_a_backward_pass() -> None:
    backbone = registry.create("res18", image_size=64)
    backbone.freeze(2)
    backbone.train()
    seen = {}
    for name in ("layer2", "layer3"):
        backbone.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.requires_grad}))
    backbone(images(backbone, 2).requires_grad_())
    assert seen == {"layer2": False, "layer3": True}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("rse50", "Did you mean 'res50'"),
        ("resnet50", "Did you mean 'res50'"),
        ("torchvision:resnet5", "Did you mean 'torchvision:resnet50'"),
        ("timm:vit_tinny_patch16_224", "'timm:vit_tiny_patch16_224'"),
        ("torchvison:resnet18", "'torchvision:NAME'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(name: str, suggestion: str) -> None:
    with pytest.raises(registry.UnknownBackboneError) as caught:
        registry.create(name)
    assert suggestion in str(caught.value)
    assert isinstance(caught.value, KeyError)


def test_a_timm_name_with_the_tag_of_weights_is_the_same_network_with_their_image_size_and_normalisation() -> None:
    timm = pytest.importorskip("timm")
    plain, tagged = registry.create("timm:resnet18"), registry.create("timm:resnet18.a1_in1k")
    assert plain.state_dict().keys() == tagged.state_dict().keys()
    half = "vit_tiny_patch16_224.augreg_in21k"
    made = registry.create_without_data(f"timm:{half}")
    assert made.mean == timm.models.get_pretrained_cfg(half).mean == (0.5, 0.5, 0.5)
    with pytest.raises(registry.UnknownBackboneError, match=r"a1_in1k"):
        registry.create("timm:resnet18.a1_in1")


def test_without_timm_its_names_say_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match="'timm', which is not installed"):
        registry.create("timm:resnet18")
    assert registry.create_without_data("res18").feature_shape == (512, 7, 7)


def test_an_unknown_option_or_normalisation_is_named() -> None:
    with pytest.raises(ValueError, match="depth"):
        registry.create("ir50", depth=100)
    with pytest.raises(ValueError, match="known: imagenet, half"):
        registry.create("ir50", normalisation="imagenette")


def test_the_normalisation_is_that_of_the_published_weights_unless_told_otherwise() -> None:
    assert registry.create("hierarchical-ir50").mean == (0.5, 0.5, 0.5)
    assert registry.create("hierarchical-ir50", normalisation="imagenet").mean == (123.675 / 255, 116.28 / 255, 103.53 / 255)
    assert registry.create("res18").std == (58.395 / 255, 57.12 / 255, 57.375 / 255)
