"""What happens in the tracks of a made data set."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from harness.demo.performance import LEVELS, Gap, Role, perform


def roles(count: int, gap: Gap = Gap.NONE, rows: int = 120, acts: int = 4) -> list[Role]:
    return [Role(f"t{place}", f"t{place}", "train", place, rows, 7.5, gap, acts) for place in range(count)]


def test_every_class_is_acted_equally_often_in_a_split() -> None:
    labels = np.concatenate([performance.labels for performance in perform(roles(8), seed=3)])
    counts = np.bincount(labels[labels >= 0], minlength=8)
    assert counts.min() > 0.7 * counts.max()


def test_a_frame_is_labelled_only_where_its_expression_is_clear() -> None:
    for performance in perform(roles(6), seed=0):
        labels = performance.labels
        assert (performance.expression[labels > 0] == labels[labels > 0]).all()
        assert performance.intensity[labels > 0].min() >= 0.35
        assert performance.intensity[labels == 0].max(initial=0) == 0
        assert 0.1 < (labels == -1).mean() < 0.4


def test_an_act_comes_stays_and_goes_without_a_jump() -> None:
    for performance in perform(roles(4, rows=200), seed=1):
        steps = np.abs(np.diff(performance.intensity))
        assert steps.max() <= 0.5
        assert performance.intensity.max() <= 1
        assert (performance.intensity * LEVELS % 1 == 0).all()
        changes = [k for k, (before, after) in enumerate(pairwise(performance.expression)) if before != after]
        assert all(min(performance.intensity[k], performance.intensity[k + 1]) == 0 for k in changes)


@pytest.mark.parametrize("gap", Gap)
def test_faces_are_missing_exactly_where_the_role_says(gap: Gap) -> None:
    for performance in perform(roles(5, gap), seed=0):
        seen = performance.seen
        missing = np.flatnonzero(~seen)
        if gap is Gap.NONE:
            assert seen.all()
        elif gap is Gap.TOTAL:
            assert not seen.any()
        elif gap is Gap.LEADING:
            assert missing.tolist() == list(range(len(missing)))
            assert 0 < len(missing) < 40
        elif gap is Gap.TRAILING:
            assert missing.tolist() == list(range(120 - len(missing), 120))
            assert 0 < len(missing) < 40
        else:
            assert seen[0]
            assert seen[-1]
            assert len(missing) >= 3


def test_a_performance_is_a_function_of_the_roles_and_the_seed() -> None:
    first, again, other = (perform(roles(2), seed) for seed in (0, 0, 1))
    for name in ("expression", "intensity", "labels", "seen", "shift", "roll", "zoom", "light"):
        np.testing.assert_array_equal(getattr(first[1], name), getattr(again[1], name))
    assert (first[1].shift != other[1].shift).any()
    assert first[0].noise_seed != first[1].noise_seed
