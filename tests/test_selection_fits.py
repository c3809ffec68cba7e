"""What is fitted to labels: temperature, class bias and weights, against grids, finite differences and known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from numpy.typing import NDArray
from sklearn import metrics

from harness.kinds.bias import fit_bias, soft_macro_f1
from harness.kinds.probabilities import log_probabilities, soften, softmax
from harness.kinds.temperature import fit_temperature
from harness.kinds.weights import EQUAL_SHARE, fit_weights, greedy_weights, likelihood_weights

ALL = np.ones(4, bool)


def sampled(frames: int = 4000, seed: int = 0, peak: float = 0.5) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (N, 4), and labels drawn from them."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(4, peak), frames)
    labels = (probabilities.cumsum(axis=1) < generator.random((frames, 1))).sum(axis=1).clip(0, 3)
    return probabilities, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_probabilities_that_are_too_sure_get_their_temperature_back(temperature: float) -> None:
    probabilities, labels = sampled()
    assert fit_temperature(soften(probabilities, 1.0 / temperature), labels) == temperature


def test_the_temperature_has_the_smallest_log_loss_of_a_grid() -> None:
    probabilities, labels = sampled(500, seed=3)
    too_sure = soften(probabilities, 0.37)
    grid = {2 ** (k / 4): metrics.log_loss(labels, soften(too_sure, 2 ** (k / 4)), labels=range(4)) for k in range(-8, 9)}
    assert fit_temperature(too_sure, labels) == min(grid, key=lambda temperature: grid[temperature])


def test_without_labels_nothing_is_fitted() -> None:
    assert fit_temperature(np.empty((0, 4)), np.empty(0)) == 1.0
    assert fit_bias(np.empty((0, 4)), [], ALL) == (0.0,) * 4


def test_of_answers_without_a_doubt_the_soft_score_is_macro_f1() -> None:
    generator = np.random.default_rng(5)
    labels, answers = generator.integers(0, 4, (2, 300))
    classes = np.array([0, 2, 3])
    soft, _ = soft_macro_f1(50.0 * np.eye(4)[answers], np.eye(4)[labels], classes)
    assert soft == pytest.approx(metrics.f1_score(labels, answers, labels=classes, average="macro"))


def test_the_gradient_of_the_soft_score_is_that_of_finite_differences() -> None:
    probabilities, labels = sampled(60)
    logits, truth, classes = log_probabilities(probabilities), np.eye(4)[labels], np.array([0, 2, 3])

    def score(values: NDArray) -> float:
        bias = np.zeros(4)
        bias[classes] = values
        return soft_macro_f1(logits + bias, truth, classes)[0]

    def gradient(values: NDArray) -> NDArray:
        bias = np.zeros(4)
        bias[classes] = values
        return soft_macro_f1(logits + bias, truth, classes)[1]

    for start in (np.zeros(3), np.array([0.3, -0.4, 0.1])):
        assert scipy.optimize.check_grad(score, gradient, start) < 1e-5


def test_a_bias_that_was_put_in_is_taken_out_again() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, 3000)
    logits = 2.0 * np.eye(4)[labels] + generator.standard_normal((3000, 4))
    bias = np.array(fit_bias(softmax(logits + np.array([1.5, 0.0, -1.0, 0.5])), labels, ALL))
    np.testing.assert_allclose(bias - bias.mean(), [-1.25, 0.25, 1.25, -0.25], atol=0.25)


def test_a_bias_raises_the_macro_f1_of_a_rare_class() -> None:
    generator = np.random.default_rng(2)
    labels = generator.choice(4, 4000, p=[0.9, 0.05, 0.03, 0.02])
    logits = np.log([0.9, 0.05, 0.03, 0.02]) + 1.5 * np.eye(4)[labels] + generator.standard_normal((4000, 4))
    bias = np.array(fit_bias(softmax(logits), labels, ALL))
    before, after = (metrics.f1_score(labels, (logits + one).argmax(axis=1), average="macro") for one in (0.0, bias))
    assert after > before + 0.03


def test_a_bias_is_held_back_by_three_thousandths_of_its_mean_square() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 4, 3000)
    probabilities = softmax(2.0 * np.eye(4)[labels] + generator.standard_normal((3000, 4)) + np.array([1.5, 0.0, -1.0, 0.5]))
    temperature = fit_temperature(probabilities, labels)
    bias = np.array(fit_bias(probabilities, labels, ALL)) / temperature
    logits = log_probabilities(probabilities) / temperature
    _, gradient = soft_macro_f1(logits + bias, np.eye(4)[labels], np.arange(4))
    # At the best bias the pull of the score is that of the ridge, 0.003 (b1^2 + ... + b4^2) / 4.
    np.testing.assert_allclose(gradient, 2 * 0.003 * bias / 4, atol=2e-4)
    assert np.abs(2 * 0.003 * bias / 4).max() > 1e-3


def test_a_class_that_is_not_tuned_on_keeps_its_bias_of_zero() -> None:
    probabilities, labels = sampled()
    assert fit_bias(probabilities, labels, np.array([True, True, False, True]))[2] == 0.0


def members() -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Three members, of which the second knows the labels best and the third nothing."""
    generator = np.random.default_rng(4)
    labels = generator.choice(4, 2000, p=[0.5, 0.3, 0.15, 0.05])
    logits = [strength * np.eye(4)[labels] + generator.standard_normal((2000, 4)) for strength in (1.0, 2.0, 0.0)]
    return [softmax(one) for one in logits], labels


def test_the_likelihood_is_highest_of_all_weights_on_the_simplex() -> None:
    probabilities, labels = members()
    frames = np.bincount(labels)[labels]

    def log_likelihood(weights: NDArray) -> float:
        mixture = sum(weight * member for weight, member in zip(weights, probabilities, strict=True))
        return float((np.log(mixture[np.arange(len(labels)), labels]) / frames).sum())

    found = likelihood_weights(probabilities, labels, ALL)
    grid = [np.array(pair) / 20 for pair in itertools.product(range(21), repeat=3) if sum(pair) == 20]
    assert found.sum() == pytest.approx(1.0)
    assert log_likelihood(found) >= max(map(log_likelihood, grid)) - 1e-6


def test_the_greedy_choice_takes_the_best_member_first_and_never_one_that_knows_nothing_alone() -> None:
    probabilities, labels = members()
    weights = greedy_weights(probabilities, labels, ALL)
    assert weights.argmax() == 1
    assert weights.sum() == pytest.approx(1.0)
    assert (weights * 30 == np.round(weights * 30)).all()


def test_the_first_greedy_step_is_the_best_single_member(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, labels = members()
    monkeypatch.setattr("harness.kinds.weights.GREEDY_STEPS", 1)
    scores = [metrics.f1_score(labels, member.argmax(axis=1), average="macro") for member in probabilities]
    assert greedy_weights(probabilities, labels, ALL).argmax() == np.argmax(scores)


def test_weights_are_drawn_towards_equal() -> None:
    probabilities, labels = members()
    weights = fit_weights(probabilities, labels, ALL)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= EQUAL_SHARE / 3 - 1e-12).all()
    assert weights.argmax() == 1


def test_one_member_has_all_the_weight() -> None:
    probabilities, labels = members()
    assert fit_weights(probabilities[:1], labels, ALL).tolist() == [1.0]


def test_without_labels_all_members_weigh_alike() -> None:
    probabilities, labels = members()
    nothing = [member[:0] for member in probabilities]
    assert fit_weights(nothing, labels[:0], ALL).tolist() == [1 / 3] * 3


def test_classes_that_are_not_tuned_on_do_not_count() -> None:
    probabilities, labels = members()
    tuned = np.array([True, True, True, False])
    other = [member.copy() for member in probabilities]
    rare = labels == 3
    for member in other:
        member[rare] = [0.25, 0.25, 0.25, 0.25]
    np.testing.assert_allclose(
        likelihood_weights(probabilities, labels, tuned), likelihood_weights(other, labels, tuned), atol=1e-12
    )


def test_weights_are_the_mean_of_both_methods_and_one_fifth_of_equal_shares() -> None:
    probabilities, labels = members()
    both = [method(probabilities, labels, ALL) for method in (greedy_weights, likelihood_weights)]
    assert np.abs(both[0] - both[1]).max() > 0.01
    expected = 0.8 * (both[0] + both[1]) / 2 + 0.2 / 3
    np.testing.assert_allclose(fit_weights(probabilities, labels, ALL), expected)


def test_each_class_counts_the_same_in_the_likelihood_however_many_frames_it_has() -> None:
    labels = np.repeat([0, 1], [900, 100])
    knows_the_first, knows_the_second = np.tile([0.9, 0.1], (1000, 1)), np.tile([0.1, 0.9], (1000, 1))
    weights = likelihood_weights([knows_the_first, knows_the_second], labels, np.ones(2, bool))
    assert weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
