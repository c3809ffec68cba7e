"""Work in a process of its own, which says by itself what it took: a parent learns of its child's memory only with its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_MEASURED = """
import sys, time
from harness.cli import main
begin = time.perf_counter()
try:
    main(sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
with open("/proc/self/status") as status:
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(time.perf_counter() - begin, time.process_time(), memory / 1024, file=sys.stderr)
"""


@dataclass(frozen=True)
class Taken:
    """Seconds in the command, processor seconds of its whole process, and its largest memory in MiB."""

    seconds: float
    processor_seconds: float
    memory: float


def harness(arguments: Sequence[str | Path], place: Path) -> Taken:
    """`harness ARGUMENTS` in the folder `place`. Raises CalledProcessError where it does not end with exit code 0."""
    output = python(_MEASURED, place, *map(str, arguments))
    seconds, processor_seconds, memory = output.splitlines()[-1].split()
    return Taken(float(seconds), float(processor_seconds), float(memory))


def python(code: str, place: Path, *arguments: str) -> str:
    """What the program `code` says on standard error, run in the folder `place`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command[2:], done.stdout, done.stderr[-2000:])
    return done.stderr
