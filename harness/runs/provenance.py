"""What a run was made with: versions of the libraries, commit of the code, digests of what went in."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

from harness import __version__, files
from harness.errors import HarnessError

LIBRARIES = ("torch", "torchvision", "accelerate", "numpy", "safetensors")
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
BRANCH = re.compile(r"refs/[\w./+@-]+")
LARGEST_LINE = 4096
LARGEST_REFERENCES = 64 * 1024 * 1024


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
    """The commit that the checkout this code runs from was at, read from git's own files; None outside a checkout.

    No git is started: in a folder of somebody else it would run what that folder's settings name.
    """
    return commit_of(Path(__file__).resolve().parents[2])


def commit_of(checkout: Path) -> str | None:
    """The commit of a checkout, a linked worktree included; None if the folder is none or its files cannot be read."""
    try:
        place = checkout / ".git"
        if place.is_file():  # a linked worktree: gitrepository-layout(5)
            place = checkout / _line(place).removeprefix("gitdir: ")
        common = place / _line(place / "commondir") if (place / "commondir").is_file() else place
        head = _line(place / "HEAD")
        if not head.startswith("ref: "):
            return head if COMMIT.fullmatch(head) else None
        name = head.removeprefix("ref: ")
        if not BRANCH.fullmatch(name) or ".." in name:
            return None
        if (common / name).is_file():
            commit = _line(common / name)
            return commit if COMMIT.fullmatch(commit) else None
        packed = files.read_bytes(common / "packed-refs", LARGEST_REFERENCES).decode("utf-8", "replace").splitlines()
        found = [line.split(" ", 1)[0] for line in packed if line.endswith(f" {name}")]
        return found[0] if found and COMMIT.fullmatch(found[0]) else None
    except (HarnessError, OSError):
        return None


def _line(path: Path) -> str:
    return files.read_bytes(path, LARGEST_LINE).decode("utf-8", "replace").strip()
