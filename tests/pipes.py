"""A named pipe that nobody writes to, for tests that no command waits for one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 60
"""Seconds after which a command that waits is let go: far more than one that looks at a path and refuses it takes."""


@contextlib.contextmanager
def silent_pipe(path: Path) -> Iterator[Path]:
    """Makes a named pipe. A command that waits for it is let go after a while, and the test fails instead of hanging."""
    os.mkfifo(path)
    waited = path.with_name(f"{path.name}.waited")
    rescue = 'sleep "$2"; : > "$1"; while :; do : > "$0"; done'
    process = subprocess.Popen(["sh", "-c", rescue, path, waited, str(PATIENCE)], start_new_session=True)
    try:
        yield path
        assert not waited.exists(), f"the command waited for somebody to write into {path.name}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
