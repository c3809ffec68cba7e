"""Softmax, temperatures and decoding of classes, against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

from harness.errors import DataError
from harness.kinds.decode import decode
from harness.kinds.probabilities import sigmoid, soften, softmax

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


def test_the_sigmoid_of_plain_numbers_agrees_with_scipy_to_the_last_digits_however_large() -> None:
    logits = np.array([-800.0, -30.0, -1.0, 0.0, 0.5, 40.0, 800.0])
    np.testing.assert_allclose(sigmoid(logits), scipy.special.expit(logits), atol=1e-16)
    assert sigmoid(np.array([0.3], np.float32)).dtype == np.float64
