"""What a training starts from: one file or two, all of it or what was allowed, and messages that lead on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from harness import files
from harness.data.scan import scan
from harness.errors import DataError, HarnessError, MissingExtraError, UsageError
from harness.inference.network import load_network, recipe_of
from harness.recipes import recipe as recipes
from harness.runs import checkpoints
from harness.runs.store import Run
from harness.training.network import InitialWeights, build_network, initial_weights
from harness.training.start import train
from models import classifier
from models.classifier import Classifier
from models.names import MissingPackageError
from models.weights import preset


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


# A trained classifier, head and all.

OURS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
THEIRS = ("Other", "happy", "Neutral", "Anger", "Disgust", "Fear", "Sadness", "Surprise")


@pytest.fixture
def published_classifier(tmp_path: Path, tiny: dict[str, str]) -> tuple[Path, Classifier]:
    """A checkpoint as mmcls writes it of a trained classifier whose classes are THEIRS; the file does not say so."""
    network = build_network(recipes.load("res18", {**tiny, "seed": "5"}), 8)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 32, 32))
        network.head.get_parameter("fc.bias").copy_(torch.arange(8.0))
    path = tmp_path / "best_f1.pth"
    torch.save({"meta": {"epoch": 3}, "state_dict": network.state_dict()}, path)
    return path, network.eval()


def as_run(path: Path, root: Path, tiny: dict[str, str], place: Path, **changes: str) -> Run:
    given = {**tiny, "weights": str(path), "weights_head": "true", "iterations": "0", **changes}
    recipe = recipes.load("res18", given)
    return train(recipe, scan(root), place, fresh=False, workers=0, from_scratch=False, say=lambda line: None).run


def test_a_published_classifier_becomes_a_run_that_predicts_in_the_order_of_our_classes(
    published_classifier: tuple[Path, Classifier], tiny: dict[str, str], drawn_root: Path, tmp_path: Path
) -> None:
    path, network = published_classifier
    run = as_run(path, drawn_root, tiny, tmp_path / "theirs", weights_classes=",".join(THEIRS))
    checkpoint = checkpoints.last(run, lambda error: None)
    assert checkpoint is not None
    assert checkpoint.step == 0
    assert run.manifest["weights"]["sha256"] == files.sha256(path)
    assert run.class_names == OURS
    ours = load_network(run, recipe_of(run), checkpoint).eval()
    images = torch.randn(4, 3, 32, 32)
    order = [THEIRS.index({"Happiness": "happy"}.get(name, name)) for name in OURS]
    with torch.no_grad():
        assert torch.equal(ours(images), network(images)[:, order])
    # The run's own checkpoint names its classes, so it needs no word of them, and a further training starts from it.
    again = as_run(checkpoint.path / "model.safetensors", drawn_root, tiny, tmp_path / "again", iterations="1")
    assert checkpoints.folders(again)[-1].name == "step-00000001"


@pytest.mark.parametrize(
    ("classes", "error", "says"),
    [
        ("ferplus", DataError, "Contempt"),
        ("ferpluss", UsageError, "ferplus"),
        (None, DataError, "weights_classes"),
    ],
)
def test_a_classifier_of_other_or_unknown_classes_starts_nothing(
    published_classifier: tuple[Path, Classifier],
    tiny: dict[str, str],
    drawn_root: Path,
    tmp_path: Path,
    classes: str | None,
    error: type[HarnessError],
    says: str,
) -> None:
    path, _ = published_classifier
    changes = {} if classes is None else {"weights_classes": classes}
    with pytest.raises(error) as refusal:
        as_run(path, drawn_root, tiny, tmp_path / "theirs", **changes)
    assert says in str(refusal.value)
    if classes == "ferplus":
        assert refusal.value.found == ", ".join(preset("ferplus"))
        assert refusal.value.expected == ", ".join(OURS)
        assert "weights_head=false" in str(refusal.value.remedy)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights_head": "true"}, "whole trained classifier"),
        ({"weights_head": "true", "weights": "a.pth", "weights_part": "extractor"}, "whole trained classifier"),
        ({"weights_classes": "raf-db"}, "weights_head"),
        ({"iterations": "0"}, "nothing is trained"),
    ],
)
def test_settings_of_a_trained_head_that_cannot_be_meant_are_refused(changes: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        recipes.load("res18", changes)
    with pytest.raises(UsageError, match="contradict"):
        initial_weights(recipes.load("res18", {"weights_head": "true", "weights": "a.pth"}), from_scratch=True)
