"""What the rows of benchmarks.evidence come to: a table of arms, paired differences, and what the rule says of them.

The rule is that of docs/pretraining.md, written down before any run: a finding is ContraWarping above BYOL and above magnitude 0,
the paired 95 % interval over people of the mean over seeds excluding 0 for a primary figure; at least 50 passes and 3 seeds, on
settings that passed the gate; and no claim where the network does not tell warped faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.unseen import bounds_of, difference, over_seeds, written

SEEDS, PASSES = 3, 50
"""Fewer are no evidence."""
FIGURES = (
    ("happiness_auc", "probe", "Happiness against Neutral"),
    ("macro_auc", "probe", "one against rest"),
    ("macro_f1", "fine-tuning-5", "F1, 5 % of people"),
    ("macro_f1", "fine-tuning-20", "F1, 20 % of people"),
    ("unit_f1", "units", "units"),
    ("won", "gap", "won"),
    ("cosine", "gap", "cosine"),
)
"""Figure, the kind of row that has it, and its column; the first PRIMARY decide."""
PRIMARY = 2
COMPARED = (
    ("contrawarping", "byol"),
    ("contrawarping", "magnitude-0"),
    ("contrawarping", "random"),
    ("lite0-contrawarping", "lite0-magnitude-0"),
    ("lite0-contrawarping", "lite0"),
)
SETTING = ("network", "side", "magnitude", "family")
COIN = 0.5

Rows = Sequence[Mapping[str, Any]]


def settings_of(rows: Rows) -> list[tuple[Any, ...]]:
    """What SETTING names, and the passes, of all pre-trainings, in order; those without any only where nothing else is there."""
    found = sorted({(*(row[name] for name in SETTING), row["passes"]) for row in rows})
    return [setting for setting in found if setting[-1]] or found


def rows_of(rows: Rows, setting: tuple[Any, ...], arm: str, kind: str) -> Rows:
    """The rows of an arm, a seed each, in order of the seeds; those of references belong to every number of passes."""
    chosen = [row for row in rows if row["arm"] == arm and row["kind"] == kind and row["passes"] in (0, setting[-1])]
    return sorted((row for row in chosen if tuple(row[name] for name in SETTING) == setting[:-1]), key=lambda row: row["seed"])


def table(rows: Rows) -> str:
    """Markdown: of every setting the arms with their figures, means over seeds, and then the paired differences."""
    return "\n\n".join("\n".join(_of_setting(rows, setting)) for setting in settings_of(rows))


def _of_setting(rows: Rows, setting: tuple[Any, ...]) -> Iterator[str]:
    network, side, magnitude, family, passes = setting
    yield f"{network}, {side} pixels, {family} warps of magnitude {magnitude:g}, {passes} passes. Intervals of 95 % over people."
    yield ""
    yield "| arm | seeds | " + " | ".join(title for _, _, title in FIGURES) + " |"
    yield "|" + "---|" * (len(FIGURES) + 2)
    for arm in dict.fromkeys(row["arm"] for row in rows if tuple(row[name] for name in SETTING) == setting[:-1]):
        found = [rows_of(rows, setting, arm, kind) for _, kind, _ in FIGURES]
        cells = [
            written(over_seeds(own, name)) if own and name in own[0] else ""
            for own, (name, _, _) in zip(found, FIGURES, strict=True)
        ]
        yield f"| {arm} | {max(map(len, found))} | " + " | ".join(cells) + " |"
    for first, second in COMPARED:
        cells = [_difference(rows, setting, first, second, place) for place in range(len(FIGURES))]
        if any(cells):
            yield f"| {first} minus {second} | | " + " | ".join(cells) + " |"


def _pairs(rows: Rows, setting: tuple[Any, ...], first: str, second: str, place: int) -> tuple[Rows, Rows] | None:
    """The rows of two arms that have a figure; None where one of them has none, or other seeds than the other."""
    name, kind, _ = FIGURES[place]
    left, right = (rows_of(rows, setting, arm, kind) for arm in (first, second))
    if not left or not right or name not in left[0] or name not in right[0]:
        return None
    alike = [row["seed"] for row in left] == [row["seed"] for row in right]
    return (left, right) if alike or len(right) == 1 else None


def _difference(rows: Rows, setting: tuple[Any, ...], first: str, second: str, place: int) -> str:
    pairs = _pairs(rows, setting, first, second, place)
    if pairs is None:
        return ""
    name = FIGURES[place][0]
    return written(difference(over_seeds(pairs[0], name), over_seeds(pairs[1], name)), is_difference=True)


def verdict(rows: Rows, gate: Rows) -> str:
    """What the rule says of the first setting with pre-trained arms, a line; `gate` are the rows that passed."""
    setting = next((setting for setting in settings_of(rows) if setting[-1]), None)
    if setting is None:
        return "no verdict: nothing was pre-trained"
    lacking = list(_lacking(rows, setting))
    if lacking:
        return f"no verdict: {'; '.join(lacking)}"
    if not any(tuple(row[name] for name in SETTING) == setting[:-1] for row in gate):
        return "no claim: these settings did not pass the gate"
    low, _ = bounds_of(over_seeds(rows_of(rows, setting, "contrawarping", "gap"), "won"), is_difference=False)
    if not low > COIN:
        return "no claim: the network does not tell warped faces of other people (won)"
    found = [title for place, (_, _, title) in enumerate(FIGURES[:PRIMARY]) if _is_above(rows, setting, place)]
    if not found:
        return "failed: ContraWarping is not above BYOL and above magnitude 0 in a primary figure"
    return f"finding: ContraWarping is above BYOL and above magnitude 0 in {' and in '.join(found)}"


def _lacking(rows: Rows, setting: tuple[Any, ...]) -> Iterator[str]:
    """What there has to be before anything is said, and is not."""
    if setting[-1] < PASSES:
        yield f"{setting[-1]} passes of {PASSES}"
    for arm in ("byol", "contrawarping", "magnitude-0"):
        seeds = min(len(rows_of(rows, setting, arm, kind)) for kind in ("probe", "gap"))
        if seeds < SEEDS:
            yield f"{seeds} seeds of {SEEDS} of {arm}"


def _is_above(rows: Rows, setting: tuple[Any, ...], place: int) -> bool:
    """Whether the whole interval of both differences lies above 0."""
    name = FIGURES[place][0]
    for other in ("byol", "magnitude-0"):
        pairs = _pairs(rows, setting, "contrawarping", other, place)
        if pairs is None:
            return False
        low, _ = bounds_of(difference(over_seeds(pairs[0], name), over_seeds(pairs[1], name)), is_difference=True)
        if not low > 0:
            return False
    return True
