"""Intervals over recordings: the jackknife against slow loops and closed forms, and how often the interval holds the truth."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from harness.challenge import MEAN_CCC, MULTI_TASK, UNIT_F1, Score
from harness.evaluation.intervals import (
    MEASURED_COVERAGE,
    difference_interval,
    jackknife,
    measured_coverage,
    probability_of_gain,
    score_interval,
)
from harness.kinds.bounds import interval_between
from harness.kinds.f1 import class_f1, macro_f1
from tests.simulated_recordings import EXCELLENT, POOR, Model, Population, concentrated_counts, even_counts


def some_matrices(recordings: int = 9, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, 40, (recordings, 4, 4)) + 30 * np.eye(4, dtype=np.int64)


def share_of_first_cell(counts: NDArray) -> NDArray[np.float64]:
    """A statistic whose jackknife has a closed form when every recording has 100 frames: a mean."""
    share: NDArray[np.float64] = counts[..., 0, 0] / counts.sum(axis=(-2, -1))
    return share


def recordings_of_a_hundred_frames() -> NDArray[np.int64]:
    first = np.random.default_rng(2).integers(0, 100, 12)
    return np.stack([[[a, 100 - a], [0, 0]] for a in first])


def test_leaving_one_recording_out_agrees_with_a_slow_loop() -> None:
    matrices = some_matrices()
    result = jackknife(matrices, macro_f1)
    for left_out in range(len(matrices)):
        expected = macro_f1(np.delete(matrices, left_out, axis=0).sum(axis=0))
        assert result.without[left_out] == pytest.approx(float(expected))
        assert result.influence[left_out] == pytest.approx(float(macro_f1(matrices.sum(axis=0)) - expected))


def test_the_jackknife_of_a_mean_is_its_textbook_standard_error_and_has_no_bias() -> None:
    matrices = recordings_of_a_hundred_frames()
    result = jackknife(matrices, share_of_first_cell)
    shares = matrices[:, 0, 0] / 100
    assert result.standard_error == pytest.approx(scipy.stats.sem(shares))
    assert result.corrected == pytest.approx(shares.mean())


def test_the_degrees_of_freedom_are_satterthwaites() -> None:
    matrices = recordings_of_a_hundred_frames()
    deviations = matrices[:, 0, 0] / 100 - (matrices[:, 0, 0] / 100).mean()
    expected = (deviations**2).sum() ** 2 / (deviations**4).sum()
    assert jackknife(matrices, share_of_first_cell).degrees_of_freedom == pytest.approx(expected)


@pytest.mark.parametrize(("recordings", "least"), [(14, 1.0), (28, 2.0), (70, 4.0), (200, 4.0)])
def test_one_recording_that_carries_a_class_leaves_few_degrees_of_freedom(recordings: int, least: float) -> None:
    matrices = np.zeros((recordings, 2, 2), dtype=np.int64)
    matrices[:, 0, 0] = 50
    matrices[3, 1] = (30, 70)
    result = jackknife(matrices, class_f1)
    assert result.degrees_of_freedom[1] == pytest.approx(least, abs=0.2)
    assert result.influence[3, 1] == pytest.approx(result.estimate[1])


def test_the_interval_of_a_mean_is_students_interval_on_the_logit_scale() -> None:
    matrices = recordings_of_a_hundred_frames()
    result = jackknife(matrices, share_of_first_cell)
    mean, error, freedom = float(result.corrected), float(result.standard_error), float(result.degrees_of_freedom)
    half = scipy.stats.t.ppf(0.975, freedom) * error / (mean * (1 - mean))
    interval = score_interval(result)
    assert interval.low == pytest.approx(scipy.special.expit(scipy.special.logit(mean) - half))
    assert interval.high == pytest.approx(scipy.special.expit(scipy.special.logit(mean) + half))


def test_the_interval_of_a_difference_is_students_interval() -> None:
    result = jackknife(recordings_of_a_hundred_frames(), share_of_first_cell)
    expected = scipy.stats.t.interval(
        0.95, float(result.degrees_of_freedom), float(result.corrected), float(result.standard_error)
    )
    interval = difference_interval(result)
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_the_interval_of_a_difference_ends_where_differences_do() -> None:
    # Two recordings that disagree as far as can be leave one degree of freedom: Student's interval is wider than all there is.
    result = jackknife(np.array([[[100, 0], [0, 0]], [[0, 100], [0, 0]]]), share_of_first_cell)
    interval = difference_interval(result)
    assert (float(interval.low), float(interval.high)) == (-1.0, 1.0)


def test_scores_of_many_classes_come_out_together_and_stay_between_zero_and_one() -> None:
    result = jackknife(some_matrices(4), class_f1)
    interval = score_interval(result)
    assert interval.low.shape == (4,)
    assert (interval.low >= 0).all()
    assert (interval.high <= 1).all()
    single = score_interval(jackknife(some_matrices(4), lambda counts: class_f1(counts)[..., 2]))
    assert interval.low[2] == pytest.approx(float(single.low))


def test_without_any_difference_between_recordings_there_is_no_interval() -> None:
    interval = score_interval(jackknife(np.stack([np.eye(3, dtype=np.int64) * 7] * 5), macro_f1))
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)


def test_one_recording_gives_no_interval() -> None:
    assert np.isnan(score_interval(jackknife(some_matrices(1), macro_f1)).low)


def test_the_probability_of_a_gain_is_students() -> None:
    matrices = recordings_of_a_hundred_frames()
    result = jackknife(matrices, lambda counts: share_of_first_cell(counts) - 0.5)
    expected = scipy.stats.t.cdf(float(result.corrected / result.standard_error), float(result.degrees_of_freedom))
    assert probability_of_gain(result) == pytest.approx(expected)


def test_no_difference_anywhere_is_an_even_chance_of_gain() -> None:
    assert probability_of_gain(jackknife(some_matrices(), lambda counts: 0.0 * macro_f1(counts))) == 0.5


def test_the_measured_coverage_is_that_of_the_next_smaller_number_of_recordings_tried() -> None:
    assert measured_coverage(5) is None
    assert measured_coverage(70) == measured_coverage(200) == MEASURED_COVERAGE[70]


def test_the_measured_coverage_of_the_score_of_classes_is_what_the_documents_give() -> None:
    text = " ".join((Path(__file__).parent.parent / "docs" / "statistics.md").read_text().split())
    (told,) = re.findall(r"prints the lowest figure for the number of recordings at hand: ([^.]*)\.", text)
    documented = {int(recordings): int(percent) for percent, recordings in re.findall(r"(\d+) % from (\d+)", told)}
    assert documented.keys() == MEASURED_COVERAGE.keys()
    assert [measured_coverage(recordings) for recordings in documented] == [percent / 100 for percent in documented.values()]


@pytest.mark.parametrize(
    ("score", "words"), [(MEAN_CCC, "mean CCC"), (UNIT_F1, "mean F1 of the units"), (MULTI_TASK, "score of all tasks")]
)
def test_the_measured_coverage_of_a_score_is_the_lowest_that_the_documents_give(score: Score, words: str) -> None:
    lines = (Path(__file__).parent.parent / "docs" / "statistics.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| {words} |")]
    lowest = [math.floor(float(cell.split()[0])) / 100 for cell in row.split("|")[2:-1]]
    assert [measured_coverage(recordings, score) for recordings in (20, 50, 70, 312)] == lowest


def coverage(population: Population, recordings: int, times: int) -> float:
    """How often the 95 % interval of macro-F1 holds the population's value, in `times` seeded data sets."""
    generator = np.random.default_rng(1)
    truth = population.true_macro_f1(generator)
    held = 0
    for _ in range(times):
        interval = score_interval(jackknife(population.draw(recordings, generator), macro_f1))
        held += bool(interval.low <= truth <= interval.high)
    return held / times


def test_the_interval_holds_the_truth_with_the_official_concentration_of_classes() -> None:
    assert coverage(Population(concentrated_counts(), Model()), 70, 600) >= 0.90


def test_the_interval_holds_the_truth_with_even_recordings() -> None:
    assert 0.925 <= coverage(Population(even_counts(), Model()), 70, 600) <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("recordings", sorted(MEASURED_COVERAGE))
@pytest.mark.parametrize(
    "model",
    [Model(), Model(spread=0.2), Model(spread=1.5), Model(recall=EXCELLENT), Model(recall=POOR)],
    ids=["middling", "steady", "moody", "excellent", "poor"],
)
def test_the_documented_coverage_is_what_the_simulation_gives(model: Model, recordings: int) -> None:
    # Three standard errors of a share of 4,000 simulations are 1.3 %.
    measured = coverage(Population(concentrated_counts(), model), recordings, 4000)
    print(f"{recordings} recordings, {model}: {100 * measured:.1f} %")
    assert measured >= MEASURED_COVERAGE[recordings] - 0.013


@pytest.mark.parametrize(("share", "taken"), [(0.995, 0.995), (0.9995, 0.999), (0.002, 0.002), (0.0, 0.001)])
def test_a_score_is_moved_from_the_border_only_within_a_thousandth_of_the_range(share: float, taken: float) -> None:
    middle, half = math.log(taken / (1 - taken)), 0.004 / (taken * (1 - taken))
    by_hand = [1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))]
    assert [float(end) for end in interval_between(np.array(share), np.array(0.004))] == pytest.approx(by_hand)
    wide = interval_between(np.array(2 * share - 1), np.array(0.008), -1.0, 1.0)
    assert [float(end) for end in wide] == pytest.approx([2 * end - 1 for end in by_hand])
