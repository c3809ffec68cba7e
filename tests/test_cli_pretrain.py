"""`harness pretrain`: from faces to a backbone, and on to a training, a submission and a probe."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness import files
from harness.cli import harness
from harness.errors import EXIT_DONE, MismatchError, UsageError
from tests.small_pretraining import SMALL


def run(*arguments: str) -> Result:
    return CliRunner().invoke(harness, arguments)


def settings(changes: dict[str, str]) -> list[str]:
    return [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]


def pretrain(data: Path, method: str, name: str) -> Result:
    done = run("pretrain", "--method", method, "--data", str(data), "--run", name, "--workers", "0", *settings(SMALL))
    assert done.exit_code == EXIT_DONE, done.output
    return done


def test_the_settings_are_listed_with_their_meaning() -> None:
    lines = run("pretrain", "--list").output
    for setting in ("negative_weight: 1.0", "momentum", "queue"):
        assert setting in lines


def test_the_command_it_names_next_trains_on_its_backbone_and_the_run_submits(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = pretrain(drawn_root, "contrawarping", "p").output.splitlines()[-1]
    assert said.startswith("next: harness train ")
    backbone = tmp_path / "runs" / "p" / "backbone.safetensors"
    # As it stands; only what would make it long is changed.
    sizes = {key: tiny[key] for key in ("frame_step", "batch", "iterations", "warmup", "evaluate_every", "checkpoint_every")}
    sizes["precision"] = "fp32"
    words = shlex.split(said.removeprefix("next: harness "))
    trained = run(*words, "--data", str(drawn_root), "--run", "t", "--workers", "0", *settings(sizes))
    assert trained.exit_code == EXIT_DONE, trained.output
    weights = files.read_json(tmp_path / "runs" / "t" / "run.json")["weights"]
    assert weights["sha256"] == files.sha256(backbone)
    predicted = run("predict", "t", "--batch", "16", "--workers", "0")
    assert predicted.exit_code == EXIT_DONE, predicted.output
    assert run("validate", "submissions/t", "--data", str(drawn_root)).exit_code == EXIT_DONE


def test_a_pre_training_can_be_probed_before_anything_is_trained_on_it(
    tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pretrain(drawn_root, "simclr", "p")
    probed = run("probe", "p", "--folds", "2", "--workers", "0", "--json")
    assert probed.exit_code == EXIT_DONE, probed.output
    assert json.loads(probed.stdout)["source"]["run"] == "p"


def test_an_unknown_method_and_a_finished_run_of_another_are_refused(
    tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unknown = run("pretrain", "--method", "contrawarp", "--data", str(drawn_root), "--run", "p")
    assert isinstance(unknown.exception, UsageError)
    assert "did you mean 'contrawarping'" in str(unknown.exception)
    pretrain(drawn_root, "byol", "p")
    before = files.sha256(tmp_path / "runs" / "p" / "backbone.safetensors")
    other = run("pretrain", "--method", "simclr", "--data", str(drawn_root), "--run", "p", "--workers", "0", *settings(SMALL))
    assert isinstance(other.exception, MismatchError)
    assert "method" in str(other.exception)
    assert files.sha256(tmp_path / "runs" / "p" / "backbone.safetensors") == before
