"""The project as users get it: a wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command and keeps what it prints."""
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)


def done(*command: str | Path, cwd: Path) -> str:
    """What a command prints, which has to end well."""
    ended = run(*command, cwd=cwd)
    assert ended.returncode == 0, f"{command} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def wheel(place: Path) -> Path:
    """Builds the project's wheel in a folder, from a copy of its sources, without a network."""
    source = place / "source"
    source.mkdir()
    for name in ("harness", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    done(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", place, source, cwd=place)
    (built,) = place.glob("*.whl")
    return built
