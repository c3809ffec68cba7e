"""What a training starts from: one file or two, all of it or what was allowed, and messages that lead on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness import files
from harness.errors import DataError, MissingExtraError, UsageError
from harness.recipes import recipe as recipes
from harness.training.network import InitialWeights, build_network, initial_weights
from models import classifier
from models.names import MissingPackageError


class TwoParts(nn.Module):
    """Parts named as APViT's, and small."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.extractor = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.vit = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


@pytest.fixture
def published() -> TwoParts:
    """The network as somebody trained it."""
    network = TwoParts(1)
    network.extractor(torch.randn(2, 3, 4, 4))
    return network


def written(path: Path, part: nn.Module, but: str | None = None) -> Path:
    save_file({name: tensor for name, tensor in part.state_dict().items() if name != but}, path)
    return path


def first_weight(network: TwoParts) -> Tensor:
    tensor: Tensor = network.state_dict()["extractor.0.weight"]
    return tensor


def start(first: Path, second: Path | None = None, **changes: str) -> InitialWeights:
    given = {"weights": str(first), **({} if second is None else {"weights_second": str(second)}), **changes}
    weights = initial_weights(recipes.load("apvit-ms1m", given), from_scratch=False)
    assert weights is not None
    return weights


def test_two_files_fill_the_two_parts_and_both_are_recorded(tmp_path: Path, published: TwoParts) -> None:
    first = written(tmp_path / "ir50.safetensors", published.extractor)
    second = written(tmp_path / "vit.safetensors", published.vit)
    weights = start(first, second)
    network = TwoParts(2)
    lines = weights.load_into(network)
    for name, tensor in published.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name
    assert [line.split(" starts from ")[0] for line in lines] == ["the backbone's extractor", "the backbone's vit"]
    assert weights.provenance == {
        "file": "ir50.safetensors",
        "sha256": files.sha256(first),
        "part": "extractor",
        "second_file": "vit.safetensors",
        "second_sha256": files.sha256(second),
        "second_part": "vit",
    }


def test_a_missing_second_file_is_asked_for(tmp_path: Path, published: TwoParts) -> None:
    first = written(tmp_path / "ir50.safetensors", published.extractor)
    with pytest.raises(DataError, match="weights_second=FILE") as refusal:
        start(first)
    assert "vit_small_p16_224" in str(refusal.value.expected)
    assert start(first, weights_second_part="null").provenance["file"] == "ir50.safetensors"
    with pytest.raises(DataError, match=r"absent\.pth"):
        start(first, tmp_path / "absent.pth")


def test_a_part_that_the_backbone_does_not_have_is_a_fault_of_use(tmp_path: Path, published: TwoParts) -> None:
    first = written(tmp_path / "ir50.safetensors", published.extractor)
    with pytest.raises(UsageError, match="tail"):
        start(first, weights_part="tail", weights_second_part="null").load_into(TwoParts(2))


def test_a_file_that_lacks_a_tensor_is_refused_with_the_way_on(tmp_path: Path, published: TwoParts) -> None:
    first = written(tmp_path / "ir50.safetensors", published.extractor, but="0.bias")
    weights = start(first, weights_second_part="null")
    network = TwoParts(2)
    with pytest.raises(DataError, match=r"0\.bias") as refusal:
        weights.load_into(network)
    assert "--set allow_partial=true" in str(refusal.value.remedy)
    assert (refusal.value.path, refusal.value.exit_code) == (str(first), 3)
    assert torch.equal(first_weight(network), first_weight(TwoParts(2)))

    lines = replace(weights, allow_partial=True).load_into(network)
    assert lines[1] == "not in ir50.safetensors, so random: 0.bias"
    assert torch.equal(first_weight(network), first_weight(published))


def test_a_random_initialisation_sold_as_weights_is_taken_only_on_demand(tmp_path: Path) -> None:
    first = written(tmp_path / "ir50.safetensors", TwoParts(1).extractor)
    with pytest.raises(DataError, match="--set accept_untouched_statistics=true"):
        start(first, weights_second_part="null").load_into(TwoParts(2))
    accepted = start(first, weights_second_part="null", accept_untouched_statistics="true")
    assert accepted.load_into(TwoParts(2))[-1].startswith("warning")


def test_a_backbone_whose_package_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**arguments: object) -> None:
        raise MissingPackageError("timm", "timm", "the backbone 'timm:x'")

    monkeypatch.setattr(classifier, "build", missing)
    with pytest.raises(MissingExtraError, match=r"abaw-harness\[timm\]"):
        build_network(recipes.load("res18"), 8)
