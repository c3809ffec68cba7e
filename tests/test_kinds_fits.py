"""What tuning fits to units and values: thresholds, scale and shift, temperatures, against searches over all there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics

from harness.challenge import AU, EXPR, VA
from harness.kinds.bias import fit_bias
from harness.kinds.parts import parts_of
from harness.kinds.threshold import SMOOTHED_SHARE, fit_threshold
from harness.kinds.weights import EQUAL_SHARE, GREEDY_STEPS

(UNITS,) = (own.part for own in parts_of(AU).placed)
VALENCE = parts_of(VA).placed[0].part
(EXPRESSION,) = (own.part for own in parts_of(EXPR).placed)


def unsure(frames: int, seed: int, prevalence: float = 0.1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (N,) of a rare unit, and labels drawn from them."""
    generator = np.random.default_rng(seed)
    probabilities = scipy.special.expit(generator.normal(scipy.special.logit(prevalence), 1.5, frames))
    return probabilities, (generator.random(frames) < probabilities).astype(np.int64)


def f1_at(probabilities: NDArray, labels: NDArray, bias: float) -> float:
    said = UNITS.decode(np.tile(probabilities[:, None], 12), (bias,) * 12)[:, 0]
    return float(metrics.f1_score(labels, said, zero_division=0))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(10, 150))
def test_of_few_frames_the_threshold_is_the_best_there_is(seed: int, frames: int) -> None:
    assert int(SMOOTHED_SHARE * frames) == 0
    probabilities, labels = unsure(frames, seed, prevalence=0.3)
    bias = fit_threshold(probabilities, labels)
    if labels.any() and not labels.all():
        best = max(float(metrics.f1_score(labels, probabilities >= cut, zero_division=0)) for cut in probabilities)
        assert f1_at(probabilities, labels, bias) == pytest.approx(best)
    else:
        assert bias == 0.0


def test_the_threshold_of_true_probabilities_is_half_the_best_f1() -> None:
    # Known of F1: the threshold that maximises it is half the F1 it gives (Lipton, Elkan and Naryanaswamy 2014).
    probabilities, labels = unsure(200_000, seed=1)
    bias = fit_threshold(probabilities, labels)
    assert scipy.special.expit(-bias) == pytest.approx(f1_at(probabilities, labels, bias) / 2, abs=0.02)


def test_only_the_order_of_the_probabilities_matters() -> None:
    probabilities, labels = unsure(5000, seed=2)
    surer = scipy.special.expit(3 * scipy.special.logit(probabilities) + 1)
    assert fit_threshold(surer, labels) == pytest.approx(3 * fit_threshold(probabilities, labels) - 1, abs=2e-3)


def test_frames_of_equal_probability_are_never_parted() -> None:
    probabilities = np.array([0.9, 0.4, 0.4, 0.4, 0.1])
    labels = np.array([1, 1, 0, 1, 0])
    assert f1_at(probabilities, labels, fit_threshold(probabilities, labels)) == pytest.approx(6 / 7)


def test_units_are_fitted_each_on_its_own_labelled_frames_and_only_where_they_can_be_judged() -> None:
    probabilities, labels = unsure(600, seed=4)
    values, truth = np.tile(probabilities[:, None], 12), np.tile(labels[:, None], 12)
    truth[100:, 1] = -1
    bias = UNITS.fit(values, truth, [True, True, *[False] * 10])
    assert bias == (fit_threshold(probabilities, labels), fit_threshold(probabilities[:100], labels[:100]), *[0.0] * 10)


def test_scale_and_shift_give_the_highest_concordance_of_all() -> None:
    generator = np.random.default_rng(5)
    labels = np.tanh(generator.normal(0.1, 0.4, 3000))[:, None]
    values = 0.3 * labels + 0.2 + generator.normal(0, 0.05, labels.shape)

    def lost(numbers: NDArray) -> float:
        answers = VALENCE.decode(values, numbers)
        return -float(VALENCE.measures[0].of(VALENCE.sums(labels, answers)))

    fitted = VALENCE.fit(values, labels, [True])
    searched = scipy.optimize.minimize(lost, (1.0, 0.0), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    assert -lost(np.array(fitted)) == pytest.approx(-searched.fun, abs=2e-3)
    assert -lost(np.array(fitted)) > -lost(np.array(VALENCE.neutral)) + 0.3


def test_values_keep_their_scale_where_they_fall_as_labels_rise_or_nothing_is_labelled() -> None:
    labels = np.linspace(-1, 1, 50)[:, None]
    assert VALENCE.fit(-labels, labels, [True]) == (1.0, 0.0)
    assert VALENCE.fit(labels / 2, np.full_like(labels, -5), [True]) == (1.0, 0.0)
    assert VALENCE.fit(labels / 2, labels, [False]) == (1.0, 0.0)
    assert VALENCE.fit(labels / 2, labels, [True]) == (2.0, 0.0)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_units_that_are_too_sure_get_their_temperature_back(temperature: float) -> None:
    probabilities, labels = unsure(6000, seed=6, prevalence=0.4)
    distorted = UNITS.soften(np.tile(probabilities[:, None], 12), 1 / temperature)
    truth = np.full((6000, 12), -1)
    truth[:, 3] = labels
    assert UNITS.fit_temperature(distorted, truth) == temperature


def test_classes_are_fitted_as_they_are_where_only_classes_are_known() -> None:
    generator = np.random.default_rng(7)
    probabilities = generator.dirichlet(np.ones(8), 500)
    labels = generator.integers(-1, 8, (500, 1))
    kept = labels[:, 0] >= 0
    judged = np.arange(8) != 5
    assert EXPRESSION.fit(probabilities, labels, judged) == fit_bias(probabilities[kept], labels[kept, 0], judged)
    assert EXPRESSION.fit(probabilities, labels, judged)[5] == 0.0


def greedy_by_loops(members: list[NDArray], score: Callable[[NDArray], float]) -> NDArray[np.float64]:
    """How often each member is taken if every step takes the one with which the mean of all that were taken scores best."""
    taken: list[int] = []
    for _ in range(GREEDY_STEPS):
        scores = [score(np.mean([members[one] for one in (*taken, number)], axis=0)) for number in range(len(members))]
        taken.append(int(np.argmax(scores)))
    return np.bincount(taken, minlength=len(members)) / GREEDY_STEPS


def test_weights_of_units_are_half_greedy_by_the_mean_f1_of_judged_units_and_half_of_highest_likelihood() -> None:
    generator = np.random.default_rng(8)
    truth = np.where(generator.random((80, 12)) < 0.4, 1, 0)
    members = [scipy.special.expit(1.5 * truth - shift + generator.normal(0, 2, truth.shape)) for shift in (0.5, 1.0, 2.5)]
    truth[generator.random(truth.shape) < 0.2] = -1
    judged = np.arange(12) < 2
    known = [truth[:, unit] >= 0 for unit in range(2)]

    def mean_f1(mean: NDArray) -> float:
        found = []
        for unit in range(2):
            label, said = truth[known[unit], unit] == 1, mean[known[unit], unit] > 0.5
            found.append(2 * (label & said).sum() / (label.sum() + said.sum()))
        return float(np.mean(found))

    def lost(free: NDArray) -> float:
        mean = np.tensordot([*free, 1 - sum(free)], members, axes=1)
        of_units = []
        for unit in range(2):
            label, probability = truth[known[unit], unit], mean[known[unit], unit]
            of_units += [np.log(probability[label == 1]).mean(), np.log(1 - probability[label == 0]).mean()]
        return -float(np.mean(of_units))

    bounds = scipy.optimize.LinearConstraint([[1, 0], [0, 1], [1, 1]], 0, 1)
    likely = scipy.optimize.minimize(lost, [0.3, 0.3], method="SLSQP", constraints=bounds).x
    greedy = greedy_by_loops(members, mean_f1)
    assert sorted(greedy)[1] > 0
    expected = (1 - EQUAL_SHARE) * 0.5 * (greedy + np.append(likely, 1 - sum(likely))) + EQUAL_SHARE / 3
    found = UNITS.fit_weights(members, truth.tolist(), judged.tolist())
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_weights_of_values_are_greedy_by_the_concordance_of_labelled_frames() -> None:
    generator = np.random.default_rng(9)
    truth = np.tanh(generator.normal(0.1, 0.4, (200, 1)))
    members = [(share * truth + generator.normal(0, noise, truth.shape)) for share, noise in ((1.0, 0.5), (0.6, 0.2), (0.3, 0.3))]
    truth[::7] = -5
    labelled = truth[:, 0] != -5

    def concordance(mean: NDArray) -> float:
        label, said = truth[labelled, 0], mean[labelled, 0]
        together = np.mean((label - label.mean()) * (said - said.mean()))
        return float(2 * together / (label.var() + said.var() + (label.mean() - said.mean()) ** 2))

    greedy = greedy_by_loops(members, concordance)
    assert sorted(greedy)[1] > 0
    np.testing.assert_allclose(
        VALENCE.fit_weights(members, truth.tolist(), [True]), (1 - EQUAL_SHARE) * greedy + EQUAL_SHARE / 3, atol=1e-9
    )
