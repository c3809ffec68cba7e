"""Finding one's way: the list of verbs and completion in a shell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from harness.cli import COMPLETION, GROUPS, VERBS, harness


def test_the_list_of_verbs_stands_in_groups_in_the_order_of_use() -> None:
    text = CliRunner().invoke(harness, ["--help"]).output
    titles = [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options", *GROUPS]
    listed = [line.split()[0] for line in text.partition("Start:")[2].splitlines() if line[:2] == "  " and line[2:3].strip()]
    assert listed == list(VERBS)


def test_every_verb_stands_in_one_group() -> None:
    assert sum(len(verbs) for verbs in GROUPS.values()) == len(VERBS)


@pytest.mark.parametrize(
    ("words", "offered"),
    [("harness pre", {"predict", "pretrain"}), ("harness predict --str", {"--stride", "--strict"}), ("harness xyz", set())],
)
def test_a_shell_completes_verbs_and_options(words: str, offered: set[str]) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), COMPLETION: "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "harness"], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines() if line} == offered


def test_a_shell_gets_the_script_that_asks_for_completions() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness"],
        env={**os.environ, COMPLETION: "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "harness_completion" in done.stdout
