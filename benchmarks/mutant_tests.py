"""The tests of a mutant: which execute the changed line, and what they say.

What is tested is imported once, with the tests; each mutant gets a forked process in which only the functions that differ have
other code. What runs on import cannot be changed like that: there the tests are imported anew, and those come first that execute
a line which names what was made on import.
"""

from __future__ import annotations

import gc
import importlib
import json
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.main import pytest_runtestloop as run_tests

from benchmarks.mutant_tree import Workplace, digest, in_child
from benchmarks.mutating import Mutant, made_of
from benchmarks.reaching import Reaching, fixture_name
from benchmarks.tracing import Lines

ROOMS = ("kinds", "postprocess", "evaluation", "selection", "submission", "sending", "rows", "runs")
FILES = ("harness/images/sampling.py", "harness/data/folds.py")
CLAIMS = (
    "kinds_*", "postprocess_*", "evaluation_*", "selection_*", "submission_checks", "submission_plausible", "submission_repair",
    "submission_round_trip", "sending_*", "rows_*", "runs", "runs_*", "data_folds", "images", "images_pairs", "training_folds",
    "report_content", "findings", "sweep", "docs_validate", "data_challenges",
    "cli_best", "cli_compare", "cli_diff", "cli_ensemble_fit", "cli_evaluate", "cli_folds", "cli_inspect", "cli_judging",
    "cli_outputs", "cli_pack", "cli_tune", "cli_validate",
)  # fmt: skip
"""The tests that claim the code: test_NAME.py."""
TIMES, SPARE = 3, 10
"""A mutant may take so many times the seconds of its tests, and so many more."""
MOST_SECONDS = 20
"""Tests are added, quickest first, until they took so long together: a mutant that lives has survived these."""
LONGEST_FILE = 1200
"""Seconds of processor for a file of tests that runs once to show what it executes."""
KILLED, STUCK, SURVIVED, UNREACHED = "killed", "stuck", "survived", "not executed"


@dataclass(frozen=True)
class Reach:
    """What one run of the tests without a change has shown; lines are (file, line)."""

    tests: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    lines: Mapping[str, frozenset[tuple[str, int]]]
    kept: Mapping[str, str]
    on_import: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def read(cls, path: Path) -> Reach:
        """From the file that find_reach writes."""
        found = json.loads(path.read_text())
        lines = {owner: frozenset((name, line) for name, line in lines) for owner, lines in found["lines"].items()}
        on_import = frozenset((name, line) for name, line in found["on_import"])
        return cls(found["tests"], found["seconds"], lines, found["kept"], on_import)

    def is_on_import(self, file: str, mutant: Mutant) -> bool:
        """Whether what is changed is executed on import, be it in a function that is called there."""
        return mutant.span is None or any((file, line) in self.on_import for line in range(mutant.span[0], mutant.span[1] + 1))

    def reaches(self, owner: str, file: str, mutant: Mutant) -> bool:
        """Whether a test or a fixture executes what is changed; what runs on import changes all that uses the file."""
        lines = self.lines.get(owner, frozenset())
        if self.is_on_import(file, mutant):
            return any(name == file for name, _ in lines)
        assert mutant.span
        return any((file, line) in lines for line in range(mutant.span[0], mutant.span[1] + 1))

    def choose(self, file: str, mutant: Mutant, users: frozenset[tuple[str, int]]) -> tuple[list[str], float]:
        """The passing tests that execute what is changed, in the order to try them, and their seconds.

        `users` are the lines that name what is made on import.
        """
        touched = {owner for owner in self.lines if owner.startswith("fixture ") and self.reaches(owner, file, mutant)}
        needs: dict[str, set[str]] = {}
        for name, test in self.tests.items():
            if test["passes"] and (self.reaches(name, file, mutant) or touched.intersection(test["fixtures"])):
                needs[name] = {one for one in test["fixtures"] if one in touched or one not in self.kept}

        def rank(name: str) -> tuple[bool, bool, float]:
            uses = any(not users.isdisjoint(self.lines.get(one, frozenset())) for one in (name, *needs[name]))
            return not uses, not claims(name, file), self._time({name, *needs[name]})

        chosen: list[str] = []
        work: set[str] = set()
        for name in sorted(needs, key=rank):
            more = work | {name, *needs[name]}
            if not chosen or self._time(more) <= MOST_SECONDS:
                chosen.append(name)
                work = more
        return chosen, self._time(work)

    def ready(self, file: str, mutant: Mutant) -> dict[str, str]:
        """The shared fixtures that the change cannot touch, and where they lie."""
        return {name: place for name, place in self.kept.items() if not self.reaches(name, file, mutant)}

    def _time(self, work: Iterable[str]) -> float:
        return sum(self.seconds.get(one, 0.0) for one in work)


def claims(test: str, file: str) -> bool:
    """Whether a test stands in a file named for the changed one, or for its room."""
    stem, path = Path(test.split("::")[0]).stem, Path(file)
    return stem == f"test_{path.parent.name}_{path.stem}" or stem in (f"test_{path.parent.name}", f"test_cli_{path.stem}")


class Ready:
    """A plugin of pytest: shared fixtures that were made once are given and not made again."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Path | None:
        """Gives what there is."""
        place = self._places.get(fixture_name(fixturedef))
        if place is None:
            return None
        fixturedef.cached_result = (Path(place), fixturedef.cache_key(request), None)
        return Path(place)


class Chosen:
    """A plugin of pytest: runs these tests in this order, and tells what failed first: the test and the kind of exception."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._rank = {name: place for place, name in enumerate(tests)}
        self.failed: tuple[str, str] | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leaves the chosen tests in their order."""
        items[:] = sorted((item for item in items if item.nodeid in self._rank), key=lambda item: self._rank[item.nodeid])

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, call: Any) -> None:
        """Called for every failure, in a test or while its file is imported."""
        self.failed = self.failed or (node.nodeid, type(call.excinfo.value).__name__)


@dataclass(frozen=True)
class Ended:
    """How the tests of a mutant ended, by which test, after how many seconds of processor."""

    outcome: str
    by: str
    seconds: float


def pytest_arguments(tree: Path, temporary: Path, files: Iterable[str]) -> list[str]:
    """What every run of pytest is told."""
    return ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys", "-c", str(tree / "pyproject.toml"),
            "--rootdir", str(tree), "--basetemp", str(temporary), "--tb=line", *sorted(set(files))]  # fmt: skip


class Loaded:
    """A plugin of pytest that has collected all tests, and so imported them and what they test; runs `work` in their place."""

    session: pytest.Session

    def __init__(self, tree: Path, work: Callable[[Loaded], None]) -> None:
        self._tree = tree
        self._work = work
        self._functions: dict[str, list[FunctionType]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the tests."""
        if session.testsfailed:
            raise SystemExit("not every file of tests can be imported")
        self.session = session
        for found in gc.get_objects():
            if isinstance(found, FunctionType):
                self._functions[found.__code__.co_filename].append(found)
        gc.freeze()
        self._work(self)
        return True

    def change(self, file: str, source: str, mutant: Mutant) -> bool:
        """Changes the functions in memory as the file of this source is changed; False if it takes more than functions."""
        path = str(self._tree / file)
        both = [list(_codes(compile(text, path, "exec"))) for text in (source, mutant.of(source))]
        if mutant.span is None or [code.co_qualname for code in both[0]] != [code.co_qualname for code in both[1]]:
            return False
        after = {(old.co_qualname, old.co_firstlineno): new for old, new in zip(*both, strict=True)}
        for function in self._functions[path]:
            code = function.__code__
            new = after.get((code.co_qualname, code.co_firstlineno))
            if new is None or new.co_freevars != code.co_freevars:
                return False
            function.__code__ = new
        return True

    def tests(self, file: str) -> list[str]:
        """The tests of a file, in its order."""
        return [item.nodeid for item in self.session.items if item.nodeid.split("::")[0] == file]

    def write_below(self, folder: Path) -> None:
        """What tests write is to go there."""
        factory = self.session.config._tmp_path_factory  # type: ignore[attr-defined]
        factory._given_basetemp = folder

    def run(self, chosen: Chosen, *plugins: object, until_one_fails: bool = False) -> bool:
        """Runs the chosen tests; returns whether none fails."""
        for plugin in (chosen, *plugins):
            self.session.config.pluginmanager.register(plugin)
        self.session.config.option.maxfail = int(until_one_fails)
        chosen.pytest_collection_modifyitems(self.session.items)
        with suppress(self.session.Failed):
            run_tests(self.session)
        return not self.session.testsfailed


def _codes(code: CodeType) -> Iterator[CodeType]:
    """All code below some, in its order."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def run_mutant(place: Workplace, reach: Reach, loaded: Loaded, file: str, mutant: Mutant) -> Ended:
    """The tests of one mutant."""
    on_import = reach.is_on_import(file, mutant)
    tests, estimate = reach.choose(file, mutant, users(place.tree, file, mutant) if on_import else frozenset())
    if not tests:
        return Ended(UNREACHED, "", 0.0)
    chosen, ready = Chosen(tests), Ready(reach.ready(file, mutant))

    def in_memory() -> tuple[bool, tuple[str, str] | None] | None:
        sys.dont_write_bytecode = True
        return (loaded.run(chosen, ready, until_one_fails=True), chosen.failed) if loaded.change(file, source, mutant) else None

    def anew() -> tuple[bool, tuple[str, str] | None]:
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.split(".")[0] in ("harness", "models", "tests")]:
            del sys.modules[name]
        arguments = pytest_arguments(place.tree, place.temporary, (test.split("::")[0] for test in tests))
        return pytest.main(["-x", *arguments], plugins=[chosen, ready]) == pytest.ExitCode.OK, chosen.failed

    place.refresh()
    with place.changed(file, mutant) as source:
        answer, ended_by, seconds = None, 0, 0.0
        for work in (anew,) if on_import else (in_memory, anew):
            answer, ended_by, seconds = in_child(place.log, TIMES * estimate + SPARE, work)
            if answer is not None or ended_by:
                break
    if ended_by == signal.SIGXCPU:
        return Ended(KILLED, "out of seconds", seconds)
    if ended_by == signal.SIGKILL:
        return Ended(STUCK, "", seconds)
    if answer is None:
        return Ended(KILLED, f"the process ended (signal {ended_by})", seconds)
    passed, failed = answer
    if passed:
        return Ended(SURVIVED, f"{len(tests)} tests", seconds)
    by, kind = failed or ("an import", "")
    return Ended(STUCK if kind == "TimeoutExpired" else KILLED, by, seconds)


def users(tree: Path, file: str, mutant: Mutant) -> frozenset[tuple[str, int]]:
    """The lines of the files that are changed which name what is made on import of the changed statement."""
    names = made_of((tree / file).read_text(), mutant.names)
    words = re.compile(rf"\b({'|'.join(sorted(names))})\b")
    return frozenset(
        (name, number)
        for name in sources(tree)
        for number, line in enumerate((tree / name).read_text().splitlines(), 1)
        if words.search(line)
    )


def find_reach(place: Workplace, loaded: Loaded, say: Callable[[str], None]) -> Reach:
    """Which test executes which line: each file of tests runs once, and again when it or a file that it executes has changed."""
    path = place.folder / "reach.json"
    nothing: dict[str, Any] = {"keys": {}, "executes": {}, "tests": {}, "seconds": {}, "lines": {}, "kept": {}, "on_import": []}
    known = json.loads(path.read_text()) if path.exists() else nothing
    known["on_import"] = _executed_on_import(place)
    path.write_text(json.dumps(known))
    # The quick ones first: what they hold in common is made once.
    for name in sorted(test_files(place.tree), key=lambda name: ("_cli_" in name, name)):
        if name in known["keys"] and known["keys"][name] == digest(place.tree, [name, *known["executes"][name]]):
            continue
        for test in [test for test in known["tests"] if test.split("::")[0] == name]:
            del known["tests"][test]
        found, seconds = _run_once(place, loaded, name, known["kept"])
        for part in ("tests", "seconds", "lines", "kept"):
            known[part].update(found[part])
        known["executes"][name] = sorted({file for lines in found["lines"].values() for file, _ in lines})
        known["keys"][name] = digest(place.tree, [name, *known["executes"][name]])
        path.write_text(json.dumps(known))
        failing = sum(not test["passes"] for test in found["tests"].values())
        say(f"{name}: {seconds:.0f} s" + (f"; {failing} tests do not pass here and are left out" if failing else ""))
    return Reach.read(path)


def _executed_on_import(place: Workplace) -> list[tuple[str, int]]:
    """The lines that are executed when the files are imported, those of functions that are called there among them."""
    result = place.folder / "imported.json"

    def work() -> None:
        sys.dont_write_bytecode = True
        for name in [name for name in sys.modules if name.split(".")[0] == "harness"]:
            del sys.modules[name]
        lines = Lines(place.tree, sources(place.tree))
        lines.switch("import")
        lines.start()
        for name in sources(place.tree):
            importlib.import_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        result.write_text(json.dumps(sorted(lines.by_owner["import"])))

    result.unlink(missing_ok=True)
    in_child(place.log, LONGEST_FILE, work)
    if not result.exists():
        raise SystemExit(f"the files cannot be imported; see {place.log}")
    found: list[tuple[str, int]] = json.loads(result.read_text())
    return found


def _run_once(place: Workplace, loaded: Loaded, name: str, kept: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """What one file of tests executes, and the seconds it took."""
    made, result = place.folder / f"made-{time.time_ns()}", place.folder / "made.json"
    result.unlink(missing_ok=True)

    def work() -> None:
        sys.dont_write_bytecode = True
        plugin = Reaching(place.tree, sources(place.tree), made, place.keep)
        loaded.write_below(plugin.temporary)
        plugin.lines.start()
        loaded.run(Chosen(loaded.tests(name)), plugin, Ready(kept))
        result.write_text(json.dumps(plugin.result()))

    place.refresh()
    _, _, seconds = in_child(place.log, LONGEST_FILE, work)
    if not result.exists():
        raise SystemExit(f"{name} did not end; see {place.log}")
    return json.loads(result.read_text()), seconds


def sources(tree: Path) -> list[str]:
    """The files that are changed."""
    rooms = [path.relative_to(tree).as_posix() for room in ROOMS for path in (tree / "harness" / room).glob("*.py")]
    return sorted([*rooms, *FILES])


def test_files(tree: Path) -> list[str]:
    """The files of tests that may kill."""
    return sorted({path.relative_to(tree).as_posix() for claim in CLAIMS for path in (tree / "tests").glob(f"test_{claim}.py")})
