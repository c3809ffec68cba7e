"""Training as it is done with large encoders: parts of a batch, falling rates, mixing, branches left out, low rank, compiling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from timm.data.mixup import mixup_target
from timm.loss.cross_entropy import SoftTargetCrossEntropy
from torch import Tensor, nn

from harness.challenge import challenge_named
from harness.data.scan import scan
from harness.errors import DataError, UsageError
from harness.images.mixing import mixed
from harness.inference.network import load_network, recipe_of
from harness.recipes import recipe as recipes
from harness.runs import checkpoints
from harness.runs.store import Run
from harness.training import metrics
from harness.training.objective import Objective
from harness.training.session import Training
from harness.training.start import started_network, train
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import on_splits
from models.backbones.drop_path import drop_paths
from tests.interruption import dies_after, result

TrainTiny = Callable[..., Training]
TRANSFORMER = {"backbone": "timm:test_vit", "learning_rate": "0.01"}
"""A small transformer, which has no BatchNorm."""
SHORT = {"iterations": "4", "evaluate_every": "4", "checkpoint_every": "2"}
ALL = {
    **TRANSFORMER,
    **SHORT,
    "accumulate": "3",
    "layer_decay": "0.7",
    "drop_path": "0.3",
    "mixup": "0.8",
    "cutmix": "1.0",
    "rand_augment": "2",
    "lora": "2",
    "gradient_checkpointing": "true",
}


@pytest.fixture
def train_tiny(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> TrainTiny:
    """Trains the tiny recipe with changes into a run of this test."""

    def call(name: str = "a", workers: int = 0, lines: list[str] | None = None, **changes: str) -> Training:
        recipe, said = recipes.load("res18", {**tiny, **changes}), [] if lines is None else lines
        place = tmp_path / "runs" / name
        return train(recipe, scan(drawn_root), place, fresh=False, workers=workers, from_scratch=True, say=said.append)

    return call


def made(drawn_root: Path, tiny: dict[str, str], **changes: str) -> SupervisedObjective:
    """The objective of the tiny recipe with changes."""
    recipe = recipes.load("res18", {**tiny, **changes})
    data = on_splits(scan(drawn_root))
    network = started_network(recipe, [str(number) for number in range(8)], None, lambda line: None)
    return SupervisedObjective(network, recipe, data)


def weights(run: Run) -> dict[str, Tensor]:
    chosen = checkpoints.last(run, lambda error: None)
    assert chosen is not None
    return load_file(chosen.path / "model.safetensors")


def losses(run: Run) -> list[float]:
    return [line["loss"] for line in metrics.read(run) if "loss" in line]


@pytest.mark.parametrize("mixing", [{}, {"mixup": "0.8"}])
def test_a_batch_in_parts_is_the_whole_batch_up_to_rounding(train_tiny: TrainTiny, mixing: dict[str, str]) -> None:
    whole, parts = (train_tiny(parts, accumulate=parts, **TRANSFORMER, **SHORT, **mixing) for parts in ("1", "3"))
    assert losses(parts.run) == pytest.approx(losses(whole.run), rel=1e-4)
    expected, found = weights(whole.run), weights(parts.run)
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def test_no_more_than_a_part_is_in_the_network_at_once(train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = SupervisedObjective._logits

    def noted(self: SupervisedObjective, network: nn.Module, images: Tensor, paths: Tensor | None) -> Tensor:
        seen.append(len(images))
        return plain(self, network, images, paths)

    monkeypatch.setattr(SupervisedObjective, "_logits", noted)
    train_tiny(accumulate="3", iterations="2", evaluate_every="2", checkpoint_every="2", **TRANSFORMER)
    assert seen == [3, 3, 2] * 2


def test_it_is_said_where_batch_norm_sees_parts(train_tiny: TrainTiny) -> None:
    lines: list[str] = []
    train_tiny("a", accumulate="4", lines=lines, **SHORT)
    assert any("BatchNorm normalises by 2 images at a time" in line for line in lines)
    quiet: list[str] = []
    train_tiny("b", accumulate="4", lines=quiet, **TRANSFORMER, **SHORT)
    assert not any("BatchNorm" in line for line in quiet)


def test_rates_fall_from_layer_to_layer_and_every_parameter_has_one(drawn_root: Path, tiny: dict[str, str]) -> None:
    objective = made(drawn_root, tiny, layer_decay="0.5", backbone_rate="0.8", **TRANSFORMER)
    groups = objective.rate_factors()
    rate = {name: factor for factor, entries in groups for name, _ in entries}
    assert len(rate) == sum(len(entries) for _, entries in groups) == sum(1 for _ in objective.network.parameters())
    blocks = len(objective.network.backbone.network.blocks)  # type: ignore[union-attr, arg-type]
    assert rate["head.fc.weight"] == 1
    for block in range(blocks):
        assert rate[f"backbone.network.blocks.{block}.mlp.fc1.weight"] == pytest.approx(0.8 * 0.5 ** (blocks - block))
    assert rate["backbone.network.patch_embed.proj.weight"] == pytest.approx(0.8 * 0.5 ** (blocks + 1))


class Recording(nn.Module):
    """Keeps what it was shown and answers what it is told."""

    def __init__(self, answers: Tensor) -> None:
        super().__init__()
        self.answers = answers
        self.shown: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images)
        return self.answers[: len(images)]


@pytest.mark.parametrize("changes", [{"mixup": "0.8"}, {"cutmix": "1.0"}])
def test_what_is_mixed_is_alike_on_one_process_and_on_two(
    drawn_root: Path, tiny: dict[str, str], changes: dict[str, str]
) -> None:
    objective, device = made(drawn_root, tiny, rand_augment="2", **changes), Accelerator(cpu=True)
    shown = {}
    for processes in (1, 2, 4):
        shares = []
        for rank in range(processes):
            network = Recording(torch.zeros(8, 8))
            objective.loss(network, objective.make_batch(5, rank, processes), 5, device)
            shares.append(network.shown[0])
        shown[processes] = torch.stack(shares, dim=1).flatten(0, 1)
    assert torch.equal(shown[1], shown[2])
    assert torch.equal(shown[1], shown[4])
    plain = made(drawn_root, tiny, rand_augment="2")
    batch = plain.make_batch(5, 0, 1)
    images = plain._seen(batch, torch.device("cpu"))
    pairs = objective.make_batch(5, 0, 1).pairs
    assert pairs is not None
    assert torch.equal(shown[1], mixed(images.clone(), images.flip(0), pairs.mix))


def test_the_loss_of_what_is_mixed_is_timms_with_soft_targets(drawn_root: Path, tiny: dict[str, str]) -> None:
    objective = made(drawn_root, tiny, mixup="0.8", label_smoothing="0.1")
    batch, answers = objective.make_batch(2, 0, 1), torch.randn(8, 8)
    assert batch.pairs is not None
    found = objective.loss(Recording(answers), batch, 2, Accelerator(cpu=True))
    target = mixup_target(batch.labels, 8, batch.pairs.mix.share, smoothing=0.1)  # type: ignore[no-untyped-call]
    expected = SoftTargetCrossEntropy()(answers, target)  # type: ignore[no-untyped-call]
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_pair_with_an_unreadable_image_contributes_nothing(drawn_root: Path, tiny: dict[str, str]) -> None:
    objective, answers = made(drawn_root, tiny, mixup="0.8"), torch.zeros(8, 8, requires_grad=True)
    batch = objective.make_batch(2, 0, 1)
    batch.images.readable[1] = False
    torch.autograd.backward(objective.loss(Recording(answers), batch, 2, Accelerator(cpu=True)))
    assert answers.grad is not None
    assert answers.grad.abs().sum(dim=1).eq(0).tolist() == [row in (1, 6) for row in range(8)]


def test_which_branches_a_sample_skips_hangs_on_step_and_sample_alone(drawn_root: Path, tiny: dict[str, str]) -> None:
    objective = made(drawn_root, tiny, drop_path="0.5", **TRANSFORMER)
    one = objective.make_batch(3, 0, 1).paths
    two = [objective.make_batch(3, rank, 2).paths for rank in range(2)]
    assert one is not None
    assert one.shape == (8, len(drop_paths(objective.network)))
    assert torch.equal(torch.stack(two, dim=1).flatten(0, 1), one)  # type: ignore[arg-type]
    assert not torch.equal(objective.make_batch(4, 0, 1).paths, one)  # type: ignore[arg-type]
    objective.network.train()
    objective.loss(objective.network, objective.make_batch(3, 0, 1), 3, Accelerator(cpu=True))
    given = [path.numbers for path in drop_paths(objective.network)]
    assert torch.equal(torch.stack(given, dim=1), one)  # type: ignore[arg-type]


def test_low_rank_adaptation_ends_in_a_plain_checkpoint_that_predicts(
    train_tiny: TrainTiny, drawn_root: Path, tiny: dict[str, str]
) -> None:
    done = train_tiny(lora="2", lora_alpha="4", average="0.5", **TRANSFORMER, **SHORT)
    recipe, chosen = recipe_of(done.run), checkpoints.last(done.run, lambda error: None)
    assert chosen is not None
    network = load_network(done.run, recipe, chosen)
    start = made(drawn_root, tiny, **TRANSFORMER).network.state_dict()
    trained = network.state_dict()
    assert list(trained) == list(start)
    moved = {name for name in start if not torch.equal(start[name], trained[name])}
    assert {name for name in moved if name.startswith("backbone.")} == {
        name for name in start if ".attn." in name and name.endswith(".weight")
    }
    change = trained["backbone.network.blocks.0.attn.qkv.weight"] - start["backbone.network.blocks.0.attn.qkv.weight"]
    assert int(torch.linalg.matrix_rank(change, rtol=1e-3)) == 2


def test_gradient_checkpointing_ends_with_the_same_weights(train_tiny: TrainTiny) -> None:
    changes = {"freeze_stages": "1", **SHORT}
    plain, saving = train_tiny("plain", **changes), train_tiny("saving", gradient_checkpointing="true", **changes)
    expected, found = weights(plain.run), weights(saving.run)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("average", ["0", "0.9"])
def test_with_everything_on_an_interrupted_training_ends_with_the_same_bytes(train_tiny: TrainTiny, average: str) -> None:
    changes = {**ALL, "average": average, "optimizer": "adamw", "learning_rate": "1e-3"}
    whole = train_tiny("whole", **changes)
    with dies_after(3):
        train_tiny("parts", **changes)
    parts = train_tiny("parts", workers=1, **changes)
    assert result(parts.run) == result(whole.run)
    assert np.isfinite(losses(parts.run)).all()


def test_a_compiled_network_leaves_a_plain_checkpoint(train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the back-end that compiles nothing, so that the numbers are to be the same."""
    compiled: list[nn.Module] = []
    plain = nn.Module.compile

    def compile_(self: nn.Module) -> None:
        compiled.append(self)
        plain(self, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", compile_)
    eager, done = train_tiny("eager", **TRANSFORMER, **SHORT), train_tiny("compiled", compile="true", **TRANSFORMER, **SHORT)
    assert len(compiled) == 1
    expected, found = weights(eager.run), weights(done.run)
    assert list(found) == list(expected)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_a_network_that_cannot_be_compiled_is_said_in_one_sentence(
    train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise FileNotFoundError("no C++ compiler")

    plain = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: plain(self, backend=broken))
    with pytest.raises(DataError, match="cannot compile the network here"):
        train_tiny(compile="true", **TRANSFORMER, **SHORT)


@pytest.mark.slow
def test_a_compiled_training_ends_with_the_same_bytes_when_interrupted(train_tiny: TrainTiny) -> None:
    changes = {**TRANSFORMER, "compile": "true", "iterations": "3", "evaluate_every": "3", "checkpoint_every": "2"}
    whole = train_tiny("whole", **changes)
    with dies_after(3):
        train_tiny("parts", **changes)
    assert result(train_tiny("parts", **changes).run) == result(whole.run)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lora": "2"}, "BatchNorm"),
        ({"lora": "2", "lora_targets": "[query]", **TRANSFORMER}, "no matrix"),
        ({"drop_path": "0.1"}, "drop_path"),
        ({"gradient_checkpointing": "true", "backbone": "timm:resnet10t"}, "BatchNorm"),
    ],
)
def test_what_a_backbone_cannot_do_is_refused_before_a_folder_is_made(
    train_tiny: TrainTiny, tmp_path: Path, changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        train_tiny(**changes)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("key", ["accumulate", "mixup", "cutmix"])
def test_what_the_concordance_of_a_batch_has_not_is_refused(key: str) -> None:
    for challenge in ("VA", "MTL"):
        assert challenge_named(challenge).name == challenge
        with pytest.raises(UsageError, match=f"{key} is for classes and units"):
            recipes.load("res18", {"challenge": challenge, key: "2"})
    recipes.load("res18", {"challenge": "AU", key: "2"})


def test_an_objective_works_on_a_batch_as_a_whole_unless_it_says_otherwise() -> None:
    batch: Any = object()
    assert Objective.portions(None, batch) == [(1.0, batch)]  # type: ignore[arg-type]
