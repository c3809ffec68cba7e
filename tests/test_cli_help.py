"""Finding one's way: the list of verbs and completion in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from harness.cli import COMPLETION, GROUPS, VERBS, harness
from harness.errors import EXIT_USAGE


def test_the_list_of_verbs_stands_in_groups_in_the_order_of_use() -> None:
    text = CliRunner().invoke(harness, ["--help"]).output
    titles = [line.removesuffix(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options", *GROUPS]
    assert (titles[1], titles[-1]) == ("Start", "Advanced")
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


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("harness predict re", {"res50-a", "res50-b"}),
        ("harness train --features a", {"apvit"}),
        ("harness evaluate sub", {"submissions/one"}),
        ("harness pack submissions/o", {"submissions/one"}),
        ("harness train --recipe lite", {"lite0", "lite0-frozen", "lite0-short"}),
        ("harness recipes temporal-tr", {"temporal-transformer"}),
    ],
)
def test_a_shell_completes_runs_submissions_and_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: set[str]
) -> None:
    made = ("runs/res50-a/run.json", "runs/res50-b/run.json", "runs/apvit/run.json", "submissions/one/submission.json")
    half_made = ("runs/.res50-c.0123abcd-77.tmp/run.json", "submissions/.one.0123abcd-77.tmp/submission.json")
    for place in (*made, *half_made):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("{}")
    (tmp_path / "runs" / "reading").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    completion = BashComplete(harness, {}, "harness", COMPLETION)
    plain = [entry.split(",")[1] for entry in completion.complete().splitlines() if entry.startswith("plain,")]
    assert set(plain) == offered


POSTPROCESSING = [
    *("--fill", "--smooth", "--kernel", "--temperature", "--class-bias", "--threshold", "--scale", "--shift"),
    *("--flip", "--fps", "--untuned"),
]


@pytest.mark.parametrize("verb", ["predict", "evaluate", "compare", "report", "ensemble", "inspect"])
def test_post_processing_stands_in_one_block_and_what_is_rarely_needed_at_the_end(verb: str) -> None:
    text = CliRunner().invoke(harness, [verb, "--help"]).output
    sections = dict(re.findall(r"^(\S.*):\n((?:  .*\n|\n)+)", text, flags=re.M))
    options = {title: re.findall(r"^  (--[a-z-]+)", body, flags=re.M) for title, body in sections.items()}
    assert options["Post-processing"] == POSTPROCESSING
    assert not set(POSTPROCESSING) & {*options["Options"], *options.get("Rarely needed", [])}
    assert "--data" in options["Options"]
    assert list(sections)[-1] == ("Post-processing" if verb == "inspect" else "Rarely needed")


@pytest.mark.parametrize(
    ("verb", "has_run"), [("predict", True), ("tune", True), ("folds", False), ("import", False), ("pretrain", False)]
)
def test_the_run_is_named_as_a_default_of_the_data_only_where_there_is_one(verb: str, has_run: bool) -> None:
    text = " ".join(CliRunner().invoke(harness, [verb, "--help"]).output.split())
    assert ("Data root. [default: the run's" in text) == has_run
    assert "$HARNESS_DATA, then data/demo]" in text


def test_a_shell_gets_the_script_that_asks_for_completions() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness"],
        env={**os.environ, COMPLETION: "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "harness_completion" in done.stdout


@pytest.mark.parametrize("option", ["--batch", "--workers"])
def test_no_batch_and_no_number_of_processes_is_beyond_what_a_machine_holds(option: str) -> None:
    for words in (["predict", "a"], ["features", "a"], ["crossval"], ["sweep"], ["table1"]):
        answer = CliRunner().invoke(harness, [*words, option, "9" * 40])
        assert (answer.exit_code, "is not in the range" in answer.output) == (EXIT_USAGE, True)


def test_no_seed_can_be_negative_for_no_generator_takes_it() -> None:
    context = click.Context(harness)
    commands = {verb: harness.get_command(context, verb) for verb in VERBS}
    options = {verb: [one for one in command.params if one.name == "seed"] for verb, command in commands.items() if command}
    seeded = {verb for verb, found in options.items() if found}
    assert seeded >= {"train", "tune", "folds", "ensemble", "best", "compare", "demo-data"}
    for verb in seeded:
        assert CliRunner().invoke(harness, [verb, "--seed", "-1"]).exit_code == EXIT_USAGE
        assert "is not in the range x>=0" in CliRunner().invoke(harness, [verb, "--seed", "-1"]).output
