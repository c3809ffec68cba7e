"""Nothing outside harness/challenge.py and harness/kinds asks which challenge it is, or which kind a field is of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.challenge_questions import questions

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = ("harness/challenge.py", "harness/kinds/")
PATHS = (path for package in ("harness", "models") for path in sorted((ROOT / package).rglob("*.py")))
FILES = [path.relative_to(ROOT).as_posix() for path in PATHS]


def test_no_file_asks() -> None:
    found = {name: questions((ROOT / name).read_text()) for name in FILES if not name.startswith(ALLOWED)}
    assert [f"{name}:{line} {text}" for name, places in found.items() for line, text in places] == []


@pytest.mark.parametrize(
    "line",
    [
        'if challenge.name == "EXPR": pass',
        'x = form.challenge.name != "VA"',
        'x = "MTL" == name',
        'x = name in ("AU", "CE")',
        "x = challenge is EXPR",
        "x = form.challenge == AU_8",
        "x = challenge.name == EXPR.name",
        "x = run.class_names != EXPR.class_names",
        "x = challenge in (VA, AU)",
        'x = field.kind == "real"',
        'x = field.kind in {"class", "unit"}',
        'x = {"class": 1, "unit": 2}[field.kind]',
        'match kind:\n    case "unit":\n        pass',
        "match challenge.name:\n    case EXPR.name:\n        pass",
    ],
)
def test_a_question_is_found(line: str) -> None:
    assert len(questions(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "x = form.challenge.name == known.challenge.name",
        'x = source.kind == "file"',
        'x = finding.kind.code == "label-value"',
        "x = challenge.integral",
        'x = format_of("EXPR", 5)',
        "x = parts_of(challenge).columns",
        "x = len(EXPR.class_names)",
        'x = word == "class"',
        "x = {EXPR.name: 1}",
    ],
)
def test_what_is_no_question_is_let_through(line: str) -> None:
    assert questions(line) == []
