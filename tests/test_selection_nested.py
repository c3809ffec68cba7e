"""Choosing step by step: what is kept, what hangs on one recording, and what is given up again because it loses outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.kinds.f1 import macro_f1
from harness.selection.nested import Fold, Gain, Mask, NestedChoice, Step, gain
from tests.yardsticks import macro_f1_of_all

BOTH = macro_f1_of_all(2)
RECORDINGS = 10


def counts(right: list[int]) -> NDArray[np.int64]:
    """Confusion matrices (R, 4), row after row, of recordings with 200 frames of each class, so many of them right."""
    return np.array([[k, 200 - k, 200 - k, k] for k in right], dtype=np.int64)


class OneStep(NestedChoice[str]):
    """A step that turns "before" into "after", whichever recordings it is chosen on; recordings k and k + 5 share a fold."""

    start = "before"

    def __init__(self, after: list[int]) -> None:
        class Validation:
            split, seed, recordings = "val", 0, [f"video{k}" for k in range(RECORDINGS)]

        validation: Any = Validation()
        super().__init__(validation, BOTH)
        self.known = {"before": counts([100] * RECORDINGS), "after": counts(after)}

    def steps(self, among: Mask) -> list[Step[str]]:
        return [Step("step", lambda current, mask: "after")]

    def sums(self, choice: str) -> NDArray[np.int64]:
        return self.known[choice]

    def folds(self, among: Mask) -> list[Fold]:
        fold = np.arange(RECORDINGS) % 5
        return [Fold(among & (fold != k), among & (fold == k)) for k in range(5) if (among & (fold == k)).any()]


@pytest.mark.parametrize(("probability", "kept"), [(0.79, False), (0.8, True), (0.99, True)])
def test_a_gain_is_kept_from_four_fifths_on(probability: float, kept: bool) -> None:
    assert Gain(0.01, None, None, probability).kept == kept
    assert not Gain(-0.01, None, None, probability).kept
    assert not Gain(0.01, None, None, probability, least=0.0).kept


def test_what_is_left_of_a_gain_without_a_recording_agrees_with_a_slow_loop() -> None:
    def without_one(sums: NDArray[np.int64], k: int) -> float:
        return float(macro_f1(np.delete(sums, k, axis=0).sum(axis=0).reshape(2, 2)))

    generator = np.random.default_rng(0)
    before, after = (counts(generator.integers(80, 200, 12).tolist()) for _ in range(2))
    without = [without_one(after, k) - without_one(before, k) for k in range(12)]
    assert gain(before, after, BOTH).least == pytest.approx(min(without))
    assert gain(before[:9], after[:9], BOTH).least is None
    assert gain(before[:10], after[:10], BOTH).least is not None


def test_a_gain_on_many_recordings_is_kept() -> None:
    outcome = OneStep([120, 130, 125, 140, 110, 120, 125, 115, 130, 120]).outcome()
    assert (outcome.choice, outcome.steps[0].kept) == ("after", True)
    np.testing.assert_array_equal(outcome.expectation.sums, counts([120, 130, 125, 140, 110, 120, 125, 115, 130, 120]))


def test_a_gain_that_hangs_on_one_recording_is_not_kept() -> None:
    outcome = OneStep([200, *[99] * 9]).outcome()
    assert outcome.steps[0].held_out_gain.value > 0
    assert (outcome.choice, outcome.steps[0].kept) == ("before", False)


def test_what_loses_outside_the_whole_procedure_is_given_up() -> None:
    # Two recordings of one fold gain all there is: without them nothing is kept, with them the others lose.
    after = [200 if k in (0, 5) else 99 for k in range(RECORDINGS)]
    choice = OneStep(after)
    assert choice.choose(np.ones(RECORDINGS, bool))[0] == "after"
    outcome = choice.outcome()
    assert (outcome.choice, outcome.steps[0].kept, outcome.in_sample_gain) == ("before", False, 0.0)
    np.testing.assert_array_equal(outcome.expectation.sums, counts([100] * RECORDINGS))
