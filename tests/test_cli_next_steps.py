"""What a verb names as the next step, and what an error names as its remedy, can be run: no wall stands behind either."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import RENAMED, harness
from harness.data.scan import scan
from harness.errors import EXIT_DONE, EXIT_FINDINGS, HarnessError
from harness.runs.store import Run

ROOT = Path(__file__).resolve().parent.parent
QUOTED = re.compile(r"`(harness [a-z][^`]*)`")
TO_THE_END = re.compile(
    r"(?:next|what to do|all at once|look again|as an answer of its own)[^`\n]*?[:,] (harness [a-z][^`\n]*)$", re.M
)
BY_HAND = ("pack",)
"""Verbs whose commands end in the world outside."""


def commands_named(text: str) -> list[str]:
    """Every command with arguments that a text names: in backticks, or at the end of a line that says what comes next."""
    found = QUOTED.findall(text)
    for tail in TO_THE_END.findall(text):
        found += re.split(r",? or (?=harness )|, then (?=harness )", tail)
    return [command.strip() for command in dict.fromkeys(found) if " " in command.removeprefix("harness ").strip()]


def test_commands_are_found_in_lines_and_in_backticks() -> None:
    text = (
        "next: harness evaluate a, or harness tune a\n  what to do: `harness predict b --split val`, or leave it\nharness is fine"
    )
    assert commands_named(text) == ["harness predict b --split val", "harness evaluate a", "harness tune a"]


# --- commands that stand in the source --------------------------------------------------------------------------------------


def texts_of_source() -> Iterator[tuple[Path, str]]:
    """Every text in the packages, `X` in place of what is filled in, docstrings included."""
    for package in ("harness", "models"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    yield path, "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                    yield path, node.value


def test_every_command_that_the_source_names_is_a_verb_with_these_options() -> None:
    context = click.Context(harness)
    count = 0
    for path, text in texts_of_source():
        for line in [*QUOTED.findall(text), *commands_named(text)]:
            verb, options = line.split()[1], set(re.findall(r"(?<=\s)--[a-z][a-z-]*", line))
            command = harness.get_command(context, verb)
            assert command is not None, f"{path}: {line}"
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert options <= known, f"{path}: {line}"
            count += 1
    assert count > 80


def test_the_earlier_names_of_verbs_stand_nowhere_and_say_the_new_way() -> None:
    texts = list(texts_of_source())
    for name in RENAMED:
        assert not [str(path) for path, text in texts if f"harness {name} " in text and path.name != "cli.py"], name
        result = CliRunner().invoke(harness, [name, "--help"])
        new = " ".join(RENAMED[name])
        assert f"`harness {name}` is now `harness {new}`" in result.stderr
        assert result.stdout.startswith(f"Usage: harness {RENAMED[name][0]}")


# --- commands that verbs name -----------------------------------------------------------------------------------------------


class Traveller:
    """Somebody in a working folder who runs whatever is named, and fills words in capitals in."""

    def __init__(self, data: Path, changes: dict[str, str]) -> None:
        self._words = {"RUN": "a", "ANOTHER": "b", "DATA": str(data), "DIR": str(data), "NAME": "res18", "TRACK": "video12"}
        self._short = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
        self.ran: dict[str, int] = {}

    def run(self, command: str) -> str:
        """All that a command prints and raises; its exit code is kept."""
        words = [self._words.get(word, word) for word in shlex.split(command)[1:]]
        result = CliRunner().invoke(harness, self._shortened(words), catch_exceptions=True)
        error = result.exception
        if error is not None and not isinstance(error, (HarnessError, SystemExit)):
            raise error
        self.ran[command] = error.exit_code if isinstance(error, HarnessError) else result.exit_code
        return result.output + (f"\n{error}" if isinstance(error, HarnessError) else "")

    def _shortened(self, words: list[str]) -> list[str]:
        verb = words[0]
        if "--weights" in words and "FILE" in words:
            words = [*words[: words.index("--weights")], "--from-scratch", *words[words.index("FILE") + 1 :]]
        if verb == "train" and "--features" not in words:
            return [*words, *self._short, "--fresh", "--workers", "0"]
        if verb == "train":
            return [
                *words,
                "--set",
                "iterations=2",
                "--set",
                "evaluate_every=2",
                "--set",
                "warmup=0",
                "--fresh",
                "--workers",
                "0",
            ]
        if verb in ("predict", "features") and "--from-scores" not in words:
            return [*words, "--workers", "0", "--batch", "16"]
        return words

    def follow(self, seeds: Sequence[str], without: Sequence[str] = BY_HAND) -> dict[str, str]:
        """Runs commands and whatever their outputs name, until nothing new is named; returns who was refused, and what was said.

        A seed may be refused: then its remedies are what is followed.
        """
        waiting, refused = list(seeds), {}
        while waiting:
            command = waiting.pop(0)
            if command in self.ran or command.split()[1] in without or "I/" in command:
                continue
            said = self.run(command)
            if self.ran[command] not in (EXIT_DONE, EXIT_FINDINGS) and command not in seeds:
                refused[command] = said
            waiting += commands_named(said)
        return refused


@pytest.fixture
def place(trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two predicted runs, and an import of one split of the first."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    shutil.copytree(trained / "runs" / "a", tmp_path / "runs" / "b")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    tracks = scan(drawn_root).members("val")
    names = np.concatenate([np.full(len(track.frames), track.name) for track in tracks])
    frames = np.concatenate([track.frames for track in tracks])
    scores = np.random.default_rng(0).dirichlet(np.ones(8), len(frames))
    np.savez(tmp_path / "outside.npz", track=names, frame=frames, outside=scores)
    return tmp_path


def test_whoever_follows_what_is_named_meets_no_wall(place: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    traveller = Traveller(drawn_root, tiny)
    seeds = [
        "harness runs",
        "harness import outside.npz",
        "harness ensemble a b",
        "harness predict a+b --split train",
        "harness predict outside",
        "harness evaluate outside --split test",
        "harness predict a --split oof",
    ]
    refused = traveller.follow(seeds, without=("pack", "train", "best", "report", "tune", "crossval"))
    assert not refused
    assert len(traveller.ran) > len(seeds) + 4


def test_a_run_without_scores_of_its_own_is_never_named_as_one_to_evaluate(place: Path) -> None:
    shutil.rmtree("runs/b")
    manifest = {"format": 1, "kind": "audio", "challenge": "EXPR", "class_names": [], "source": "sound", "where": {"data": "x"}}
    for name in ("0-sound", "z-sound"):
        Path("runs", name).mkdir()
        Path("runs", name, "run.json").write_text(json.dumps(manifest))
    assert commands_named(CliRunner().invoke(harness, ["runs"]).output) == ["harness evaluate a --split val"]


def test_what_demonstrates_is_not_to_be_packed(place: Path) -> None:
    manifest = json.loads(Run(Path("runs/a")).manifest_path.read_text())
    manifest["data"]["embedded"] = True
    Path("runs/a/run.json").write_text(json.dumps(manifest))
    said = CliRunner().invoke(harness, ["predict", "a", "--from-scores"])
    assert said.exit_code == EXIT_DONE
    (command,) = commands_named(said.output)
    assert command.startswith("harness evaluate submissions/a --split test")
    assert CliRunner().invoke(harness, shlex.split(command)[1:]).exit_code == EXIT_DONE


@pytest.mark.slow
def test_whoever_follows_the_long_road_meets_no_wall(place: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    sets = " ".join(f"--set {key}={value}" for key, value in tiny.items())
    traveller = Traveller(drawn_root, tiny)
    seeds = [
        f"harness doctor {drawn_root}",
        f"harness folds --data {drawn_root}",
        "harness recipes res50",
        f"harness train --recipe res18 --from-scratch --run c {sets}",
        "harness predict c --split train",
        f"harness crossval --recipe res18 --from-scratch --run cv --workers 0 {sets}",
        "harness predict cv --split val",
        "harness features a",
        "harness train --recipe temporal-tcn --features a --run t",
        "harness pretrain --backbone torchvision:shufflenet_v2_x0_5 --set iterations=2 --set batch=4 --set image_size=32 --run p",
        "harness predict p",
        "harness evaluate p",
        "harness compare a c",
        "harness compare submissions/a submissions/a+c",
        "harness report a --labels nowhere",
        "harness best a c",
        "harness weights runs/p/backbone.safetensors",
    ]
    refused = traveller.follow(seeds)
    assert not refused
    named = {command.split()[1] for command in traveller.ran if command not in seeds}
    assert named >= {"train", "predict", "evaluate", "report", "tune"}
