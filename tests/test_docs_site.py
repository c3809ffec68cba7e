"""The site of docs/: its navigation names every page, every command in it is one of the program, every quoted message exists."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from benchmarks import notebooks, site_pages
from harness.cli import harness
from tests.test_docs_features import PLACEHOLDER

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def leaves(entry: Any) -> Iterator[str]:
    """The pages that an entry of the navigation names."""
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from leaves(below)


def named_pages() -> list[str]:
    """The pages that the navigation names."""
    return list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))


def test_the_navigation_names_every_page_once() -> None:
    assert sorted(named_pages()) == sorted([*(page.name for page in DOCS.glob("*.md")), *site_pages.pages()])


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("reference/verbs.md", "### harness validate"),
        ("reference/verbs.md", "| `--fix OUT` | Write a copy with what can safely be repaired; OUT must be new. |"),
        ("reference/recipe-keys.md", "| `learning_rate` | float | `0.005` | at least 0 | highest learning rate |"),
        ("reference/recipe-keys.md", '| `method` | str | `"contrawarping"` | contrawarping, byol, simclr, moco, mae |'),
        ("reference/editions.md", "| test rows | 1,022,655 |"),
        ("reference/editions.md", "| EXPR | val | 70 | 453,535 | 284,230 (expression) | 0 |"),
        (
            "reference/editions.md",
            "| first line | `image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other` |",
        ),
        ("reference/python.md", "::: harness.api.evaluate"),
        ("notebooks/clip.md", "from harness import open_run, predict_video"),
    ],
)
def test_a_page_of_the_reference_says_what_the_program_does(page: str, said: str) -> None:
    assert said in site_pages.pages()[page]


def test_no_page_made_of_the_program_waits_to_be_filled_in() -> None:
    texts = {**site_pages.pages(), "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
    assert {name: found[0] for name, text in texts.items() if (found := PLACEHOLDER.search(text))} == {}


def commands_in(text: str) -> Iterator[str]:
    """The commands of the program that stand in code: in `backticks`, or on a line of their own."""
    text = text.replace("\\\n", " ")
    for inline, line in re.findall(r"`(harness [^`\n]+)`|^(?:\$ |!| {4})?(harness [a-z][^\n]*)$", text, re.MULTILINE):
        yield inline or line


def unknown_in(command: str) -> list[str]:
    """What a command names that the program does not have: its verb, or options."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|;&>")
    lexer.whitespace_split = True
    _, verb, *words = list(lexer)
    if not re.fullmatch(r"[a-z][a-z0-9-]*", verb):
        return []
    try:
        found = harness.get_command(click.Context(harness), verb)
    except ModuleNotFoundError:
        found = None
    if found is None:
        return [verb]
    known = {name for option in found.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    given = [word.partition("=")[0] for word in words[: next((k for k, word in enumerate(words) if word in "|;&>"), None)]]
    return [name for name in given if name.startswith("--") and name not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_every_command_of_a_page_is_one_of_the_program(page: Path) -> None:
    found = {command: unknown_in(command) for command in commands_in(page.read_text())}
    assert {command: unknown for command, unknown in found.items() if unknown} == {}


@pytest.mark.parametrize("path", sorted((DOCS / "notebooks").glob("*.ipynb")), ids=lambda path: str(path.stem))
def test_every_command_of_a_notebook_is_one_of_the_program(path: Path) -> None:
    found = {command: unknown_in(command) for command in commands_in(site_pages.notebook_page(path))}
    assert {command: unknown for command, unknown in found.items() if unknown} == {}


def test_an_unknown_verb_and_an_unknown_option_are_found() -> None:
    (wrong, right, inline) = commands_in(
        "    harness praedict a\n$ harness predict a --splits val | tail\nuse `harness tune A --fps 9`."
    )
    assert [unknown_in(command) for command in (wrong, right, inline)] == [["praedict"], ["--splits"], []]


def messages_of_the_code() -> str:
    """All texts of the program's code but docstrings, the parts of one beside each other."""
    found = []
    for path in [*(ROOT / "harness").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
                found.append(node.value)
    return "\n".join(found)


def test_every_message_that_is_quoted_exists() -> None:
    quoted = re.findall(r'^### "(.+)"$', (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)
    table = (DOCS / "own-predictions.md").read_text().partition("| it says |")[2]
    quoted += re.findall(r"^\| ([^|]+?) \|", table.partition("\n|---")[2], re.MULTILINE)
    assert len(quoted) > 30
    texts = messages_of_the_code()
    assert [message for message in quoted if message not in texts] == []


PRIVATE = re.compile(
    r"\b(hangs? on|(stands?|comes?) twice|not to be sent|kept as they were|worth its while|taken away|blanks beside"
    r"|holds? the truth|start anew with|rows less|asked for are not there|cannot be rejected)\b"
)
"""Words of our own where the field or plain English has others, and a promise that nobody can keep."""


@pytest.mark.parametrize("said", ["the score hangs on one video", "it cannot be rejected", "an image stands twice"])
def test_private_words_are_found(said: str) -> None:
    assert PRIVATE.search(said)


def test_no_message_and_no_page_uses_them() -> None:
    texts = {"messages": messages_of_the_code(), **{page.name: page.read_text() for page in PAGES}}
    assert {name: found[0] for name, text in texts.items() if (found := PRIVATE.search(text))} == {}


def test_notebooks_are_whole_and_hold_what_they_printed() -> None:
    paths = sorted(notebooks.NOTEBOOKS.glob("*.ipynb"))
    assert [path.stem for path in paths] == ["clip", "own-predictions", "train-compare-send"]
    for path in paths:
        assert json.loads(path.read_text())["nbformat"] == 4
        printed = ["".join(output["text"]) for cell in notebooks.code_cells(path) for output in cell["outputs"]]
        assert len(printed) > 3


def test_cells_share_names_and_a_command_that_fails_is_raised(tmp_path: Path) -> None:
    cells = [["a = 2\n", "print(a)\n", "a + 1"], ["!echo said in $PWD/a; echo not kept >&2\n", "a"], ["!false"]]
    content = {"cells": [{"cell_type": "code", "source": cell, "outputs": []} for cell in cells[:2]]}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content))
    printed = notebooks.run(path, tmp_path)
    assert printed == ["2\n3\n", "said in a\n2\n"]
    again = json.loads(notebooks.with_outputs(path, printed))
    assert again["cells"][1]["outputs"][0]["text"] == ["said in a\n", "2\n"]
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": cells[2], "outputs": []}]}))
    with pytest.raises(RuntimeError, match="false"):
        notebooks.run(path, tmp_path)


@pytest.mark.slow
def test_the_site_is_built_strictly_and_fetches_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) == len(named_pages()) + len(["404.html"])
    for page in pages:
        tags = re.findall(r"<(?:script|img|iframe|link|source)\b[^>]*", page.read_text())
        assert [tag for tag in tags if re.search(r"(?:src|href)=\"?(?:https?:)?//", tag)] == []
        assert "::: harness" not in page.read_text()


@pytest.mark.slow
def test_the_notebooks_run_in_one_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for path in sorted(notebooks.NOTEBOOKS.glob("*.ipynb")):
        printed = notebooks.run(path, tmp_path)
        kept = ["".join(output["text"]) for cell in notebooks.code_cells(path) for output in cell["outputs"]]
        assert len([text for text in printed if text]) == len(kept)
