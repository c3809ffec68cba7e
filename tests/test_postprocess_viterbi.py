"""Viterbi decoding: against trying every sequence, its shortest stays, and its limits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.postprocess.viterbi import Viterbi, viterbi

RATES = ((0.0, 0.4, 0.1), (0.3, 0.0, 0.2), (0.5, 0.05, 0.0))


def stays(sequence: tuple[int, ...]) -> list[tuple[int, int]]:
    """(class, length) of each stay of a sequence."""
    return [(label, len(list(group))) for label, group in itertools.groupby(sequence)]


def log_probability(sequence: tuple[int, ...], probabilities: NDArray, rate: float, model: Viterbi) -> float:
    """What viterbi maximises, by its definition."""
    total = sum(model.evidence * math.log(probabilities[t, label]) for t, label in enumerate(sequence))
    for before, after in itertools.pairwise(sequence):
        leaving = sum(model.rates[before][other] / rate for other in range(3) if other != before)
        total += math.log(model.rates[before][after] / rate) if before != after else math.log(1 - leaving)
    return total


# At ten frames a second a stay of a frame has a probability of .7 or less, so that each one counts.
FAST = ((0.0, 2.0, 1.0), (1.5, 0.0, 2.0), (3.0, 1.5, 0.0))


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 4), st.floats(0.05, 2.0), st.sampled_from([RATES, FAST]), st.integers(0, 2**32 - 1))
def test_it_finds_the_best_of_all_sequences(
    rows: int, shortest: int, evidence: float, rates: tuple[tuple[float, ...], ...], seed: int
) -> None:
    rate = 10.0
    model = Viterbi(rates, shortest / rate, evidence)
    probabilities = np.random.default_rng(seed).dirichlet(np.full(3, 0.5), rows) + 1e-4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    allowed = [
        sequence
        for sequence in itertools.product(range(3), repeat=rows)
        if all(length >= min(shortest, rows) for _, length in stays(sequence))
    ]
    best = max(log_probability(sequence, probabilities, rate, model) for sequence in allowed)
    found = tuple(viterbi(probabilities, rate, model).tolist())
    assert found in allowed
    assert log_probability(found, probabilities, rate, model) == pytest.approx(best)


def test_a_flicker_within_a_stay_is_taken_for_noise() -> None:
    probabilities = np.full((90, 3), 0.05)
    probabilities[:, 1] = 0.9
    probabilities[40] = [0.9, 0.05, 0.05]
    assert set(viterbi(probabilities, 30.0, Viterbi(RATES)).tolist()) == {1}


def test_where_no_shortest_stay_is_asked_for_a_class_may_last_one_frame() -> None:
    certain = np.eye(3)[[0] * 30 + [2] + [0] * 30]
    assert viterbi(certain, 30.0, Viterbi(FAST, evidence=1.0)).tolist() == certain.argmax(axis=1).tolist()


def test_a_change_that_lasts_is_found_where_it_happens() -> None:
    probabilities = np.where(np.arange(100)[:, None] < 37, [0.9, 0.05, 0.05], [0.05, 0.05, 0.9])
    assert viterbi(probabilities, 30.0, Viterbi(RATES, 0.5, 0.5)).tolist() == [0] * 37 + [2] * 63


def test_a_track_shorter_than_any_stay_is_one_class() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])
    assert viterbi(probabilities, 30.0, Viterbi(RATES, 10.0)).tolist() == [1, 1, 1]


def test_full_evidence_and_frequent_changes_are_nearly_the_largest_probability() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.full(3, 0.1), 200)
    often = tuple(tuple(1000.0 for _ in range(3)) for _ in range(3))
    assert (viterbi(probabilities, 30.0, Viterbi(often, 0.0, 50.0)) == probabilities.argmax(axis=1)).mean() > 0.97


def test_a_bias_moves_the_decision() -> None:
    probabilities = np.tile([0.5, 0.4, 0.1], (30, 1))
    assert set(viterbi(probabilities, 30.0, Viterbi(RATES), [0.0, 0.5, 0.0]).tolist()) == {1}


def test_exact_zeros_and_changes_never_seen_in_training_are_no_infinities() -> None:
    probabilities = np.eye(3)[[0] * 50 + [2] * 50]
    never = ((0.0, 0.0, 0.0),) * 3
    assert viterbi(probabilities, 30.0, Viterbi(never, 0.0, 1.0)).tolist() == [0] * 50 + [2] * 50


def test_however_often_classes_change_a_stay_is_as_probable_as_all_changes_together() -> None:
    always = tuple(tuple(1000.0 for _ in range(3)) for _ in range(3))
    probabilities = np.tile([0.4, 0.3, 0.3], (20, 1))
    assert set(viterbi(probabilities, 10.0, Viterbi(always, 0.0, 1.0)).tolist()) == {0}
