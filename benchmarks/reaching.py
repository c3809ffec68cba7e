"""Which test executes which line, and how long it takes: a plugin of pytest for one run of the tests.

A fixture that several tests share is noted for itself; the tests that need it reach what it reaches.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tracing import FOLDER, WATCHED, Lines


@dataclass
class Test:
    """A test: the shared fixtures that it needs, and whether it passes."""

    fixtures: list[str] = field(default_factory=list)
    passes: bool = True


class Reaching:
    """The plugin: fills `tests` by node id, `lines` and `seconds` of processor by node id or fixture, and where fixtures lie.

    `made` is the folder for what the tests and the plugin write. `keep` is called with every folder that a fixture of the whole
    session made, before a test sees it.
    """

    def __init__(self, root: Path, watched: Iterable[str], made: Path, keep: Callable[[Path], None]) -> None:
        watched, notes = list(watched), made / "notes"
        self.temporary = made / "tmp"
        notes.mkdir(parents=True, exist_ok=True)
        os.environ[FOLDER], os.environ[WATCHED] = str(notes), json.dumps([str(root), watched])
        self.lines = Lines(root, watched)
        self.tests: dict[str, Test] = defaultdict(Test)
        self.seconds: dict[str, float] = defaultdict(float)
        self.kept: dict[str, str] = {}
        self._keep = keep
        self._notes = notes
        self._at_work = [""]
        self._since = _seconds()

    def result(self) -> dict[str, Any]:
        """What was found, as plain values: lines as [file, line]."""
        for path in self._notes.glob("*.json"):
            owner, lines = json.loads(path.read_text())
            self.lines.by_owner[owner] |= {(name, line) for name, line in lines}
        return {
            "tests": {name: vars(test) for name, test in self.tests.items()},
            "seconds": dict(self.seconds),
            "lines": {owner: sorted(lines) for owner, lines in self.lines.by_owner.items()},
            "kept": self.kept,
        }

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, Any]:
        """A test with what is set up for it alone."""
        test = self.tests[item.nodeid]
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            test.fixtures += [fixture_name(one) for one in definitions[-1:] if one.scope != "function"]
        return (yield from self._working(item.nodeid))

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """A fixture that tests share is at work for itself."""
        name = fixture_name(fixturedef)
        made = yield from self._working(self._at_work[-1] if fixturedef.scope == "function" else name)
        if fixturedef.scope == "session" and isinstance(made, Path) and made.is_relative_to(self.temporary):
            self.kept[name] = str(made)
            self._keep(made)
        return made

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Whether a test passes; one that is skipped shows nothing."""
        self.tests[report.nodeid].passes &= report.passed

    def _working(self, owner: str) -> Generator[None, Any, Any]:
        self._charge()
        self._at_work.append(owner)
        self.lines.switch(owner)
        try:
            return (yield)
        finally:
            self._charge()
            self._at_work.pop()
            self.lines.switch(self._at_work[-1])

    def _charge(self) -> None:
        """The time since the last look is of who is at work."""
        until = _seconds()
        self.seconds[self._at_work[-1]] += until - self._since
        self._since = until


def fixture_name(definition: Any) -> str:
    """A name of a shared fixture that no other has."""
    return f"fixture {definition.baseid}::{definition.argname}"


def _seconds() -> float:
    """Seconds of processor of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
