"""CCC from sums: against two passes in more digits on as many frames as the official validation set has, and where it is 0/0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.challenge import MEAN_CCC, VA
from harness.evaluation.intervals import Jackknife, difference_interval, jackknife, score_interval
from harness.kinds.concordance import concordance, moment_sums, pearson, root_mean_square_error
from harness.kinds.parts import parts_of

FRAMES = 400_000


def two_passes(labels: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """Lin's coefficient from moments about the means, in long double."""
    y, x = labels.astype(np.longdouble), answers.astype(np.longdouble)
    y, x, apart = y - y.mean(), x - x.mean(), y.mean() - x.mean()
    return float(2 * (y * x).mean() / ((y * y).mean() + (x * x).mean() + apart**2))


@pytest.mark.parametrize(
    ("centre", "spread"), [(0.0, 0.3), (0.5, 0.1), (0.9, 0.01), (-0.97, 0.001), (0.99, 1e-4)], ids=lambda value: str(value)
)
def test_values_far_from_zero_keep_their_digits(centre: float, spread: float) -> None:
    generator = np.random.default_rng(1)
    labels = np.clip(centre + generator.normal(0, spread, FRAMES), -1, 1)
    answers = np.clip(0.7 * (labels - centre) + centre + generator.normal(0, 0.3 * spread, FRAMES), -1, 1)
    # The variance is a difference of numbers near 1, so its relative error grows with 1 / spread², from some 1e-16.
    assert float(concordance(moment_sums(labels, answers))) == pytest.approx(two_passes(labels, answers), abs=1e-15 / spread**2)


def test_each_recording_left_out_of_76_leaves_the_concordance_of_the_others_frames() -> None:
    generator = np.random.default_rng(2)
    owner = np.sort(generator.integers(0, 76, 38_000))
    labels = np.tanh(generator.normal(0, 0.5, len(owner)) + generator.normal(0, 0.5, 76)[owner])
    answers = np.tanh(0.5 * labels + generator.normal(0, 0.3, len(owner)))
    sums = np.stack([moment_sums(labels[owner == one], answers[owner == one]) for one in range(76)])
    result = jackknife(sums, concordance)
    assert float(result.estimate) == pytest.approx(two_passes(labels, answers), abs=1e-14)
    for one in range(76):
        assert result.without[one] == pytest.approx(two_passes(labels[owner != one], answers[owner != one]), abs=1e-14)


@given(st.floats(-1, 1), st.integers(0, 2**32 - 1))
def test_a_constant_answer_scores_exactly_nothing(constant: float, seed: int) -> None:
    labels = np.random.default_rng(seed).uniform(-1, 1, 1000)
    sums = moment_sums(labels, np.full(1000, constant))
    assert (float(concordance(sums)), float(pearson(sums))) == (0.0, 0.0)
    swapped = moment_sums(np.full(1000, constant), labels)
    assert (float(concordance(swapped)), float(pearson(swapped))) == (0.0, 0.0)
    assert float(concordance(moment_sums(np.full(1000, constant), np.full(1000, constant)))) == 0.0


@given(st.integers(0, 2**32 - 1))
def test_what_rounding_leaves_of_no_frame_and_of_one_scores_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels, answers = generator.uniform(-1, 1, (2, 5000))
    for kept in (0, 1):
        left = moment_sums(labels, answers) - moment_sums(labels[kept:], answers[kept:])
        assert float(concordance(left)) == 0.0


def test_answers_that_are_the_labels_score_one_and_their_negatives_minus_one() -> None:
    labels = np.linspace(-1, 1, 101)
    assert float(concordance(moment_sums(labels, labels))) == 1.0
    assert float(concordance(moment_sums(labels, -labels))) == -1.0
    assert float(root_mean_square_error(moment_sums(labels, labels))) == 0.0


def test_the_interval_of_a_concordance_is_fishers() -> None:
    # A concordance of .5 whose jackknife has no bias and a standard error of .05 over 30 recordings.
    deviations = np.array([1.0, -1.0] * 15) * 0.05 / np.sqrt(29 / 30 * 30)
    result = Jackknife(np.array(0.5), 0.5 + deviations)
    assert result.standard_error == pytest.approx(0.05)
    interval = score_interval(result, -1.0, 1.0)
    half = np.arctanh(0.5) - np.arctanh(float(interval.low))
    assert np.arctanh(float(interval.high)) - np.arctanh(0.5) == pytest.approx(half)
    # On Fisher's scale an error is 1 / (1 - r²) times as wide; Student's t of 30 evenly contributing recordings.
    assert half == pytest.approx(2.0423 * 0.05 / (1 - 0.25), rel=1e-4)


def test_the_interval_of_a_negative_score_stays_within_its_bounds() -> None:
    result = Jackknife(np.array(-0.9), -0.9 + np.array([0.2, -0.2, 0.1, -0.1]))
    interval = score_interval(result, -1.0, 1.0)
    assert -1.0 < float(interval.low) < -0.9 < float(interval.high) < 1.0
    assert float(difference_interval(result, 2.0).low) >= -2.0


def test_the_mean_of_two_concordances_is_jackknifed_as_one_score() -> None:
    parts = parts_of(VA)
    generator = np.random.default_rng(3)
    labels = [generator.uniform(-1, 1, (50, 2)) for _ in range(8)]
    answers = [np.clip(one + generator.normal(0, 0.3, one.shape), -1, 1) for one in labels]
    sums = np.stack([parts.sums(one, other) for one, other in zip(labels, answers, strict=True)])
    result = jackknife(sums, lambda total: parts.score(total, MEAN_CCC))
    others = [np.concatenate([one for number, one in enumerate(arrays) if number != 5]) for arrays in (labels, answers)]
    expected = np.mean([two_passes(others[0][:, value], others[1][:, value]) for value in (0, 1)])
    assert result.without[5] == pytest.approx(expected, abs=1e-13)
