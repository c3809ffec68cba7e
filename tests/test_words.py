"""One form for every figure: scores, shares, counts, measures and enumerations as they are printed everywhere."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.words import counted, listed, measured, number, percent

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (number(0.7136), ".714"),
        (number(-0.0531), "-.053"),
        (number(1.0), "1.000"),
        (number(1.667), "1.667"),
        (number(None), "-"),
        (percent(0.125), "12 %"),
        (percent(0.125, 2), "12.50 %"),
        (counted(1, "track"), "1 track"),
        (counted(1200, "row"), "1,200 rows"),
        (counted(0, "class", "classes"), "0 classes"),
        (measured("macro_f1"), "macro-F1"),
        (measured("ccc_valence"), "CCC valence"),
        (measured("mean_absolute_error"), "mean error"),
        (listed(["values"]), "values"),
        (listed(["values", "classes", "units"]), "values, classes and units"),
    ],
)
def test_a_figure_has_one_form(written: str, expected: str) -> None:
    assert written == expected


def test_no_message_writes_a_share_without_a_blank_before_the_sign() -> None:
    found = []
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None and "%" in ast.unparse(node.format_spec):
                found.append(path.relative_to(ROOT))
    # The axis of a picture, whose labels have no room for it.
    assert found == [Path("harness/report/plots.py")]
