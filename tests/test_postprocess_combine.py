"""One prediction from several, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.kinds.probabilities import softmax
from harness.postprocess.combine import combine, vote

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


def test_a_majority_vote_counts_labels() -> None:
    shares = vote([[0, 1], [0, 2], [1, 2]], classes=3)
    np.testing.assert_allclose(shares, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


def test_a_vote_for_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.7"):
        vote([[8]], classes=8)
