"""One prediction from several, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.kinds.probabilities import softmax
from harness.postprocess.combine import combine

LOGITS = np.random.default_rng(0).normal(0, 5, (50, 8))


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
