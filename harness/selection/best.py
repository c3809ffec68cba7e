"""Which few submissions to send: those judged best outside their own choices that do not repeat one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.f1 import Floats, class_f1
from harness.evaluation.intervals import jackknife, score_interval
from harness.evaluation.plain import plain
from harness.selection.nested import Counts, gain, macro_f1_of

MOST_SUBMISSIONS = 5

# Two submissions that agree on more of the test rows than this would be the same attempt twice.
SAME_FROM = 0.99


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to make a submission of the runs there are.

    Attributes
    ----------
    name : of its run and its submission.
    words : what it is.
    commands : the commands that make it again.
    inside : macro-F1 on the recordings that its settings were chosen on, as `harness evaluate` prints it.
    judged : confusion matrices (R, C, C) of the recordings under settings chosen without them.
    test_rows : (rows,) int8 the classes of all test rows.
    """

    name: str
    words: str
    commands: tuple[str, ...]
    inside: float
    judged: Counts
    test_rows: NDArray[np.int8]


@dataclass(frozen=True)
class Choice:
    """One submission to send.

    Attributes
    ----------
    expected, low, high : macro-F1 on recordings that had no part in any choice, and its 95 % interval over recordings.
    fall : by how much it is expected to score less on test than on validation, where its settings were chosen.
    beats_last : how sure the recordings make it that it beats the submission before it; None for the first.
    agreement : the largest share of test rows on which it agrees with a submission before it; None for the first.
    """

    name: str
    words: str
    commands: tuple[str, ...]
    expected: float
    low: float | None
    high: float | None
    inside: float
    fall: float
    beats_last: float | None
    agreement: float | None


def choose(candidates: Sequence[Candidate], tuned: NDArray[np.bool_], most: int = MOST_SUBMISSIONS) -> list[Choice]:
    """The candidates with the highest macro-F1 outside their choices, best first, leaving out those that repeat a better one.

    `tuned` (C,) marks the classes with enough labelled frames; all scores are means over these.
    """
    ranked = sorted(candidates, key=lambda candidate: -macro_f1_of(candidate.judged, tuned))
    chosen: list[Candidate] = []
    choices: list[Choice] = []
    for candidate in ranked:
        agreement = max((_agreement(candidate, other) for other in chosen), default=None)
        if len(chosen) == most or (agreement is not None and agreement > SAME_FROM):
            continue
        choices.append(_choice(candidate, chosen[-1] if chosen else None, agreement, tuned))
        chosen.append(candidate)
    return choices


def as_dict(choices: Sequence[Choice], classes: Mapping[str, bool]) -> dict[str, Any]:
    """The choices as plain values; `classes` says which classes the scores are means over."""
    return {"classes": [name for name, tuned in classes.items() if tuned], "submissions": plain(list(choices))}


def _choice(candidate: Candidate, last: Candidate | None, agreement: float | None, tuned: NDArray[np.bool_]) -> Choice:
    def macro_f1(counts: NDArray) -> Floats:
        mean: Floats = class_f1(counts)[..., tuned].mean(axis=-1)
        return mean

    expected = macro_f1_of(candidate.judged, tuned)
    interval = score_interval(jackknife(candidate.judged, macro_f1))
    spread = not np.isnan(interval.low)
    return Choice(
        name=candidate.name,
        words=candidate.words,
        commands=candidate.commands,
        expected=expected,
        low=float(interval.low) if spread else None,
        high=float(interval.high) if spread else None,
        inside=candidate.inside,
        fall=candidate.inside - expected,
        beats_last=None if last is None else gain(last.judged, candidate.judged, tuned).probability,
        agreement=agreement,
    )


def _agreement(one: Candidate, other: Candidate) -> float:
    return float((one.test_rows == other.test_rows).mean())
