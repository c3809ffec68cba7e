"""What Accelerate finds in the environment: each variable it reads is decided on, and none changes a result unseen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest

from harness import files
from harness.errors import UsageError
from harness.images.launching import OVERRULED, REFUSED, TAKEN, overruled, refuse_unsupported

SOURCE = Path(accelerate.__file__).parent
SHORT = {"iterations": "4", "evaluate_every": "4", "checkpoint_every": "4"}


def test_every_variable_that_accelerate_names_is_decided_on() -> None:
    """A new version with a new variable fails here first."""
    read = (
        "accelerator.py",
        "state.py",
        "data_loader.py",
        "optimizer.py",
        "scheduler.py",
        "tracking.py",
        "utils/dataclasses.py",
        "utils/launch.py",
    )
    named = {name for file in read for name in re.findall(r'"(ACCELERATE_[A-Z0-9_]+)"', (SOURCE / file).read_text())}
    assert len(named) > 10
    undecided = [name for name in sorted(named) if name not in {*REFUSED, *OVERRULED} and not name.startswith(TAKEN)]
    assert undecided == []


@pytest.mark.parametrize("variable", REFUSED)
def test_a_way_of_splitting_the_network_is_refused_by_name(variable: str) -> None:
    with pytest.raises(UsageError, match="is not supported") as raised:
        refuse_unsupported({variable: "true"})
    assert variable in str(raised.value)
    refuse_unsupported({variable: "false"})


def test_what_is_not_followed_is_said_and_what_says_the_same_is_not() -> None:
    assert overruled({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1", "ACCELERATE_DYNAMO_BACKEND": "no"}) == []
    assert overruled({"ACCELERATE_MIXED_PRECISION": "no"}) == []
    lines = overruled({"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4", "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"})
    assert [line.split("=")[0] for line in lines] == ["ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "ACCELERATE_DYNAMO_BACKEND"]


def _train(place: Path, root: Path, tiny: dict[str, str], name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = [word for key, value in {**tiny, **SHORT}.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "--recipe", "res18", "--data", str(root), "--run", name, "--from-scratch", "--workers", "0", *settings]
    surroundings = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent), **environment}
    return subprocess.run(
        [sys.executable, "-m", "harness", *command], cwd=place, env=surroundings, capture_output=True, text=True, check=False
    )


def test_a_hostile_environment_gives_the_same_run_and_a_warning(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    plain = _train(tmp_path, drawn_root, tiny, "plain")
    hostile = _train(
        tmp_path, drawn_root, tiny, "hostile", ACCELERATE_GRADIENT_ACCUMULATION_STEPS="4", ACCELERATE_DYNAMO_BACKEND="EAGER"
    )
    assert (plain.returncode, hostile.returncode) == (0, 0), plain.stderr + hostile.stderr
    assert hostile.stderr.count("in the environment is not followed") == 2
    weights = [next((tmp_path / "runs" / name).rglob("model.safetensors")) for name in ("plain", "hostile")]
    assert files.sha256(weights[0]) == files.sha256(weights[1])


def test_deepspeed_ends_in_one_sentence(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    done = _train(tmp_path, drawn_root, tiny, "a", ACCELERATE_USE_DEEPSPEED="true")
    assert done.returncode == 2
    assert "DeepSpeed is not supported" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


SAVED = """
compute_environment: LOCAL_MACHINE
distributed_type: 'NO'
use_cpu: true
num_machines: 1
num_processes: 1
mixed_precision: bf16
dynamo_config:
  dynamo_backend: EAGER
"""
"""What `accelerate config` may have saved long ago, for another program."""


def _launched(
    place: Path, root: Path, tiny: dict[str, str], name: str, launcher: list[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    settings = [word for key, value in {**tiny, **SHORT}.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "--recipe", "res18", "--data", str(root), "--run", name, "--from-scratch", "--workers", "0", *settings]
    surroundings = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent), **environment}
    return subprocess.run(
        [sys.executable, "-m", *launcher, "harness", *command],
        cwd=place,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )


def _digest(place: Path, name: str) -> str:
    return files.sha256(next((place / "runs" / name).rglob("model.safetensors")))


@pytest.mark.slow
def test_a_saved_configuration_changes_nothing_under_accelerate_launch(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str]
) -> None:
    (tmp_path / "home" / "accelerate").mkdir(parents=True)
    saved = tmp_path / "home" / "accelerate" / "default_config.yaml"
    saved.write_text(SAVED)
    plain = _train(tmp_path, drawn_root, tiny, "plain")
    launcher = ["accelerate.commands.launch", "-m"]
    launched = _launched(tmp_path, drawn_root, tiny, "launched", launcher, HF_HOME=str(tmp_path / "home"))
    assert (plain.returncode, launched.returncode) == (0, 0), plain.stderr + launched.stderr
    assert launched.stderr.count("in the environment is not followed") == 2, launched.stderr
    assert _digest(tmp_path, "launched") == _digest(tmp_path, "plain")
    saved.write_text(SAVED.replace("'NO'", "FSDP").replace("use_cpu: true", "use_cpu: false\nfsdp_config: {fsdp_version: 2}"))
    refused = _launched(tmp_path, drawn_root, tiny, "refused", launcher, HF_HOME=str(tmp_path / "home"))
    assert "fully sharded data parallel is not supported" in refused.stderr
    assert not (tmp_path / "runs" / "refused").exists()


@pytest.mark.slow
def test_two_processes_in_a_hostile_environment_train_as_two_in_a_plain_one(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str]
) -> None:
    # Without the dashes torchrun takes --run for one of its own options.
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--"]
    hostile = {
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
        "ACCELERATE_DYNAMO_BACKEND": "EAGER",
        "ACCELERATE_MIXED_PRECISION": "bf16",
    }
    plain = _launched(tmp_path, drawn_root, tiny, "plain", launcher, ACCELERATE_USE_CPU="true")
    other = _launched(tmp_path, drawn_root, tiny, "hostile", launcher, ACCELERATE_USE_CPU="true", **hostile)
    assert (plain.returncode, other.returncode) == (0, 0), plain.stderr + other.stderr
    assert "training on 2 processes" in other.stderr
    assert _digest(tmp_path, "hostile") == _digest(tmp_path, "plain")
