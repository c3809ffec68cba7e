"""What published falls from validation to test would make of a score."""

from __future__ import annotations

import numpy as np
import pytest

from harness.challenge import AU, CE, EXPR, MTL, VA, Challenge
from harness.selection.published import PAIRS, on_test


def test_the_winners_own_score_falls_to_their_own_test_score_at_worst() -> None:
    found = on_test(0.5029, EXPR.name)
    assert found is not None
    assert found.low == pytest.approx(0.36)
    assert found.median == pytest.approx(0.5029 * np.median([0.391 / 0.5368, 0.386 / 0.474, 0.36 / 0.5029, 0.9, 0.286 / 0.3035]))
    assert found.low < found.median < found.high < 0.5029
    assert found.pairs == 5


@pytest.mark.parametrize("challenge", [EXPR, VA, AU])
def test_every_pair_is_a_fall_with_a_source(challenge: Challenge) -> None:
    pairs = [pair for pair in PAIRS if pair.challenge == challenge.name]
    assert len(pairs) >= 2
    for pair in pairs:
        assert 0 < pair.test < pair.validation < 1
        assert pair.source


@pytest.mark.parametrize("challenge", [MTL, CE])
def test_where_nothing_was_published_nothing_is_said(challenge: Challenge) -> None:
    assert on_test(0.5, challenge.name) is None
