"""Which few submissions to send: those judged best outside their own choices that do not repeat one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.describe import plain
from harness.evaluation.intervals import estimates, jackknife
from harness.kinds.f1 import Floats, class_f1
from harness.selection.nested import Counts, Fold, Mask, gain, held_out_counts, macro_f1_of

MOST_SUBMISSIONS = 5

# Two submissions that agree on more of the test rows than this would be the same attempt twice.
SAME_FROM = 0.99

# By how much less than on validation teams have reported to score on test, macro-F1. The recordings of test are others, which no
# choice on validation can tell, so this comes on top of what is measured here.
REPORTED_SHIFT = (0.05, 0.10)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to make a submission of the runs there are.

    Attributes
    ----------
    name : of its run and its submission.
    words : what it is.
    commands : the commands that make it again.
    inside : macro-F1 on the recordings that its settings were chosen on, as `harness evaluate` prints it.
    held_out_counts : confusion matrices (R, C, C) of the recordings under settings chosen without them.
    test_rows : (rows,) int8 the classes of all test rows.
    """

    name: str
    words: str
    commands: tuple[str, ...]
    inside: float
    held_out_counts: Counts
    test_rows: NDArray[np.int8]


@dataclass(frozen=True)
class Choice:
    """One submission to send.

    Attributes
    ----------
    expected, low, high : macro-F1 on recordings that had no part in any choice, and its 95 % interval over recordings. Which
        candidate is sent in this place is such a choice, too: it was made anew without each fold of the recordings.
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


def choose(
    candidates: Sequence[Candidate], supported: NDArray[np.bool_], folds: Sequence[Fold], most: int = MOST_SUBMISSIONS
) -> list[Choice]:
    """The candidates with the highest macro-F1 outside their choices, best first, leaving out those that repeat a better one.

    The highest of several figures flatters, even when each of them is honest. What is to be expected of the first, second, ...
    submission is therefore judged in the same way as all else: in each of `folds` the candidates are ranked on the recordings
    to choose on, and the one that comes out in that place is scored on the others. `supported` (C,) marks the classes with enough
    labelled frames; all scores are means over these.
    """
    everything = np.ones(len(candidates[0].held_out_counts), dtype=bool)
    chosen = _ranked(candidates, supported, everything, most)
    in_folds = [_ranked(candidates, supported, fold.choosing, most) for fold in folds]
    choices: list[Choice] = []
    last: Counts | None = None
    for place, candidate in enumerate(chosen):
        # Fewer may be left in a fold, where another order makes more of them repetitions; its last stands for those that follow.
        picks = [ranked[min(place, len(ranked) - 1)] for ranked in in_folds]
        matrices = held_out_counts(folds, picks, lambda pick: pick.held_out_counts)
        agreement = max((_agreement(candidate, other) for other in chosen[:place]), default=None)
        choices.append(_choice(candidate, matrices, last, agreement, supported))
        last = matrices
    return choices


def _ranked(candidates: Sequence[Candidate], supported: NDArray[np.bool_], mask: Mask, most: int) -> list[Candidate]:
    """The best candidates on the recordings of a mask (R,), without those that repeat a better one."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -macro_f1_of(candidate.held_out_counts[mask], supported)):
        if len(chosen) < most and all(_agreement(candidate, other) <= SAME_FROM for other in chosen):
            chosen.append(candidate)
    return chosen


def as_dict(choices: Sequence[Choice], classes: Mapping[str, bool]) -> dict[str, Any]:
    """The choices as plain values; `classes` says which classes the scores are means over."""
    return {
        "classes": [name for name, supported in classes.items() if supported],
        "reported_shift": {"from": REPORTED_SHIFT[0], "to": REPORTED_SHIFT[1], "source": "other teams; not measured here"},
        "submissions": plain(list(choices)),
    }


def _choice(
    candidate: Candidate, matrices: Counts, last: Counts | None, agreement: float | None, supported: NDArray[np.bool_]
) -> Choice:
    def macro_f1(counts: NDArray) -> Floats:
        mean: Floats = class_f1(counts)[..., supported].mean(axis=-1)
        return mean

    (expected,) = estimates(jackknife(matrices, macro_f1))
    return Choice(
        name=candidate.name,
        words=candidate.words,
        commands=candidate.commands,
        expected=expected.value,
        low=expected.low,
        high=expected.high,
        inside=candidate.inside,
        fall=candidate.inside - expected.value,
        beats_last=None if last is None else gain(last, matrices, supported).probability,
        agreement=agreement,
    )


def _agreement(one: Candidate, other: Candidate) -> float:
    return float((one.test_rows == other.test_rows).mean())
