"""Which submissions to send: ranked outside their choices, none of them a repetition."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.kinds.f1 import macro_f1
from harness.selection.best import Candidate, as_dict, choose
from harness.selection.describe import describe_choices
from harness.selection.expectation import Expectation
from harness.selection.nested import Fold, gain
from tests.yardsticks import macro_f1_of_all

ALL = macro_f1_of_all(3)
RECORDINGS = np.arange(12)
FOLDS = [Fold(np.not_equal(RECORDINGS % 4, fold), np.equal(RECORDINGS % 4, fold)) for fold in range(4)]


def candidate(name: str, right: float, inside: float = 0.9, seed: int = 0, rows: NDArray | None = None) -> Candidate:
    """A candidate that gets a share `right` of each recording's frames right, `inside` of those it was chosen on."""
    generator = np.random.default_rng(seed)
    sums = np.stack([_recording(generator, right) for _ in range(12)])
    test_rows = generator.integers(0, 3, 1000) if rows is None else rows
    in_sample = np.stack([_recording(np.random.default_rng(seed), inside) for _ in range(12)])
    expectation = Expectation("val", ALL.parts, tuple(map(str, RECORDINGS)), sums, in_sample, without=(f"tuning {name}",))
    return Candidate(name, f"what {name} is", (f"make {name}",), expectation, test_rows.astype(np.int8))


def _recording(generator: np.random.Generator, right: float) -> NDArray[np.int64]:
    wrong = (1 - right) / 2
    shares = np.full((3, 3), wrong) + (right - wrong) * np.eye(3)
    return np.concatenate([generator.multinomial(40, row) for row in shares]).astype(np.int64)


def test_the_best_outside_its_choices_comes_first_however_it_scores_inside() -> None:
    choices = choose([candidate("flattered", 0.5, inside=0.99), candidate("honest", 0.7, inside=0.72, seed=1)], ALL, FOLDS)
    assert [choice.name for choice in choices] == ["honest", "flattered"]
    honest = candidate("honest", 0.7, inside=0.72, seed=1).expectation
    known = choices[0].expectation
    np.testing.assert_array_equal(known.of_itself, honest.sums)
    assert choices[0].fall == pytest.approx(honest.score(sums=honest.in_sample).value - honest.score().value)
    assert known.without == ("tuning honest", "the choice of it among 2 candidates")
    written = as_dict(choices, ALL)["submissions"][0]
    expected = known.score()
    assert (written["expected"], written["low"], written["high"]) == (expected.value, expected.low, expected.high)
    assert written["expectation"]["outside_its_own_choices"]["score"]["value"] == honest.score().value


def test_a_candidate_that_repeats_a_better_one_is_left_out() -> None:
    rows = np.random.default_rng(5).integers(0, 3, 1000)
    nearly = rows.copy()
    nearly[:5] = (nearly[:5] + 1) % 3
    other = rows.copy()
    other[:50] = (other[:50] + 1) % 3
    choices = choose(
        [
            candidate("first", 0.8, rows=rows),
            candidate("the same again", 0.7, seed=1, rows=nearly),
            candidate("another", 0.6, seed=2, rows=other),
        ],
        ALL,
        FOLDS,
    )
    assert [choice.name for choice in choices] == ["first", "another"]
    assert choices[0].agreement is None
    assert choices[1].agreement == pytest.approx(0.95)


def test_no_more_submissions_than_may_be_sent() -> None:
    candidates = [candidate(f"run{k}", 0.5 + k / 50, seed=k) for k in range(8)]
    assert len(choose(candidates, ALL, FOLDS)) == 5
    assert [choice.name for choice in choose(candidates, ALL, FOLDS, most=1)] == [
        max(candidates, key=lambda one: ALL.of_recordings(one.expectation.sums)).name
    ]


def test_each_is_compared_with_the_one_before_it() -> None:
    first, second, third = candidate("a", 0.8), candidate("b", 0.6, seed=1), candidate("c", 0.4, seed=2)
    choices = choose([first, second, third], ALL, FOLDS)
    assert choices[0].beats_last is None
    assert choices[1].beats_last == pytest.approx(gain(first.expectation.sums, second.expectation.sums, ALL).probability)
    assert choices[2].beats_last == pytest.approx(gain(second.expectation.sums, third.expectation.sums, ALL).probability)


def test_the_place_of_a_submission_is_judged_by_candidates_that_came_there_without_the_recording() -> None:
    candidates = [candidate(f"run{k}", 0.5, seed=k) for k in range(5)]
    choices = choose(candidates, ALL, FOLDS)
    assert len(choices) == 5
    for place, choice in enumerate(choices):
        total = np.zeros(9, np.int64)
        for fold in FOLDS:
            scores = [float(macro_f1(one.expectation.sums[fold.choosing].sum(axis=0).reshape(3, 3))) for one in candidates]
            total += candidates[int(np.argsort(scores)[::-1][place])].expectation.sums[fold.held_out].sum(axis=0)
        assert choice.expectation.score().value == pytest.approx(float(macro_f1(total.reshape(3, 3))))


def test_of_many_equal_candidates_the_first_is_not_expected_to_be_better_than_they_are() -> None:
    truth, expected, highest = [], [], []
    for repetition in range(60):
        candidates = [candidate(f"run{k}", 0.4, seed=1000 * repetition + k) for k in range(20)]
        scores = [ALL.of_recordings(one.expectation.sums) for one in candidates]
        truth.append(np.mean(scores))
        highest.append(max(scores))
        expected.append(choose(candidates, ALL, FOLDS, most=1)[0].expectation.score().value)
    error = np.std(np.subtract(expected, truth)) / np.sqrt(len(truth))
    assert np.mean(expected) < np.mean(truth) + 2 * error
    # The figure that was looked at in order to choose is far from that.
    assert np.mean(highest) > np.mean(truth) + 5 * error


def test_each_submission_has_a_line_with_its_figures_and_the_commands_that_make_it() -> None:
    said, other = np.zeros(1000, np.int8), np.repeat(np.array([0, 2], np.int8), [660, 340])
    poor, good = candidate("poor", 0.5, rows=said), candidate("good", 0.7, inside=0.72, seed=1, rows=other)
    choices = choose([poor, good], ALL, FOLDS)
    lines = describe_choices(choices)
    first, second = (re.split(r"\s{2,}", line) for line in lines[1:3])
    assert (first[:2], second[:2]) == (["good", "what good is"], ["poor", "what poor is"])
    for cells, choice in zip((first, second), choices, strict=True):
        known = choice.expectation
        for cell, sums in zip(cells[2:5], (known.of_itself, known.sums, known.in_sample), strict=True):
            assert float(cell.split()[0]) == pytest.approx(float(macro_f1(sums.sum(axis=0).reshape(3, 3))), abs=5e-4)
        assert lines[lines.index(f"{choice.name}:") + 1] == f"  make {choice.name}"
    assert re.fullmatch(r"\d+ %", second[5])
    assert second[6] == "66 % of test rows"


def test_it_is_said_whether_all_labelled_recordings_judge() -> None:
    choices = choose([candidate("one", 0.7)], ALL, FOLDS)
    assert any(line.startswith("judged by the 12 recordings of val; `harness crossval`") for line in describe_choices(choices))
    out_of_fold = [replace(one, expectation=replace(one.expectation, split="oof")) for one in choices]
    assert "judged out of fold, by all 12 labelled recordings" in describe_choices(out_of_fold)


def test_an_order_that_other_figures_contradict_is_explained() -> None:
    choices = choose([candidate("flattered", 0.5, inside=0.99), candidate("honest", 0.7, inside=0.72, seed=1)], ALL, FOLDS)
    said = "\n".join(describe_choices(choices))
    assert "flattered stands below honest though its in-sample score is higher" in said
    plain = choose([candidate("good", 0.8, inside=0.9), candidate("poor", 0.4, inside=0.5, seed=1)], ALL, FOLDS)
    assert "stands below" not in "\n".join(describe_choices(plain))
