"""What the doctor and the validator have to say: Finding, its catalogue, and printing.

A check that meets a fault of the data adds a finding and goes on; it raises nothing. What the program itself does wrong raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from harness.errors import DataError
from harness.words import counted

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
# Findings kept of each code in each file; the rest is counted.
KEPT = 100
# Places printed of each code, over all files.
SHOWN = 3
# Version of the JSON form; raised when a key changes its name or meaning.
SCHEMA = 2
LONGEST_EXCERPT = 100
LONGEST_LINE = 4000

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True)
class FindingKind:
    """One entry of a catalogue: its code, how grave it is, what it means and what to do."""

    code: str
    severity: Severity
    meaning: str
    remedy: str


def error(meaning: str, remedy: str) -> FindingKind:
    """An entry of a catalogue for what ends with exit code 1; `named` gives it its code."""
    return FindingKind("", "error", meaning, remedy)


def warning(meaning: str, remedy: str) -> FindingKind:
    """An entry for what someone should know, though there is a safe way to go on."""
    return FindingKind("", "warning", meaning, remedy)


def note(meaning: str, remedy: str) -> FindingKind:
    """An entry for what is worth knowing."""
    return FindingKind("", "note", meaning, remedy)


def named(catalogue: Mapping[str, Any]) -> tuple[FindingKind, ...]:
    """The entries among the variables of a catalogue's module, in its order; the code of each is the name of its variable."""
    kinds = {name: kind for name, kind in catalogue.items() if isinstance(kind, FindingKind)}
    for name, kind in kinds.items():
        object.__setattr__(kind, "code", name)
    return tuple(kinds.values())


def as_warning(kind: FindingKind) -> FindingKind:
    """The same as a warning: for a rule that is only inferred."""
    return replace(kind, severity="warning")


@dataclass(frozen=True)
class Finding:
    """One thing found: its kind, the file, the 1-based line where there is one, what stands there and what was expected."""

    kind: FindingKind
    file: str
    line: int | None = None
    found: str = ""
    expected: str = ""

    def place(self) -> str:
        """`file:line`, or the file alone."""
        return printable(self.file, 200) if self.line is None else f"{printable(self.file, 200)}:{self.line}"


class Findings:
    """The findings of one pass over something, bounded: of each code in each file the first `KEPT` are kept, the rest counted."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._kept: list[Finding] = []
        self._by_place: Counter[tuple[str, str]] = Counter()
        self._kinds: dict[tuple[str, str], FindingKind] = {}
        self.extend(findings)

    def add(self, kind: FindingKind, file: str, line: int | None = None, found: str = "", expected: str = "") -> None:
        """Adds one finding; `found` and `expected` may hold any text of the file, it is shortened and made printable here."""
        if self._count(kind, file) <= KEPT:
            self._kept.append(Finding(kind, file, line, printable(found), printable(expected)))

    def append(self, finding: Finding) -> None:
        """Adds a finding as it is."""
        if self._count(finding.kind, finding.file) <= KEPT:
            self._kept.append(finding)

    def _count(self, kind: FindingKind, file: str) -> int:
        self._kinds.setdefault((kind.code, file), kind)
        number = self._by_place[kind.code, file] = self._by_place[kind.code, file] + 1
        return number

    def room(self, kind: FindingKind, file: str) -> int:
        """How many more findings of a kind in a file are kept; those beyond are counted alone."""
        return max(0, KEPT - self._by_place[kind.code, file])

    def count_more(self, kind: FindingKind, file: str, count: int) -> None:
        """Counts `count` further places of a kind of which nothing else is to be kept."""
        if count > 0:
            self._kinds.setdefault((kind.code, file), kind)
            self._by_place[kind.code, file] += count

    def extend(self, findings: Findings | Iterable[Finding]) -> None:
        """Adds the findings of another pass, with what it counted."""
        if not isinstance(findings, Findings):
            for finding in findings:
                self.append(finding)
            return
        self._kinds = findings._kinds | self._kinds
        kept = Counter((finding.kind.code, finding.file) for finding in findings)
        for finding in findings:
            self.append(finding)
        for place, total in findings._by_place.items():
            self._by_place[place] += total - kept[place]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def codes(self) -> list[str]:
        """The codes found, errors first, each group in the order of appearance."""
        return list(dict.fromkeys(code for code, _ in sorted(self._kinds, key=self._gravity)))

    def _gravity(self, place: tuple[str, str]) -> int:
        return SEVERITIES.index(self._kinds[place].severity)

    def severity(self, code: str) -> Severity:
        """The gravest severity with which a code was found."""
        return self._kinds[min((place for place in self._kinds if place[0] == code), key=self._gravity)].severity

    def of(self, code: str) -> list[Finding]:
        """The findings kept of one code."""
        return [finding for finding in self._kept if finding.kind.code == code]

    def total(self, code: str) -> int:
        """The number of places of one code, those that were only counted included."""
        return sum(count for (counted, _), count in self._by_place.items() if counted == code)

    def number(self, severity: Severity) -> int:
        """The number of places of all codes of one severity."""
        return sum(count for place, count in self._by_place.items() if self._kinds[place].severity == severity)

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return self.number("error") > 0


def raise_first_error(findings: Findings | Iterable[Finding], command: str = "", folder: Path | None = None) -> None:
    """Raises DataError for the first error, if there is one, saying how many there are and with which `command` all are named.

    Files are named as in the finding, or below `folder`.
    """
    findings = findings if isinstance(findings, Findings) else Findings(findings)
    first = next((finding for finding in findings if finding.kind.severity == "error"), None)
    if first is None:
        return
    number = findings.number("error")
    raise DataError(
        f"{first.kind.meaning} ({first.kind.code})" + (f", the first of {number:,} errors" if number > 1 else ""),
        path=printable(first.file if folder is None else str(folder / first.file), LONGEST_LINE),
        line=first.line,
        found=first.found or None,
        expected=first.expected or None,
        remedy=f"{first.kind.remedy}; all at once: {command}" if command else first.kind.remedy,
    )


def printable(text: str, longest: int = LONGEST_EXCERPT) -> str:
    """`text` cut to about `longest` characters, its middle left out, and without anything a terminal would obey."""
    if len(text) > longest:
        half = (longest - 5) // 2
        text = f"{text[:half]} ... {text[-half:]}"
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def printable_lines(text: str) -> str:
    """`text` as `printable` makes it, with its line ends."""
    return "\n".join(printable(line, LONGEST_LINE) for line in text.split("\n"))


def as_text(findings: Findings, shown: int = SHOWN) -> str:
    """The findings grouped by code, errors first: the first `shown` places of each, then how many more, then what to do.

    The text holds colour codes, which `click.echo` takes out where there is no terminal.
    """
    return "\n".join(line for code in findings.codes() for line in _group(findings, code, shown))


def _group(findings: Findings, code: str, shown: int) -> Iterator[str]:
    kept, total = findings.of(code), findings.total(code)
    kind = kept[0].kind
    places = counted(total, "place")
    gravest = findings.severity(code)
    severity = click.style(gravest.upper(), fg=_COLOURS[gravest], bold=True)
    yield f"{severity} {click.style(code, bold=True)} ({places}): {kind.meaning}"
    for finding in kept[:shown]:
        yield f"    {finding.place()}{_what(finding)}"
    if total > shown:
        yield f"    and {total - min(shown, len(kept)):,} more"
    yield f"    what to do: {kind.remedy}"


def _what(finding: Finding) -> str:
    found = f"  found {finding.found}" if finding.found else ""
    expected = f"{',' if found else ' '} expected {finding.expected}" if finding.expected else ""
    return found + expected


def summary(findings: Findings) -> str:
    """`2 errors, 1 warning`."""
    parts = []
    for severity in SEVERITIES:
        number = findings.number(severity)
        if number or severity != "note":
            parts.append(counted(number, severity))
    return ", ".join(parts)


def as_json(findings: Findings) -> dict[str, Any]:
    """The findings as plain values: `counts` by code, and the list of those kept."""
    return {
        "errors": findings.number("error"),
        "warnings": findings.number("warning"),
        "counts": {code: findings.total(code) for code in findings.codes()},
        "findings": [
            {
                "code": finding.kind.code,
                "severity": finding.kind.severity,
                "file": finding.file,
                "line": finding.line,
                "found": finding.found,
                "expected": finding.expected,
                "meaning": finding.kind.meaning,
                "remedy": finding.kind.remedy,
            }
            for finding in findings
        ],
    }


def catalogue_text(kinds: Sequence[FindingKind]) -> str:
    """A catalogue for the terminal, one entry per paragraph."""
    return "\n\n".join(f"{kind.code} ({kind.severity})\n    {kind.meaning}\n    what to do: {kind.remedy}" for kind in kinds)


def catalogue_table(kinds: Sequence[FindingKind]) -> str:
    """A catalogue as a Markdown table."""
    rows = [f"| `{kind.code}` | {kind.severity} | {_cell(kind.meaning)} | {_cell(kind.remedy)} |" for kind in kinds]
    return "\n".join(["| code | severity | meaning | what to do |", "|---|---|---|---|", *rows])


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
