"""Which few submissions to send: those judged best outside their own choices that do not repeat one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.describe import plain
from harness.selection.expectation import Expectation
from harness.selection.nested import Fold, Mask, gain, held_out_sums
from harness.selection.published import on_test
from harness.selection.yardstick import Yardstick

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
    expectation : what it scores on the recordings, each under settings chosen without it.
    test_rows : (rows, ...) the answers to all test rows.
    """

    name: str
    words: str
    commands: tuple[str, ...]
    expectation: Expectation
    test_rows: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Choice:
    """One submission to send.

    Attributes
    ----------
    expectation : what is to be expected of the submission in this place. Which candidate is sent in it is a choice, too: it was
        made anew without each fold of the recordings; `expectation.own` is of this candidate alone.
    beats_last : how sure the recordings make it that it beats the submission before it; None for the first.
    agreement : how far it agrees with the submission before it that is most like it, 1 for all test rows (of values, by their
        CCC); None for the first.
    """

    name: str
    words: str
    commands: tuple[str, ...]
    expectation: Expectation
    beats_last: float | None
    agreement: float | None

    @property
    def fall(self) -> float:
        """By how much its own choices flatter it on the recordings they were made on: the score there less that outside them."""
        return (
            self.expectation.score(sums=self.expectation.in_sample).value
            - self.expectation.score(sums=self.expectation.of_itself).value
        )

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        expected, inside = self.expectation.score(), self.expectation.score(sums=self.expectation.in_sample)
        return {
            "name": self.name,
            "words": self.words,
            "commands": list(self.commands),
            "expected": expected.value,
            "low": expected.low,
            "high": expected.high,
            "inside": inside.value,
            "fall": self.fall,
            "beats_last": self.beats_last,
            "agreement": self.agreement,
            "published_falls": plain(on_test(expected.value, self.expectation.parts.challenge.name)),
            "expectation": self.expectation.as_dict(),
        }


def choose(
    candidates: Sequence[Candidate], yardstick: Yardstick, folds: Sequence[Fold], most: int = MOST_SUBMISSIONS
) -> list[Choice]:
    """The candidates with the highest score outside their own choices, best first, leaving out those that repeat a better one.

    The highest of several figures flatters, even when each of them is honest. What is to be expected of the first, second, ...
    submission is therefore judged in the same way as all else: in each of `folds` the candidates are ranked on the recordings
    to choose on, and the one that comes out in that place is scored on the others.
    """
    everything = np.ones(len(candidates[0].expectation.sums), dtype=bool)
    chosen = _ranked(candidates, yardstick, everything, most)
    in_folds = [_ranked(candidates, yardstick, fold.choosing, most) for fold in folds]
    picked = f"the choice of it among {len(candidates)} candidates"
    choices: list[Choice] = []
    last: NDArray | None = None
    for place, candidate in enumerate(chosen):
        # Fewer may be left in a fold, where another order makes more of them repetitions; its last stands for those that follow.
        picks = [ranked[min(place, len(ranked) - 1)] for ranked in in_folds]
        own = candidate.expectation
        sums = held_out_sums(folds, picks, lambda pick: pick.expectation.sums)
        expectation = replace(own, sums=sums, own=own.sums, without=(*own.without, picked))
        beats = None if last is None else gain(last, own.sums, yardstick).probability
        agreement = max((_agreement(candidate, other) for other in chosen[:place]), default=None)
        choices.append(Choice(candidate.name, candidate.words, candidate.commands, expectation, beats, agreement))
        last = own.sums
    return choices


def _ranked(candidates: Sequence[Candidate], yardstick: Yardstick, mask: Mask, most: int) -> list[Candidate]:
    """The best candidates on the recordings of a mask (R,), without those that repeat a better one."""
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda candidate: -yardstick.of_recordings(candidate.expectation.sums[mask])):
        if len(chosen) < most and all(_agreement(candidate, other) <= SAME_FROM for other in chosen):
            chosen.append(candidate)
    return chosen


def as_dict(choices: Sequence[Choice], yardstick: Yardstick, alarms: Sequence[str] = ()) -> dict[str, Any]:
    """The choices as plain values, with the classes, units and values that the scores are means over, and any alarms."""
    return {
        "classes": list(yardstick.names),
        **({"alarms": list(alarms)} if alarms else {}),
        "submissions": [choice.as_dict() for choice in choices],
    }


def _agreement(one: Candidate, other: Candidate) -> float:
    return one.expectation.parts.agreement(one.test_rows, other.test_rows)
