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
    read = ("accelerator.py", "state.py", "data_loader.py", "optimizer.py", "scheduler.py", "tracking.py", "utils/dataclasses.py")
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
