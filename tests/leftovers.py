"""What processes that died leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness import files


def temporary_of_the_dead(path: Path, aside: bool = False) -> Path:
    """The name under which a process that has died was writing `path`, or had put it aside."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mine = files._temporary(path, ".aside" if aside else "")
    return mine.with_name(mine.name.replace(f"-{os.getpid()}.", f"-{dead.pid}."))
