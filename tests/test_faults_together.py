"""Two commands at once: what the campaign plays finds a mixture, and finds none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import forked
from benchmarks.forked import Ended
from benchmarks.together import Pair, Together

ROOT = Path(__file__).resolve().parent.parent


def contents(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


def write(words: Sequence[str], place: Path, *rest: object) -> Ended:
    """Writes what `NAME=TEXT ... [CODE]` says, all of it."""
    for word in words:
        name, _, text = word.partition("=")
        if text:
            (place / name).write_text(text)
    return Ended(int(words[-1]) if words[-1].isdigit() else 0, "")


@pytest.mark.parametrize(
    ("first", "second", "codes", "fault"),
    [
        (["x=1", "y=1"], ["x=2", "y=2"], (0, 0), None),
        (["x=1"], ["y=2"], (0, 0), "a mixture: x"),
        (["x=1", "y=1"], [], (0, 3), None),
        ([], [], (3, 3), "both were refused"),
        (["x=1", "y=1"], [], (0, 1), "ended with 1"),
    ],
)
def test_what_two_leave_is_what_one_leaves_or_both_one_after_the_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: list[str],
    second: list[str],
    codes: tuple[int, int],
    fault: str | None,
) -> None:
    """The commands one after the other write x and y whole; together they write what is given here."""

    def start(words: Sequence[str], place: Path, *rest: object, prepare: object = None) -> Callable[[], Ended]:
        number = ("x=1" not in words) and 1
        return partial(write, [*((first, second)[number]), str(codes[number])], place)

    (tmp_path / "begun").mkdir()
    monkeypatch.setattr(forked, "run", write)
    monkeypatch.setattr(forked, "start", start)
    pair = Pair(["x=1", "y=1"], ["x=2", "y=2"], tmp_path / "begun")
    found = Together(tmp_path, contents).play(pair, np.random.default_rng(0))
    assert (found is None) == (fault is None), found
    assert fault is None or fault in str(found)


@pytest.mark.parametrize(("withheld", "fault"), [("y", None), ("", "a mixture")])
def test_an_answer_may_be_withheld_only_where_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, withheld: str, fault: str | None
) -> None:
    """Together the commands leave x as it is after both, and no y."""

    def start(words: Sequence[str], place: Path, *rest: object, prepare: object = None) -> Callable[[], Ended]:
        return partial(write, ["x=2", "0"] if "x=2" in words else ["3"], place)

    (tmp_path / "begun").mkdir()
    monkeypatch.setattr(forked, "run", write)
    monkeypatch.setattr(forked, "start", start)
    pair = Pair(["z=1"], ["x=2", "y=2"], tmp_path / "begun", withheld=withheld)
    found = Together(tmp_path, contents).play(pair, np.random.default_rng(0))
    assert (found is None) == (fault is None), found
    assert fault is None or fault in str(found)


@pytest.mark.slow
def test_pairs_of_commands_leave_no_mixture(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--sample", "ci", "--only", "two commands"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
