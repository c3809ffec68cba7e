"""Softmax, temperatures, combining and decoding, against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from harness.errors import DataError
from harness.postprocess.calibrate import soften, softmax
from harness.postprocess.combine import combine, vote
from harness.postprocess.decode import decode

LOGITS = np.random.default_rng(0).normal(0, 5, (50, 8))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_softmax_agrees_with_scipy(temperature: float) -> None:
    np.testing.assert_allclose(softmax(LOGITS, temperature), scipy.special.softmax(LOGITS / temperature, axis=1), atol=1e-15)


def test_softmax_of_huge_logits_stays_finite() -> None:
    np.testing.assert_array_equal(softmax([[1e4, 0.0], [-1e4, -2e4]]), [[1, 0], [1, 0]])


def test_softmax_of_no_frames_is_no_frames() -> None:
    assert softmax(np.empty((0, 8))).shape == (0, 8)


def test_softmax_refuses_scores_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="not finite"):
        softmax([[0.0, float("nan")]])


def test_softening_probabilities_is_dividing_their_logits() -> None:
    np.testing.assert_allclose(soften(softmax(LOGITS / 5), 2.5), softmax(LOGITS / 5, 2.5), atol=1e-7)


def test_softening_survives_exact_zeros() -> None:
    assert np.isfinite(soften([[1.0, 0.0]], 2.0)).all()


def test_combine_is_the_weighted_mean() -> None:
    one, other = softmax(LOGITS), softmax(LOGITS[::-1])
    np.testing.assert_allclose(combine([one, other], [3, 1]), 0.75 * one + 0.25 * other, atol=1e-15)
    np.testing.assert_allclose(combine([one, other]), (one + other) / 2, atol=1e-15)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [float("nan"), 1.0]])
def test_combine_refuses_weights_that_are_none(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        combine([np.ones((1, 1)), np.ones((1, 1))], weights)


def test_combine_refuses_arrays_of_unequal_length() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        combine([np.ones((3, 2)), np.ones((1, 2))])


def test_a_majority_vote_counts_labels() -> None:
    shares = vote([[0, 1], [0, 2], [1, 2]], classes=3)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


def test_a_vote_for_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.7"):
        vote([[8]], classes=8)


def test_decode_takes_the_first_of_equal_probabilities() -> None:
    decoded = decode([[0.5, 0.5], [0.4, 0.6]])
    assert decoded.tolist() == [0, 1]
    assert decoded.dtype == np.int8


def test_a_class_bias_is_added_to_the_logarithms() -> None:
    probabilities = softmax(LOGITS)
    bias = np.random.default_rng(1).normal(0, 2, 8)
    np.testing.assert_array_equal(decode(probabilities, bias), (scipy.special.log_softmax(LOGITS, axis=1) + bias).argmax(axis=1))


def test_decode_refuses_probabilities_that_are_not_finite() -> None:
    with pytest.raises(DataError, match="not finite"):
        decode([[float("nan"), 1.0]])
