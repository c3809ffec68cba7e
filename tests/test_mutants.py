"""Mutants: which changes are made, which are not, and that the tests that execute a change decide about it."""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks import mutant_tests, mutant_tree
from benchmarks.mutant_tree import Workplace
from benchmarks.mutants import draw
from benchmarks.mutating import Mutant, made_of, mutants


def changes(source: str) -> set[str]:
    """Every change as operator and new text."""
    return {f"{mutant.operator}: {mutant.after}" for mutant in mutants(textwrap.dedent(source))}


@pytest.mark.parametrize(("source", "expected"), [
    ("a < b", {"comparison: (a <= b)"}),
    ("a == b in c", {"comparison: (a != b in c)", "comparison: (a == b not in c)"}),
    ("a + b", {"arithmetic: (a - b)"}),
    ("a // b", {"arithmetic: (a % b)"}),
    ("a & b", {"arithmetic: (a | b)", "boolean: (a)", "boolean: (b)"}),
    ("a and b and c", {"boolean: (a or b or c)", "boolean: (b and c)", "boolean: (a and c)", "boolean: (a and b)"}),
    ("-a", {"boolean: (a)"}),
    ("a = True", {"constant: (False)"}),
    ("a = 3", {"constant: (4)"}),
    ("a = 0.25", {"constant: (0.5)"}),
    ("a = 0.0", {"constant: (1.0)"}),
    ("while a:\n    break", {"condition: (not a)", "statement: continue"}),
    ("a if b >= c else d", {"condition: (not b >= c)", "comparison: (b > c)"}),
    ("[a for a in b if c]", {"condition: (not c)"}),
    ("a[b] = c", {"statement: pass"}),
    ("a = b", set()),
    ("a -= b", {"arithmetic: a += b", "statement: pass"}),
    ("f()", {"statement: pass"}),
    ("a = f(b, c)", {"call: (b)"}),
    ("a = f(*b)", set()),
    ("a = f(b=c, **d)", {"keyword: (f(**d))"}),
    ("def f(a):\n    return a", {"return: return None"}),
])  # fmt: skip
def test_an_operator_changes_one_thing(source: str, expected: set[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize("source", [
    '"""A text."""',
    "'a' + b",
    "f'{a + 1} of {len(b)}'",
    "a: int | None",
    "def f(a: tuple[int, 3] = b) -> g(1): ...",
    "@f(a=1)\ndef g(): ...",
    "from a import b",
    "__all__ = f(a)",
    "Floats = NDArray[1]",
    "if TYPE_CHECKING:\n    import a\n    f()",
    "a = list(b)",
    "a = zip(strict=True)",
])  # fmt: skip
def test_what_no_behaviour_hangs_on_is_left_alone(source: str) -> None:
    assert changes(source) == set()


def test_of_what_is_raised_only_whether_it_is() -> None:
    assert changes("raise f(a + 1, b=c)") == {"statement: pass"}


def test_a_change_is_put_where_it_belongs_whatever_stands_before_it() -> None:
    source = "ä = 'größer'\ndef f(x):\n    if (x  # so\n            and y):\n        return ä * (x + 1)\n"
    of = {mutant.after: mutant for mutant in mutants(source)}
    changed = of["(x - 1)"]
    assert changed.of(source) == source.replace("x + 1", "(x - 1)")
    assert (changed.line, changed.span) == (5, (5, 5))
    assert of["(y)"].span == (3, 4)
    assert of["(not (x and y))"].change == "x # so and y -> (not (x and y))"
    for mutant in of.values():
        ast.parse(mutant.of(source))


def test_a_mutant_knows_what_the_statements_around_it_give_their_names_to() -> None:
    source = "A, B = 1, [2]\nclass C:\n    d: int = 3\n    def e(self, f=4):\n        g = 5\n        return g\nA.h = 6\n"
    names = {mutant.before: set(mutant.names) for mutant in mutants(source) if mutant.operator == "constant"}
    assert names == {"1": {"A", "B"}, "2": {"A", "B"}, "3": {"C", "d"}, "4": {"C", "e"}, "5": {"C", "e"}, "6": {"A"}}


def test_what_is_made_of_a_name_on_import_is_followed() -> None:
    source = "def a():\n    return B\nB = a()\nC: int = 1 + B\nD = C.e\nE = 2\ndef f():\n    g = B\n"
    assert made_of(source, frozenset({"a"})) == {"a", "B", "C", "D"}


def test_what_runs_on_import_has_no_span() -> None:
    spans = {mutant.after: mutant.span for mutant in mutants("A = 1\nclass B:\n    c: int = 2\n    def f(d=3):\n        e = 4\n")}
    assert spans == {"(2)": None, "(3)": None, "(4)": None, "(5)": (5, 5)}


FILE = "harness/postprocess/double.py"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A tree of one room with two functions, of which one is tested."""
    texts = {
        "pyproject.toml": "[tool.pytest.ini_options]\n",
        "tests/__init__.py": "",
        "tests/conftest.py": "import pytest\nfrom pathlib import Path\n@pytest.fixture(scope='session')\n"
        "def made(tmp_path_factory):\n    place = tmp_path_factory.mktemp('made') / 'x'\n    place.mkdir()\n"
        "    (place / 'known').write_text('1')\n    (Path(__file__).parent / 'times').open('a').write('.')\n    return place\n",
        FILE: "LIMIT = 10\ndef double(x):\n    return 2 * x\n"
        "def limited(x):\n    return min(x, LIMIT)\ndef unused(x):\n    return x + 1\n",
        "tests/test_postprocess_double.py": "from harness.postprocess.double import double, limited\n"
        "def test_double(made):\n    assert (double(2), (made / 'known').read_text()) == (4, '1')\n"
        "    (made / 'known').write_text('2')\n"
        "def test_limited():\n    assert limited(5) == 5\n",
    }
    workplace = Workplace(tmp_path / "work")
    for name, text in texts.items():
        (workplace.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace.tree / name).write_text(text)
    monkeypatch.setattr(mutant_tests, "FILES", ())
    return workplace


def outcomes(place: Workplace, changes: Iterable[str], tmp_path: Path) -> dict[str, list[str]]:
    """What becomes of some mutants: the outcome and by which test. In a process of its own, for pytest runs in it."""
    source = (place.tree / FILE).read_text()
    wanted = [mutant for mutant in mutants(source) if mutant.change in changes]
    found: dict[str, list[str]] = {}

    def run() -> dict[str, list[str]]:
        for name in [name for name in sys.modules if name.split(".")[0] in ("harness", "tests")]:
            del sys.modules[name]
        mutant_tree.enter(place.tree)

        def work(loaded: mutant_tests.Loaded) -> None:
            reach = mutant_tests.find_reach(place, loaded, lambda line: None)
            for mutant in wanted:
                ended = mutant_tests.run_mutant(place, reach, loaded, FILE, mutant)
                found[mutant.change] = [ended.outcome, ended.by.rpartition("::")[2]]

        arguments = mutant_tests.pytest_arguments(place.tree, place.temporary, mutant_tests.test_files(place.tree))
        pytest.main(arguments, plugins=[mutant_tests.Loaded(place.tree, work)])
        return found

    ended: dict[str, list[str]] = mutant_tree.in_child(tmp_path / "log", 3600, run)[0]
    assert (place.tree / FILE).read_text() == source
    return ended


def test_the_tests_that_execute_a_change_decide_about_it(place: Workplace, tmp_path: Path) -> None:
    expected = {
        "10 -> (11)": ["survived", "2 tests"],
        "2 -> (3)": ["killed", "test_double"],
        "2 * x -> (2 / x)": ["killed", "test_double"],
        "min(x, LIMIT) -> (x)": ["survived", "1 tests"],
        "return min(x, LIMIT) -> return None": ["killed", "test_limited"],
        "x + 1 -> (x - 1)": ["not executed", ""],
    }
    assert outcomes(place, expected, tmp_path) == expected
    assert (place.tree / "tests/times").read_text() == "."


def test_what_a_function_made_on_import_is_changed_and_tried_by_the_tests_that_use_it(
    place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.tree / FILE).write_text(
        "def made():\n    return {1: 10}\nTABLE = made()\ndef double(x):\n    return 2 * x\ndef limited(x):\n"
        "    y = x\n    return TABLE.get(y, 5)\n"
    )
    # Of the two tests, which both execute lines of the file, one fits into the time.
    monkeypatch.setattr(mutant_tests, "MOST_SECONDS", -1)
    expected = {"10 -> (11)": ["survived", "1 tests"], "1 -> (2)": ["killed", "test_limited"]}
    path = place.tree / "tests/test_postprocess_double.py"
    path.write_text(path.read_text().replace("limited(5) == 5", "bool(limited(5) and limited(1) > 9)"))
    assert outcomes(place, expected, tmp_path) == expected


def test_an_endless_loop_ends(place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.tree / FILE).write_text(
        "def double(x):\n    while x < 4:\n        x += 2\n    return x\ndef limited(x):\n    return x\n"
    )
    monkeypatch.setattr(mutant_tests, "SPARE", 0)
    change = "x += 2 -> pass"
    assert outcomes(place, [change], tmp_path) == {change: ["killed", "out of seconds"]}


def test_the_draw_is_a_function_of_the_seed_and_a_longer_one_begins_with_a_shorter(place: Workplace) -> None:
    def drawn(seed: int) -> list[tuple[str, Mutant]]:
        return list(draw(place.tree, seed))

    assert drawn(3) == drawn(3)
    assert any(drawn(seed) != drawn(3) for seed in range(10))
    assert sorted(mutant.line for _, mutant in drawn(3)) == [1, 3, 5, 7]


def test_another_line_in_a_file_draws_no_other_mutants_of_its_lines(place: Workplace) -> None:
    def drawn() -> list[str]:
        return [mutant.change for _, mutant in draw(place.tree, 0)]

    before = drawn()
    path = place.tree / FILE
    path.write_text("added = 1 + 1\n" + path.read_text())
    assert [change for change in drawn() if change in before] == before
    assert len(drawn()) > len(before)
