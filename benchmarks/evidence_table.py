"""What the rows of benchmarks.evidence come to: a table of arms, paired differences, and what the rule says of them.

The rule is that of docs/pretraining.md, written down before any run: a finding is an arm above others, the paired 95 % interval
over people of the mean over seeds excluding 0 for a primary figure; at least 50 passes and 3 seeds, on settings that passed the
gate; and no claim where the network does not tell warped faces, or not better than the arms that it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.unseen import bounds_of, difference, over_seeds, written
from harness.evaluation.compare import spread_of_seeds
from harness.evaluation.intervals import NOMINAL, Interval, Jackknife, Spread, difference_interval
from harness.training.network import BUILTIN

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
WON = [name for name, _, _ in FIGURES].index("won")
BOTH = 1 - (1 - NOMINAL) / PRIMARY
"""Level at which all intervals of PRIMARY figures together hold the truth 95 times in 100, at the least (Bonferroni)."""
REFERENCES = ("lite0", "dlib")
"""Arms that no seed changes: each has one row of what is looked at, whatever seeds others have."""
COMPARED = (
    ("contrawarping", "byol"),
    ("contrawarping", "magnitude-0"),
    ("contrawarping", "random"),
    ("contrawarping", "lite0"),
    ("contrawarping", "dlib"),
    ("byol", "random"),
    ("byol", "lite0"),
    ("byol", "dlib"),
    ("magnitude-0", "random"),
    ("magnitude-0", "lite0"),
    ("magnitude-0", "dlib"),
    ("lite0-contrawarping", "lite0"),
    ("lite0-contrawarping", "lite0-magnitude-0"),
)
SETTING = ("network", "side", "magnitude", "family")
COIN = 0.5
ONE_SEED = "one seed alone"

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Claim:
    """What was written down as a finding.

    Attributes
    ----------
    arm : what is above the others.
    above : the others, all of them.
    says : the finding in words.
    begins : network and weights of the row of the gate that has to pass; None for the setting's network with random ones.
    """

    arm: str
    above: tuple[str, ...]
    says: str
    begins: tuple[str, str] | None = None


CLAIMS = (
    Claim("contrawarping", ("byol", "magnitude-0"), "ContraWarping is above BYOL and above magnitude 0"),
    Claim("lite0-contrawarping", ("lite0",), "ContraWarping from Lite0's ImageNet weights is above Lite0", ("lite0", BUILTIN)),
    Claim(
        "lite0-contrawarping",
        ("lite0", "lite0-magnitude-0"),
        "ContraWarping from Lite0's ImageNet weights is above Lite0 and above magnitude 0",
        ("lite0", BUILTIN),
    ),
)
"""The first series' finding, and both of the second."""


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
    yield f"{_words_of(setting)}. Intervals of 95 % over people."
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


def _words_of(setting: tuple[Any, ...]) -> str:
    network, side, magnitude, family, passes = setting
    return f"{network}, {side} pixels, {family} warps of magnitude {magnitude:g}, {passes} passes"


def _pairs(rows: Rows, setting: tuple[Any, ...], first: str, second: str, place: int) -> tuple[Rows, Rows] | None:
    """The rows of two arms that have a figure, of the seeds that both have; None where there are none."""
    name, kind, _ = FIGURES[place]
    left, right = ([row for row in rows_of(rows, setting, arm, kind) if name in row] for arm in (first, second))
    if second not in REFERENCES or len(right) > 1:
        common = {row["seed"] for row in left} & {row["seed"] for row in right}
        left, right = ([row for row in own if row["seed"] in common] for own in (left, right))
    return (left, right) if left and right else None


def _gain(rows: Rows, setting: tuple[Any, ...], first: str, second: str, place: int) -> Jackknife | None:
    """What the first arm has more of a figure than the second, the mean over seeds; None where there are no pairs."""
    pairs, name = _pairs(rows, setting, first, second, place), FIGURES[place][0]
    return None if pairs is None else difference(*(over_seeds(own, name) for own in pairs))


def _difference(rows: Rows, setting: tuple[Any, ...], first: str, second: str, place: int) -> str:
    gain = _gain(rows, setting, first, second, place)
    return "" if gain is None else written(gain, is_difference=True)


def primary_table(rows: Rows) -> str:
    """Markdown: of every setting with pre-trained arms the primary differences in full.

    Each has its value in every seed, and intervals of 95 % and BOTH over people, and of 95 % as if the seeds had been drawn anew
    as well, as `harness compare` reckons with seeds.
    """
    return "\n\n".join("\n".join(_primary(rows, setting)) for setting in settings_of(rows) if setting[-1])


def _primary(rows: Rows, setting: tuple[Any, ...]) -> Iterator[str]:
    yield f"{_words_of(setting)}:"
    yield ""
    yield (f"| | | each seed | 95 % over people | {100 * BOTH:g} % over people | 95 % over people and seeds |")
    yield "|---|---|---|---|---|---|"
    for place, (name, _, title) in enumerate(FIGURES[:PRIMARY]):
        for first, second in COMPARED:
            pairs = _pairs(rows, setting, first, second, place)
            if pairs is not None:
                yield f"| {title} | {first} minus {second} | {_in_full(*pairs, name)} |"


def _in_full(left: Rows, right: Rows, name: str) -> str:
    first, second = (np.array([row[name] for row in one]) for one in (left, right))
    result = difference(over_seeds(left, name), over_seeds(right, name))
    spread = _spread(first, second)
    intervals = [_bounds(difference_interval(result)), _bounds(difference_interval(result, level=BOTH))]
    with_seeds = ONE_SEED if spread is None else _bounds(difference_interval(result, seeds=spread))
    each = ", ".join(f"{gain:+.3f}" for gain in first - second)
    return " | ".join([each, *intervals, with_seeds])


def _spread(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> Spread | None:
    """How much a difference of two means moves with the seeds; a reference of one row has none, and one seed does not say."""
    if len(second) > 1:
        return spread_of_seeds(first, second)
    return Spread(np.asarray(first.var(ddof=1) / len(first)), len(first) - 1.0) if len(first) > 1 else None


def _bounds(interval: Interval) -> str:
    """Four decimals, because an interval may end very near to 0."""
    return f"[{float(interval.low):+.4f}, {float(interval.high):+.4f}]"


def verdict(rows: Rows, gate: Rows) -> str:
    """What the rule says of every setting with pre-trained arms, a line for each claim; `gate` are the rows that passed."""
    lines = [
        f"{_words_of(setting)}: {_verdict(rows, gate, setting, claim)}"
        for setting in settings_of(rows)
        if setting[-1]
        for claim in CLAIMS
    ]
    return "\n".join(lines) or "no verdict: nothing was pre-trained"


def _verdict(rows: Rows, gate: Rows, setting: tuple[Any, ...], claim: Claim) -> str:
    lacking = list(_lacking(rows, setting, claim))
    if lacking:
        return f"no verdict whether {claim.says}: {'; '.join(lacking)}"
    if not _passed(gate, setting, claim):
        return f"no claim that {claim.says}: these settings did not pass the gate"
    if not _tells_warps(rows, setting, claim):
        return f"no claim that {claim.says}: the network does not tell warped faces of other people better (won)"
    found = [title for place, (_, _, title) in enumerate(FIGURES[:PRIMARY]) if _is_above(rows, setting, claim, place)]
    return f"finding: {claim.says} in {' and in '.join(found)}" if found else f"failed: not in any primary figure {claim.says}"


def _lacking(rows: Rows, setting: tuple[Any, ...], claim: Claim) -> Iterator[str]:
    """What there has to be before anything is said, and is not."""
    if setting[-1] < PASSES:
        yield f"{setting[-1]} passes of {PASSES}"
    for arm in (claim.arm, *claim.above):
        wanted = 1 if arm in REFERENCES else SEEDS
        # Those that the first arm has as well: differences are of one seed each.
        seeds = min(len(_seeds(rows, setting, arm, kind, claim)) for kind in ("probe", "gap"))
        if seeds < wanted:
            yield f"{seeds} seeds of {wanted} of {arm}"


def _seeds(rows: Rows, setting: tuple[Any, ...], arm: str, kind: str, claim: Claim) -> set[int]:
    own, first = ({row["seed"] for row in rows_of(rows, setting, one, kind)} for one in (arm, claim.arm))
    return own if arm in REFERENCES else own & first


def _passed(gate: Rows, setting: tuple[Any, ...], claim: Claim) -> bool:
    network, weights = claim.begins or (setting[0], None)
    return any(
        row["network"] == network and row.get("weights") == weights and tuple(row[name] for name in SETTING[1:]) == setting[1:-1]
        for row in gate
    )


def _tells_warps(rows: Rows, setting: tuple[Any, ...], claim: Claim) -> bool:
    """Whether won is above a coin's, and above that of each of the others that were pre-trained."""
    low, _ = bounds_of(over_seeds(rows_of(rows, setting, claim.arm, "gap"), "won"), is_difference=False)
    gains = [_gain(rows, setting, claim.arm, other, WON) for other in claim.above]
    return low > COIN and all(_is_positive(gain) for gain in gains if gain is not None)


def _is_above(rows: Rows, setting: tuple[Any, ...], claim: Claim, place: int) -> bool:
    """Whether the whole intervals of the differences from all others lie above 0."""
    gains = [_gain(rows, setting, claim.arm, other, place) for other in claim.above]
    return all(gain is not None and _is_positive(gain) for gain in gains)


def _is_positive(gain: Jackknife) -> bool:
    return bounds_of(gain, is_difference=True)[0] > 0
