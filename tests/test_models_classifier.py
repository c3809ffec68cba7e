"""The classifier: its random weights a function of the seed, its features pooled, its backbone frozen on demand."""

from __future__ import annotations

import pytest
import torch

from models import classifier, heads, registry


def test_the_weights_are_a_function_of_the_seed_and_nothing_else_is_drawn() -> None:
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    first = classifier.build("res18", "spatial", 8, seed=3, image_size=96)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    again = classifier.build("res18", "spatial", 8, seed=3, image_size=96)
    other = classifier.build("res18", "spatial", 8, seed=4, image_size=96)
    expected = first.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())
    assert not torch.equal(other.state_dict()["head.fc.weight"], expected["head.fc.weight"])
    assert not torch.equal(other.state_dict()["backbone.conv1.weight"], expected["backbone.conv1.weight"])


def test_logits_are_the_heads_of_the_features_and_pooled_features_a_vector() -> None:
    network = classifier.build("res18", "spatial", 5, seed=0, image_size=96, head_options={"hidden": 8}).eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(network(images), network.head(network.backbone(images)))
        assert network(images).shape == (2, 5)
        assert torch.allclose(network.features(images), network.backbone(images).flatten(2).mean(2), atol=1e-6)


def test_the_pooled_head_of_a_transformer_reads_its_class_token() -> None:
    network = classifier.build("timm:vit_tiny_patch16_224", "pooled", 5, seed=0).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        features = network.features(images)
        assert torch.equal(features, network.backbone(images)[:, 0])
        head = network.head
        assert isinstance(head, heads.PooledHead)
        assert torch.allclose(network(images), head.fc(features), atol=1e-6)


def test_freezing_reaches_the_backbone_and_never_the_head() -> None:
    network = classifier.build("res18", "pooled", 5, seed=0, image_size=64)
    network.freeze(4)
    network.train()
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert {name for name, parameter in network.named_parameters() if parameter.grad is not None} == {
        "head.fc.weight",
        "head.fc.bias",
    }
    assert not network.backbone.get_submodule("layer4.1.bn2").training
    assert network.head.training


def test_names_and_options_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(registry.UnknownBackboneError):
        classifier.build("res17", "pooled", 5, seed=0)
    with pytest.raises(heads.UnknownHeadError):
        classifier.build("res18", "pool", 5, seed=0)
