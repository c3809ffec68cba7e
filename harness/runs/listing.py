"""The runs as text to choose from: a table for each measure and split, with means over seeds, or all of it as CSV."""

from __future__ import annotations

import csv
import io
import statistics
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import UsageError, near_names
from harness.runs.overview import SEED, RunRow, StoredScore
from harness.words import number, plain_cell

WIDTH = 100
WIDEST_NAME = 28
NARROWEST_WORDS = 24
UNSCORED = "not evaluated yet"

SORTED_BY: Mapping[str, Callable[[RunRow], Any]] = {
    "score": lambda row: (row.measure, 0.0 if row.score is None else -row.score.value),
    "best": lambda row: 0.0 if row.best is None else -row.best,
    "steps": lambda row: 0 if row.steps is None else -row.steps,
    "name": lambda row: row.name,
}
"""By what a list can be sorted: its name, and what puts the first before the others."""

_COLUMNS = ("run", "score [95 %]", "steps", "best", "splits")


def sort(rows: Sequence[RunRow], key: str) -> list[RunRow]:
    """The rows by one of SORTED_BY, those that are alike by name. Raises UsageError for another word."""
    if key not in SORTED_BY:
        raise UsageError(f"runs cannot be sorted by {key!r}", expected=near_names(key, list(SORTED_BY)))
    return sorted(rows, key=lambda row: (SORTED_BY[key](row), row.name))


def listing(rows: Sequence[RunRow], key: str = "score") -> str:
    """The rows as aligned text of at most WIDTH columns, a table for each measure and split.

    Runs of one recipe that differ in their seed alone stand below a line with their mean and standard deviation.
    """
    tables: dict[str, list[RunRow]] = {}
    for row in sorted(rows, key=lambda row: (row.score is None, row.measure, "" if row.score is None else row.score.split)):
        title = UNSCORED if row.score is None else f"{row.measure} on {row.score.split}"
        tables.setdefault(title, []).append(row)
    return "\n\n".join("\n".join([title, *_table(sort(members, key), key)]) for title, members in tables.items())


def _table(rows: Sequence[RunRow], key: str) -> list[str]:
    """A line for each run, or several where what sets it apart needs more room."""
    cells: list[tuple[str, ...]] = [(*_COLUMNS, "what sets it apart")]
    for group in _groups(rows, key):
        if len(group) > 1:
            cells.append(_mean(group))
        cells += [_cells(row, indent=len(group) > 1) for row in group]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    room = max(NARROWEST_WORDS, WIDTH - sum(widths) - 2 * len(widths))
    lines = []
    for *columns, words in cells:
        start = "".join(cell.ljust(width) + "  " for cell, width in zip(columns, widths, strict=True))
        wrapped = textwrap.wrap(words, room, break_on_hyphens=False) or [""]
        lines.append((start + wrapped[0]).rstrip())
        lines += [" " * len(start) + part for part in wrapped[1:]]
    return lines


def _groups(rows: Sequence[RunRow], key: str) -> list[list[RunRow]]:
    """Runs of the same recipe and data together, in the order of what they are sorted by; seeds by their mean score."""
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    for row in rows:
        groups.setdefault(row.sisters or (row.name,), []).append(row)
    found = list(groups.values())
    if key == "score":
        found.sort(key=lambda group: -_mean_score(group))
    return found


def _mean_score(group: Sequence[RunRow]) -> float:
    values = [row.score.value for row in group if row.score is not None]
    return statistics.fmean(values) if values else 0.0


def _mean(group: Sequence[RunRow]) -> tuple[str, ...]:
    values = [row.score.value for row in group if row.score is not None]
    score = f"{number(statistics.fmean(values))} sd {number(statistics.stdev(values))}" if values else "-"
    best = [row.best for row in group if row.best is not None]
    shared = {key: value for key, value in group[0].differs.items() if key != SEED}
    about = f"{group[0].kind}: {group[0].about.partition(f', {SEED} ')[0]}"
    return (f"{len(group)} seeds", score, "", number(statistics.fmean(best)) if best else "-", "", _words(about, shared))


def _cells(row: RunRow, indent: bool) -> tuple[str, ...]:
    name = row.name if len(row.name) <= WIDEST_NAME else row.name[: WIDEST_NAME - 1] + "…"
    differs = {SEED: row.differs.get(SEED)} if indent else row.differs
    return (
        f"  {name}" if indent else name,
        "-" if row.score is None else score_words(row.score),
        "-" if row.steps is None else str(row.steps),
        number(row.best),
        " ".join(row.splits) or "-",
        row.fault or _words("" if indent else f"{row.kind}: {row.about}" if row.about else row.kind, differs),
    )


def score_words(score: StoredScore) -> str:
    """A stored score with its interval, .412 [.351, .470]; `older` where the scores have changed since."""
    interval = "" if score.low is None or score.high is None else f" [{number(score.low)}, {number(score.high)}]"
    return f"{number(score.value)}{interval}{' older' if score.current is False else ''}"


def _words(about: str, differs: Mapping[str, Any]) -> str:
    """What sets a run apart: its changed settings first, then what it is."""
    changed = " ".join(f"{key}={value}" for key, value in differs.items() if value is not None)
    return "; ".join(part for part in (changed, about) if part)


def csv_text(rows: Sequence[RunRow]) -> str:
    """The rows as CSV, a column for each setting in which any of them differ."""
    settings = list(dict.fromkeys(key for row in rows for key in row.differs))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fixed = (
        "run",
        "kind",
        "measure",
        "split",
        "score",
        "low",
        "high",
        "current",
        "steps",
        "last",
        "best",
        "splits",
        "about",
        "fault",
    )
    writer.writerow([*fixed, *settings])
    for row in rows:
        writer.writerow([_cell(value) for value in (*_figures(row), *(row.differs.get(key) for key in settings))])
    return text.getvalue()


def _figures(row: RunRow) -> Iterator[Any]:
    score = row.score
    yield from (row.name, row.kind, row.measure)
    yield from (None,) * 5 if score is None else (score.split, score.value, score.low, score.high, score.current)
    yield from (row.steps, row.last, row.best, " ".join(row.splits), row.about, row.fault)


def _cell(value: Any) -> Any:
    return "" if value is None else value if isinstance(value, (bool, int, float)) else plain_cell(str(value))
