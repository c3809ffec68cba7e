"""What a benchmark reports: a figure with one value a round, beside its target; as a table, as Markdown, as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.targets import TARGETS, Target


@dataclass(frozen=True)
class Figure:
    """A measured figure; without values it was not measured, and `note` says why."""

    name: str
    unit: str
    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def target(self) -> Target | None:
        """What the figure must reach, if anything."""
        return TARGETS.get(self.name)

    @property
    def verdict(self) -> str:
        """ "met", "near" (within a tenth of the target), "missed", or "" where there is no target or no value."""
        if self.target is None or not self.values:
            return ""
        return self.target.verdict(self.median)


def measured(name: str, unit: str, values: Sequence[float], note: str = "") -> Figure:
    """A figure with these values."""
    return Figure(name, unit, tuple(values), note)


def not_measured(name: str, reason: str) -> Figure:
    """A figure that cannot be measured here."""
    return Figure(name, "", (), f"not measured: {reason}")


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


HEADER = ("figure", "unit", "median", "least", "most", "rounds", "target", "verdict", "note")


def cells(figure: Figure) -> tuple[str, ...]:
    """The figure as cells of a table under HEADER."""
    target = "" if figure.target is None else f"{figure.target} (point {figure.target.point})"
    if not figure.values:
        return figure.name, "", "", "", "", "", target, "", figure.note
    low, high = min(figure.values), max(figure.values)
    measured_cells = (number(figure.median), number(low), number(high), str(len(figure.values)))
    return figure.name, figure.unit, *measured_cells, target, figure.verdict, figure.note


def as_text(figures: Sequence[Figure]) -> str:
    """A table for a terminal."""
    rows = [HEADER, *map(cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def as_markdown(figures: Sequence[Figure]) -> str:
    """The same table for a page of documentation."""
    rows = [HEADER, ("---",) * len(HEADER), *map(cells, figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def as_json(figures: Sequence[Figure], machine: dict[str, Any]) -> dict[str, Any]:
    """The machine and every value of every figure."""
    return {
        "machine": machine,
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "values": list(figure.values),
                "median": figure.median if figure.values else None,
                "target": None if figure.target is None else figure.target.as_dict(),
                "verdict": figure.verdict,
                "note": figure.note,
            }
            for figure in figures
        ],
    }


def from_json(stored: dict[str, Any]) -> list[Figure]:
    """The figures that `as_json` stored."""
    return [Figure(entry["name"], entry["unit"], tuple(entry["values"]), entry["note"]) for entry in stored["figures"]]
