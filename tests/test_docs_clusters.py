"""The page of clusters: its batch scripts, run as a batch system runs them, do what the page says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import files
from harness.cli import harness
from harness.runs.store import Run
from tests.interruption import result

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "clusters.md").read_text()
SCRIPTS = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", PAGE, flags=re.DOTALL)


def test_the_page_has_a_job_and_an_array() -> None:
    assert [("--requeue" in script, "--array" in script) for script in SCRIPTS] == [(True, False), (False, True)]


def program(place: Path, name: str, text: str) -> None:
    place.mkdir(exist_ok=True)
    (place / name).write_text(f"#!/bin/bash\n{text}\n")
    (place / name).chmod(0o755)


@pytest.mark.slow
def test_a_job_that_is_ended_saves_goes_back_into_the_queue_and_ends_with_the_weights_it_would_have_had(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str]
) -> None:
    changes = {**tiny, "iterations": "200", "evaluate_every": "200", "checkpoint_every": "200"}
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    ours = shlex.join(["--recipe", "res18", "--data", str(drawn_root), "--from-scratch", "--workers", "0", *options])
    script = SCRIPTS[0].replace("--recipe res50 --data /data/aff-wild2", ours)
    assert script != SCRIPTS[0]
    program(tmp_path / "bin", "harness", f'exec {sys.executable} -m harness "$@"')
    program(tmp_path / "bin", "scontrol", f'echo "$@" >> {tmp_path}/asked')
    surroundings = {
        **os.environ,
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        "SLURM_JOB_ID": "4711",
        "OMP_NUM_THREADS": "1",
    }

    def job(place: str) -> subprocess.Popen[bytes]:
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / "job.sh").write_text(script)
        return subprocess.Popen(
            ["bash", str(tmp_path / "job.sh")], cwd=tmp_path / place, env=surroundings, start_new_session=True
        )

    assert job("whole").wait(timeout=240) == 0
    first, log = job("parts"), tmp_path / "parts" / "runs" / "res50-a" / "metrics.jsonl"
    while not (log.exists() and log.stat().st_size):
        assert first.poll() is None
        time.sleep(0.02)
    # To the shell alone, as --signal=B: says.
    os.kill(first.pid, signal.SIGTERM)
    assert first.wait(timeout=120) == 143
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert job("parts").wait(timeout=240) == 0
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    whole, parts = (Run(tmp_path / place / "runs" / "res50-a") for place in ("whole", "parts"))
    assert result(parts) == result(whole)


def scored(place: Path) -> dict[str, str]:
    """The sha256 of the files of a split's scores."""
    return {path.name: files.sha256(path) for path in place.iterdir() if path.is_file() and path.name[0] != "."}


def test_the_tasks_of_an_array_together_score_what_one_command_scores(
    trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "runs", "runs")
    line = next(line for line in SCRIPTS[1].splitlines() if line.startswith("harness predict"))
    first, last = map(int, re.findall(r"--array=(\d+)-(\d+)", SCRIPTS[1])[0])
    place = Run(Path("runs/a")).path / "scores" / "test"
    expected = scored(place)
    shutil.rmtree(place)
    for task in range(first, last + 1):
        assert not (place / "scores.json").exists()
        words = shlex.split(line.replace("res50-a", "a").replace("$SLURM_ARRAY_TASK_ID", str(task)))[1:]
        done = CliRunner().invoke(harness, [*words, "--data", str(drawn_root), "--batch", "16", "--workers", "0"])
        assert done.exit_code in (0, None), done.output
    assert scored(place) == expected
