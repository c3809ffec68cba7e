"""What is printed holds nothing that a terminal obeys; that one file alone prints is held by test_architecture.py."""

from __future__ import annotations

import ast
import io
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from harness import streams
from tests.command_line import harness

ROOT = Path(__file__).resolve().parent.parent / "harness"
EVIL = "\x1b]0;owned\x07\x9b31m\u202egpj\x1b[8m"
OBEYED = {"\x1b", "\x07", "\x9b", "\u202e"}


def test_colours_are_for_text_whose_makers_have_seen_to_names() -> None:
    """Who prints with colours: findings and timelines, whose excerpts and names are made printable where they are made."""
    styled = {
        str(path.relative_to(ROOT)): sorted(ast.unparse(node.args[0]) for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and any(word.arg == "styled" for word in node.keywords))
        for path in ROOT.rglob("*.py")
    }  # fmt: skip
    assert {name: texts for name, texts in styled.items() if texts} == {
        "commands/doctor.py": ["'\\n' + findings.as_text(examination.findings)"],
        "commands/inspect.py": ["as_text(found.timeline, columns, alphabet(sys.stdout.encoding))"],
        "commands/pack.py": ["as_text(verdict, 3)"],
        "commands/shared/submitting.py": ["as_text(findings)"],
        "commands/validate.py": ["verdicts.as_text(verdict, shown) + '\\n'"],
    }


@given(st.text())
def test_what_is_printed_holds_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = streams.harmless(text)
    assert all(mark == "\n" or mark.isprintable() for mark in shown)
    assert all(mark in shown for mark in text if mark.isprintable())
    assert streams.harmless(shown) == shown


def test_styled_text_keeps_its_colours_and_nothing_else() -> None:
    assert streams.harmless("\x1b[1;31mred\x1b[0m\x1b]0;title\x07", styled=True) == "\x1b[1;31mred\x1b[0m\\x1b]0;title\\x07"


@given(st.dictionaries(st.text(), st.text()))
def test_json_that_is_printed_is_the_same_value(value: dict[str, str]) -> None:
    plain, sys.stdout = sys.stdout, io.StringIO()
    try:
        streams.show_json(json.dumps(value, ensure_ascii=False, indent=1))
        printed = sys.stdout.getvalue()
    finally:
        sys.stdout = plain
    assert json.loads(printed) == value
    assert all(mark == "\n" or mark.isprintable() for mark in printed)


def hostile_weights(place: Path) -> list[str]:
    save_file({f"{EVIL}.weight": torch.ones(2, 2)}, place / "w.safetensors", {"says": EVIL})
    return ["weights", "w.safetensors"]


def hostile_source(place: Path) -> list[str]:
    """Scores from a file with a hostile name, as `harness runs` tells of them."""
    path = place / "runs" / "o"
    path.mkdir(parents=True)
    manifest = {"format": 1, "kind": "import", "class_names": ["a"], "source": EVIL, "recipe": {"backbone": EVIL}, "seed": 0}
    (path / "run.json").write_text(json.dumps(manifest))
    return ["runs"]


def hostile_folder(place: Path) -> list[str]:
    """A crop folder whose name is no text in any encoding."""
    (place / "data" / "cropped_aligned").mkdir(parents=True)
    os.mkdir(os.fsencode(place / "data" / "cropped_aligned") + b"/\xff" + EVIL.replace("/", "").encode())
    return ["doctor", "data", "--no-images"]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("make", [hostile_weights, hostile_source, hostile_folder])
def test_a_hostile_name_is_told_and_not_done_where_a_command_succeeds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], make: object, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(make)
    harness(*make(tmp_path), *options)
    printed = "".join(capfd.readouterr())
    assert "owned" in printed
    assert not OBEYED & set(printed)
