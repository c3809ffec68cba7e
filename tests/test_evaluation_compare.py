"""Comparing two predictions, or recipes of several seeds: the permutation test against slow loops, and its false alarms."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.power import EQUALLY_GOOD, found
from harness.challenge import EXPR, MACRO_F1
from harness.evaluation.compare import by_recipe, holm, verdict
from harness.evaluation.compare import compare as module_compare
from harness.evaluation.intervals import Interval
from harness.evaluation.predictions import Scored
from harness.kinds.f1 import class_f1, macro_f1
from harness.runs import store
from harness.words import number
from tests.compared import compare, parts_of_classes
from tests.scored_challenges import scored_tracks
from tests.simulated_recordings import Model, Population, concentrated_counts


def two_predictions(recordings: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Confusion matrices (R, 3, 3) of two predictions of the same labels."""
    generator = np.random.default_rng(seed)
    frames = generator.integers(1, 60, (recordings, 3))
    shares = generator.dirichlet(np.ones(3), (2, recordings, 3))
    first, second = (np.stack([generator.multinomial(n, p) for n, p in zip(frames, share, strict=True)]) for share in shares)
    return first, second


def test_the_p_value_agrees_with_trying_every_swap() -> None:
    first, second = two_predictions(8)
    observed = macro_f1(second.sum(axis=0)) - macro_f1(first.sum(axis=0))
    at_least = 0
    for swaps in itertools.product((False, True), repeat=8):
        swapped = np.array(swaps)[:, None, None]
        one, other = np.where(swapped, second, first).sum(axis=0), np.where(swapped, first, second).sum(axis=0)
        at_least += bool(abs(macro_f1(other) - macro_f1(one)) >= abs(observed) - 1e-12)
    result = compare(first, second)
    assert result.p_value == pytest.approx(at_least / 2**8)
    assert result.difference == pytest.approx(float(observed))


def test_many_recordings_are_swapped_at_random_with_about_the_same_p_value() -> None:
    first, second = two_predictions(12, seed=3)
    every_swap = compare(first, second, permutations=2**12).p_value
    some_swaps = compare(first, second, permutations=2**12 - 1).p_value
    assert some_swaps == pytest.approx(every_swap, abs=4 * np.sqrt(0.25 / 2**12))


def test_the_same_seed_gives_the_same_p_value() -> None:
    first, second = two_predictions(30)
    assert compare(first, second, seed=5).p_value == compare(first, second, seed=5).p_value


def test_swapping_the_two_turns_the_sign_only() -> None:
    first, second = two_predictions(9)
    one, other = compare(first, second), compare(second, first)
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert one.interval.low == pytest.approx(-other.interval.high)
    np.testing.assert_allclose(one.column_p_value, other.column_p_value)


def test_a_prediction_is_not_better_than_itself() -> None:
    first, _ = two_predictions(20)
    result = compare(first, first)
    assert (result.difference, result.p_value, result.differing) == (0.0, 1.0, 0)


def test_a_gain_on_five_recordings_cannot_be_significant_beyond_one_in_sixteen() -> None:
    perfect = np.stack([np.eye(3, dtype=np.int64) * 20] * 5)
    wrong = np.roll(perfect, 1, axis=2)
    assert compare(wrong, perfect).p_value == pytest.approx(2 / 2**5)


def test_recordings_that_agree_do_not_count() -> None:
    first, second = two_predictions(6)
    same, _ = two_predictions(3, seed=9)
    longer = compare(np.concatenate([first, same]), np.concatenate([second, same]))
    assert (longer.recordings, longer.differing) == (9, 6)
    assert longer.p_value == pytest.approx(round(longer.p_value * 2**6) / 2**6)


def test_the_differences_of_classes_are_differences_of_their_f1() -> None:
    first, second = two_predictions(10)
    expected = class_f1(second.sum(axis=0)) - class_f1(first.sum(axis=0))
    np.testing.assert_allclose(compare(first, second).column_difference, expected)


def test_predictions_of_other_labels_are_refused() -> None:
    first, second = two_predictions(4)
    with pytest.raises(ValueError, match="same labels"):
        compare(first, second + 1)
    with pytest.raises(ValueError, match="4 recordings against 3"):
        compare(first, second[:3])


def several_seeds(recordings: int, seeds: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Confusion matrices (R, S, 3, 3) and (R, T, 3, 3) of the seeds of two recipes on the same labels."""
    generator = np.random.default_rng(1)
    frames = generator.integers(5, 60, (recordings, 3))
    made = []
    for count, sharp in zip(seeds, (0.5, 2.0), strict=True):
        shares = generator.dirichlet(np.ones(3), (recordings, count, 3)) + sharp * np.eye(3)
        shares /= shares.sum(axis=-1, keepdims=True)
        made.append(np.stack([[generator.multinomial(n, p) for p in own] for n, own in zip(frames, shares, strict=True)]))
    return made[0], made[1]


@pytest.mark.parametrize("seeds", [(3, 3), (2, 3), (1, 3)])
def test_recipes_are_compared_by_the_mean_of_their_seeds_over_seeds_and_recordings(seeds: tuple[int, int]) -> None:
    first, second = several_seeds(7, seeds)
    flat = [one.reshape(*one.shape[:2], 9) for one in (first, second)]
    result = module_compare(flat[0], flat[1], parts_of_classes(3), MACRO_F1)

    def mean(matrices: NDArray) -> float:
        return float(np.mean([macro_f1(matrices[:, seed].sum(axis=0)) for seed in range(matrices.shape[1])]))

    observed = mean(second) - mean(first)
    assert result.difference == pytest.approx(observed)
    # Seeds go together: each of A with each of B as often as any other, and a recording's are swapped at once.
    pairs = math.lcm(*seeds)
    a, b = (one[:, np.arange(pairs) % one.shape[1]] for one in (first, second))
    at_least = 0
    for swaps in itertools.product((False, True), repeat=7):
        swapped = np.array(swaps)[:, None, None, None]
        at_least += abs(mean(np.where(swapped, a, b)) - mean(np.where(swapped, b, a))) >= abs(observed) - 1e-12
    assert result.p_value == pytest.approx(at_least / 2**7)
    without = np.array([mean(np.delete(second, r, axis=0)) - mean(np.delete(first, r, axis=0)) for r in range(7)])
    deviations = without - without.mean()
    own = 6 / 7 * float((deviations**2).sum())
    scores = [[macro_f1(one[:, seed].sum(axis=0)) for seed in range(one.shape[1])] for one in (first, second)]
    freedom = sum(seeds) - 2
    of_seeds = sum(np.var(one) * len(one) for one in scores) / freedom * sum(1 / len(one) for one in scores)
    rests_on = max(float((deviations**2).sum() ** 2 / (deviations**4).sum()), 1.0)
    degrees = (own + of_seeds) ** 2 / (own**2 / rests_on + of_seeds**2 / freedom)
    half = scipy.stats.t.ppf(0.975, degrees) * np.sqrt(own + of_seeds)
    centre = 7 * observed - 6 * without.mean()
    assert float(result.interval.low) == pytest.approx(centre - half)
    assert float(result.interval.high) == pytest.approx(centre + half)


def test_a_recipe_is_told_by_its_first_seed_and_holds_all_of_them(tmp_path: Path) -> None:
    tracks = scored_tracks(EXPR, count=2)
    scored = []
    for name, seed, batch in (("small-0", 0, 32), ("large", 0, 64), ("small-1", 1, 32)):
        recipe = {"seed": seed, "batch": batch}
        manifest = {"kind": "training", "challenge": "EXPR", "class_names": list(EXPR.class_names), "recipe": recipe, "data": {}}
        run, _ = store.open_or_create(tmp_path / name, {**manifest, "seed": seed})
        scored.append(Scored(name, EXPR, tracks, run=run, settings={"seconds": float(seed)}, notes=(f"of {name}",)))
    small, large = by_recipe(scored)
    assert (small.name, large) == ("small (2 seeds)", scored[1])
    assert small.seeds == {"small-0": scored[0], "small-1": scored[2]}
    assert (small.run, small.settings) == (scored[0].run, {"seconds": 0.0})
    assert small.notes == ("of small-0", "of small-1", "small (2 seeds): each is post-processed in its own way")


def test_a_seed_twice_over_is_what_it_is_once() -> None:
    first, second = (one.reshape(9, 9) for one in two_predictions(9))
    once = module_compare(first, second, parts_of_classes(3), MACRO_F1)
    doubled = [np.stack([one, one], axis=1) for one in (first, second)]
    twice = module_compare(doubled[0], doubled[1], parts_of_classes(3), MACRO_F1)
    assert twice.p_value == once.p_value
    assert twice.weighted_p_value == once.weighted_p_value
    assert float(twice.interval.low) == pytest.approx(float(once.interval.low))
    assert (twice.differing, twice.smallest_p_value) == (once.differing, once.smallest_p_value)


def test_holm_by_hand() -> None:
    # The smallest counts three times, the next twice, the largest once, and none falls below a smaller one's.
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_makes_a_p_value_smaller_nor_changes_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert (corrected >= np.array(p_values) - 1e-15).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()
    assert corrected[np.argmin(p_values)] == pytest.approx(min(1.0, len(p_values) * min(p_values)))


def ends(low: float, high: float) -> Interval:
    return Interval(np.array(low), np.array(high))


@pytest.mark.parametrize(
    ("difference", "interval", "p_value", "expected"),
    [
        (0.03, (0.01, 0.05), 0.01, "B is better than A"),
        (-0.03, (-0.05, -0.01), 0.01, "B is worse than A"),
        (0.03, (0.01, 0.05), 0.05, "B is better than A"),
        (0.03, (-0.01, 0.05), 0.2, "no evidence that B is better than A"),
        (-0.03, (-0.05, 0.01), 0.2, "no evidence that B is worse than A"),
        (0.03, (0.01, 0.05), 0.062, "no evidence that B is better than A, though the interval of the difference excludes 0"),
        (
            0.03,
            (-0.01, 0.05),
            0.001,
            "no clear evidence that B is better than A: the test says so, but the interval of the difference includes 0",
        ),
        (
            0.03,
            (np.nan, np.nan),
            0.001,
            "no clear evidence that B is better than A: the test says so, but the interval of the difference includes 0",
        ),
        (0.0, (-0.01, 0.01), 1.0, "no evidence that B is better than A"),
    ],
)
def test_the_verdict_is_one_of_test_and_interval(
    difference: float, interval: tuple[float, float], p_value: float, expected: str
) -> None:
    comparison = replace(compare(*two_predictions(12)), supported_difference=difference, supported_interval=ends(*interval))
    assert verdict("B", "A", comparison, p_value) == expected


@pytest.mark.parametrize(
    ("recordings", "comparisons", "smallest"), [(5, 1, 0.0625), (6, 1, None), (6, 2, 0.0625), (8, 6, None), (3, 6, 1.0)]
)
def test_no_verdict_is_drawn_where_the_smallest_possible_p_is_too_large(
    recordings: int, comparisons: int, smallest: float | None
) -> None:
    perfect = np.stack([np.eye(3, dtype=np.int64) * (20 + k) for k in range(recordings)])
    wrong = np.roll(perfect, 1, axis=2)
    comparison = compare(wrong, perfect)
    assert comparison.smallest_p_value == comparison.supported_p_value == 2 / 2**recordings
    words = verdict("B", "A", comparison, comparison.smallest_p_value * comparisons, comparisons)
    assert words.startswith("no verdict is possible") == (smallest is not None)
    assert smallest is None or f"cannot be below {number(smallest)}" in words
    assert verdict("B", "A", compare(perfect, perfect), 1.0) == "B and A do not differ in any recording"


def test_the_smallest_p_of_random_swaps_is_that_of_none_at_all() -> None:
    generator = np.random.default_rng(0)
    perfect = np.stack([np.eye(3, dtype=np.int64) * n for n in generator.integers(10, 40, 40)])
    comparison = compare(np.roll(perfect, 1, axis=2), perfect, permutations=500)
    assert comparison.supported_p_value == comparison.smallest_p_value == 1 / 500


def test_every_recording_is_swapped_in_half_of_the_random_swaps() -> None:
    """Of 30 recordings that differ alike 20 speak for B: coins tossed for each give what the binomial distribution says."""
    right = np.stack([np.eye(3, dtype=np.int64) * 20] * 30)
    wrong = right - np.eye(3, dtype=np.int64) + np.roll(np.eye(3, dtype=np.int64), 1, axis=1)
    for_b = (np.arange(30) < 20)[:, None, None]
    result = compare(np.where(for_b, wrong, right), np.where(for_b, right, wrong), permutations=20_000)
    share = 2 * sum(math.comb(30, k) for k in range(20, 31)) / 2**30
    assert result.p_value == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20_000))


def test_the_p_values_of_classes_are_corrected_for_their_number() -> None:
    first, second = two_predictions(8)
    p_values = []
    observed = class_f1(second.sum(axis=0)) - class_f1(first.sum(axis=0))
    for c in range(3):
        at_least = 0
        for swaps in itertools.product((False, True), repeat=8):
            swapped = np.array(swaps)[:, None, None]
            one, other = np.where(swapped, second, first).sum(axis=0), np.where(swapped, first, second).sum(axis=0)
            at_least += abs((class_f1(other) - class_f1(one))[c]) >= abs(observed[c]) - 1e-12
        p_values.append(at_least / 2**8)
    uncorrected = np.array(p_values)
    by_hand = np.empty(3)
    order, largest = np.argsort(uncorrected), 0.0
    for rank, c in enumerate(order):
        largest = max(largest, min(1.0, (3 - rank) * uncorrected[c]))
        by_hand[c] = largest
    assert (by_hand != uncorrected).any()
    np.testing.assert_allclose(compare(first, second).column_p_value, by_hand)


def test_unsupported_classes_are_left_out_of_the_verdict_and_have_no_p_value() -> None:
    first, second = two_predictions(12, seed=4)
    for counts in (first, second):
        counts[2:, 2] = 0
    result = compare(first, second)
    assert result.supported.tolist() == [True, True, False]
    assert np.isnan(result.column_p_value).tolist() == [False, False, True]
    f1 = [class_f1(counts.sum(axis=0)) for counts in (first, second)]
    assert result.supported_difference == pytest.approx(float((f1[1] - f1[0])[:2].mean()))
    assert result.difference == pytest.approx(float((f1[1] - f1[0]).mean()))


def test_the_weighted_test_counts_a_recording_by_the_root_of_its_frames() -> None:
    first, second = two_predictions(8, seed=6)
    first[0], second[0] = 400 * first[0], 400 * second[0]
    roots = np.sqrt(first.sum(axis=(1, 2)))[:, None, None]
    one, other = first / roots, second / roots
    observed, at_least = macro_f1(other.sum(axis=0)) - macro_f1(one.sum(axis=0)), 0
    for swaps in itertools.product((False, True), repeat=8):
        swapped = np.array(swaps)[:, None, None]
        pair = np.where(swapped, other, one).sum(axis=0), np.where(swapped, one, other).sum(axis=0)
        at_least += bool(abs(macro_f1(pair[1]) - macro_f1(pair[0])) >= abs(observed) - 1e-12)
    result = compare(first, second)
    assert result.weighted_difference == pytest.approx(float(observed))
    assert result.weighted_p_value == pytest.approx(at_least / 2**8)
    assert result.weighted_p_value != result.p_value


def equally_good(population: Population, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What two equally good models say of 70 recordings with the official concentration of classes."""
    drawn = population.counts[generator.integers(0, len(population.counts), 70)]
    usual = population.model.usual_logits(population.counts.sum(axis=0))
    first, second = (population.model.confusions(drawn, usual, generator) for _ in range(2))
    return first, second


def false_alarms(simulations: int, permutations: int) -> float:
    generator = np.random.default_rng(20)
    population = Population(concentrated_counts(), Model())
    alarms = [
        compare(*equally_good(population, generator), permutations=permutations).p_value <= 0.05 for _ in range(simulations)
    ]
    return float(np.mean(alarms))


def test_equally_good_models_are_told_apart_about_once_in_twenty_times() -> None:
    assert 0.02 <= false_alarms(400, 400) <= 0.085


@pytest.mark.campaign
@pytest.mark.parametrize("name", sorted(EQUALLY_GOOD))
def test_false_alarms_in_two_thousand_simulations_stay_below_the_promise(name: str) -> None:
    by_frames, by_roots, claims = found(EQUALLY_GOOD[name](), 70, 2000, 400)
    print(f"{name}: {100 * by_frames:.1f} % of pooled frames, {100 * by_roots:.1f} % of roots, {100 * claims:.1f} % of verdicts")
    assert by_frames <= 0.065
    assert by_roots <= 0.066
    assert claims <= 0.065
