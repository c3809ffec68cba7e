"""A training whose batch does not fit into memory ends with a setting that does, whatever kind of training it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.data.scan import scan
from harness.errors import DataError
from harness.recipes import pretraining
from harness.recipes import recipe as recipes
from harness.runs import checkpoints
from harness.runs.store import Run
from harness.training.pretrain import pretrain
from harness.training.pretraining import PretrainingObjective
from harness.training.start import train
from harness.training.supervised import SupervisedObjective

ON_A_CPU = (
    "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"
)


def small_memory(
    monkeypatch: pytest.MonkeyPatch, kind: type, most: int, error: Callable[[], RuntimeError], from_step: int
) -> None:
    """Lets the loss of a training raise `error` from a step on, for batches of more than `most` images."""
    plain = kind.loss  # type: ignore[attr-defined]

    def loss(self: Any, network: Any, batch: Any, step: int, accelerator: Any) -> Any:
        if step >= from_step and len(batch.images.images) > most:
            raise error()
        return plain(self, network, batch, step, accelerator)

    monkeypatch.setattr(kind, "loss", loss)


@pytest.mark.parametrize(
    "error",
    [lambda: torch.OutOfMemoryError("CUDA out of memory"), lambda: RuntimeError(ON_A_CPU)],
    ids=["on a GPU", "on a CPU"],
)
def test_the_largest_part_of_the_batch_that_fits_is_named_and_checkpoints_are_kept(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch, error: Callable[[], RuntimeError]
) -> None:
    small_memory(monkeypatch, SupervisedObjective, 2, error, from_step=3)
    recipe = recipes.load("res18", {**tiny, "batch": "8", "iterations": "6", "checkpoint_every": "2"})
    with pytest.raises(DataError, match="the batch of step 4 does not fit into memory") as refusal:
        train(recipe, scan(drawn_root), tmp_path / "a", fresh=False, workers=0, from_scratch=True, say=lambda line: None)
    assert "--set batch=2, which fits here" in str(refusal.value)
    kept = checkpoints.last(Run(tmp_path / "a"), lambda fault: pytest.fail(str(fault)))
    assert kept is not None
    assert kept.step == 2


def test_where_nothing_fits_no_batch_is_promised(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, SupervisedObjective, 0, lambda: RuntimeError(ON_A_CPU), from_step=0)
    recipe = recipes.load("res18", {**tiny, "batch": "8", "iterations": "6"})
    with pytest.raises(DataError, match="does not fit into memory") as refusal:
        train(recipe, scan(drawn_root), tmp_path / "a", fresh=False, workers=0, from_scratch=True, say=lambda line: None)
    assert "which fits" not in str(refusal.value)


def test_another_error_of_the_network_is_no_lack_of_memory(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_memory(monkeypatch, SupervisedObjective, 0, lambda: RuntimeError("shapes do not fit"), from_step=0)
    recipe = recipes.load("res18", {**tiny, "iterations": "6"})
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(recipe, scan(drawn_root), tmp_path / "a", fresh=False, workers=0, from_scratch=True, say=lambda line: None)


def test_pre_training_names_a_batch_too(drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_memory(monkeypatch, PretrainingObjective, 4, lambda: RuntimeError(ON_A_CPU), from_step=0)
    settings = {
        "method": "simclr",
        "backbone": "torchvision:shufflenet_v2_x0_5",
        "image_size": "32",
        "decode_size": "32",
        "batch": "8",
        "iterations": "2",
        "hidden": "16",
        "precision": "fp32",
    }
    with pytest.raises(DataError, match="does not fit into memory") as refusal:
        pretrain(pretraining.load(settings), scan(drawn_root), tmp_path / "p", fresh=False, workers=0, say=lambda line: None)
    assert "--set batch=4, which fits here" in str(refusal.value)
