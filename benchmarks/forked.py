"""Runs `harness` in forked processes that have torch loaded already, so that a try of a fault costs its work and not the imports.

The process that forks must not compute with torch before: its threads would not exist in the forked ones.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_OUTPUT = 64 * 1024

TIMEOUT = 300
"""Seconds after which a command counts as hanging."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it, and what it printed."""

    code: int
    output: str

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL

    def fault(self, code: int) -> str | None:
        """What is wrong if the command should have ended with `code` and without a traceback."""
        if self.code != code or "Traceback" in self.output:
            return f"ended with {self.code} instead of {code}: {self.output.strip()[-800:]}"
        return None


def preload() -> None:
    """Imports what the commands import, and keeps torch to one thread."""
    import torch

    import harness.commands.ensemble
    import harness.commands.import_
    import harness.commands.predict
    import harness.commands.pretrain
    import harness.commands.submission
    import harness.commands.train
    import harness.data.scan
    import harness.inference.predict
    import harness.submission.checks
    import harness.submission.from_scores
    import harness.training.pretrain
    import harness.training.start  # noqa: F401

    torch.set_num_threads(1)


def run(
    arguments: Sequence[str],
    place: Path,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """Runs `harness ARGUMENTS` in the folder `place` in a forked process; `prepare` is called there first."""
    # A pipe and no file: a limit on the size of files must not cut what is printed. It holds more than any command prints.
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_command, args=(list(arguments), place, writing, environment or {}, prepare)
    )
    process.start()
    os.close(writing)
    process.join(TIMEOUT)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    os.set_blocking(reading, False)
    output = os.read(reading, MOST_OUTPUT).decode(errors="replace") if _readable(reading) else ""
    os.close(reading)
    assert process.exitcode is not None
    return Ended(process.exitcode, f"hangs: still running after {TIMEOUT} s\n{output}" if hangs else output)


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _command(
    arguments: list[str], place: Path, output: int, environment: Mapping[str, str], prepare: Callable[[], None] | None
) -> None:
    from harness.cli import main

    for standard in (1, 2):
        os.dup2(output, standard)
    os.chdir(place)
    os.environ.update(environment)
    if prepare is not None:
        prepare()
    main(arguments)


def run_for_real(
    arguments: Sequence[str], place: Path, environment: Mapping[str, str] | None = None, launcher: Sequence[str] = ("-m",)
) -> Ended:
    """Runs `python -m harness ARGUMENTS`, nothing preloaded; `launcher` stands before `harness`."""
    done = subprocess.run(
        [sys.executable, *launcher, "harness", *arguments],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
        check=False,
    )
    return Ended(done.returncode, done.stdout + done.stderr)
