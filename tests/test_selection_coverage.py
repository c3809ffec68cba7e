"""How often the 95 % interval holds the truth, and swaps give a false alarm, for mean CCC, mean F1 of units and all tasks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.challenge import format_of
from harness.evaluation.intervals import jackknife, score_interval
from harness.kinds.parts import parts_of
from tests.simulated_sums import DRAWS, MODELS, truth

# What docs/statistics.md prints, in per cent, by recordings.
PRINTED = {"VA": {20: 96.0, 70: 96.2}, "AU": {20: 92.9, 70: 95.3}, "MTL": {20: 86.7, 70: 92.7}}


def coverage(name: str, model: str, recordings: int, times: int) -> float:
    """How often, in per cent, the interval holds the score of the population, in so many seeded data sets."""
    challenge, draw = DRAWS[name]
    parts, score = parts_of(challenge), format_of(name).score
    generator = np.random.default_rng(7)
    true = float(parts.score(truth(draw, MODELS[model], generator, times=30), score))
    held = []
    for _ in range(times // 50):
        (sums,) = draw((recordings, 50), [MODELS[model]], generator)
        interval = score_interval(jackknife(sums, lambda one: parts.score(one, score)), *parts.bounds(score))
        held.append((interval.low <= true) & (true <= interval.high))
    return 100 * float(np.mean(held))


@pytest.mark.parametrize("name", ["VA", "AU"])
def test_the_interval_holds_the_truth_at_seventy_recordings(name: str) -> None:
    assert coverage(name, "middling", 70, 300) >= 92


@pytest.mark.slow
@pytest.mark.parametrize("recordings", [20, 70])
@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("name", sorted(DRAWS))
def test_the_documented_coverage_is_what_the_simulation_gives(name: str, model: str, recordings: int) -> None:
    # Three standard errors of a share of 500 simulations near 95 % are 3 %.
    assert coverage(name, model, recordings, 500) >= PRINTED[name][recordings] - 3.5


def false_alarms(name: str, model: str, times: int, swaps: int = 1000) -> float:
    """How often, in per cent, swaps of recordings call one of two equally good models better at p <= .05, with 70 recordings."""
    challenge, draw = DRAWS[name]
    parts, score = parts_of(challenge), format_of(name).score
    generator = np.random.default_rng(3)

    def difference(pair: NDArray) -> NDArray[np.float64]:
        scores = parts.score(pair, score)
        return np.asarray(scores[..., 1] - scores[..., 0])

    called = 0
    for _ in range(times):
        first, second = (sums[:, 0] for sums in draw((70, 1), [MODELS[model]] * 2, generator))
        swapped = generator.integers(0, 2, (swaps, 70)).astype(float)
        swapped[0] = 0
        moved = swapped @ (second - first)
        pairs = np.stack([first.sum(axis=0) + moved, second.sum(axis=0) - moved], axis=1)
        found = np.abs(difference(pairs))
        called += bool((found >= found[0] - 1e-12).mean() <= 0.05)
    return 100 * called / times


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VA", "AU"])
def test_swaps_give_few_false_alarms(name: str) -> None:
    # Three standard errors of 5 % in 500 are 2.9 %.
    assert false_alarms(name, "middling", 500) <= 8
