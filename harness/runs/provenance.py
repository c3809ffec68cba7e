"""What a run was made with: versions of the libraries, commit of the code, digests of what went in."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from harness import __version__

LIBRARIES = ("torch", "torchvision", "accelerate", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """The versions of Python, of this program and of the libraries that make numbers; absent ones are left out."""
    found = {"python": platform.python_version(), "harness": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the checkout this code runs from, with `+changes` if files differ from it; None outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changes else "")


def _git(*words: str) -> str:
    place = Path(__file__).resolve().parent
    # The same answer for everybody, also for a user to whom the checkout does not belong.
    command = ["git", "-c", "safe.directory=*", *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
