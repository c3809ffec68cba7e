"""The commit of a checkout, read without git."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from harness.runs.provenance import commit_of, git_commit, versions


def git(place: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words]
    return subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "checkout"
    place.mkdir()
    git(place, "init", "-q", "-b", "a/branch")
    git(place, "commit", "-q", "--allow-empty", "-m", "first")
    return place


def test_the_commit_is_the_one_git_names(checkout: Path) -> None:
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")
    git(checkout, "checkout", "-q", "--detach")
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")


def test_the_commit_of_packed_references_and_of_a_linked_worktree(checkout: Path) -> None:
    git(checkout, "worktree", "add", "-q", "-b", "other", "../linked")
    git(checkout.with_name("linked"), "commit", "-q", "--allow-empty", "-m", "second")
    second = git(checkout.with_name("linked"), "rev-parse", "HEAD")
    assert second != commit_of(checkout)
    assert commit_of(checkout.with_name("linked")) == second
    git(checkout, "pack-refs", "--all")
    assert not (checkout / ".git/refs/heads/other").exists()
    assert commit_of(checkout.with_name("linked")) == second
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")


def test_the_commit_of_this_code_is_that_of_the_checkout_it_lies_in() -> None:
    assert git_commit() == commit_of(Path(__file__).resolve().parents[1])


def test_no_commit_outside_a_checkout_nor_from_what_is_none(checkout: Path, tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    assert commit_of(checkout / "below") is None
    for text in ("", "garbage", "ref: ../../etc/passwd", "ref: refs/heads/../../secret", "\x1b[2J"):
        (checkout / ".git/HEAD").write_text(text)
        assert commit_of(checkout) is None


def test_what_a_foreign_repository_names_as_its_watchman_is_not_run(checkout: Path, tmp_path: Path) -> None:
    script = tmp_path / "watch.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(script))
    assert commit_of(checkout) == git(checkout, "rev-parse", "HEAD")
    assert not (tmp_path / "ran").exists()


def test_versions_are_those_of_all_libraries_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = versions()
    assert {"python", "harness", "numpy", "torch"} < whole.keys()
    assert whole["numpy"] == np.__version__
    version = metadata.version

    def without_numpy(name: str) -> str:
        if name == "numpy":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_numpy)
    assert versions() == {name: number for name, number in whole.items() if name != "numpy"}
