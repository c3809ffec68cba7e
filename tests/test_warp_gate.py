"""The gate before pre-training: what a network tells of warped faces, counted by hand and over people."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rows import Rows
from benchmarks.warp_gate import FAMILIES, MAGNITUDES, SIDES, passed, summed, table
from harness.recipes.pretraining import PretrainingRecipe


def test_accuracy_is_of_single_pictures_and_won_of_pairs_that_differ_in_the_warp_alone() -> None:
    # Told: both pictures; the warped one alone; the plain one alone, and both times the wrong one looks more warped but once.
    plain = np.array([-1.0, 0.5, -2.0, 3.0], np.float32)
    warped = np.array([1.0, 2.0, -3.0, 3.0], np.float32)
    figures = summed(plain, warped, np.array(["a", "a", "b", "c"]))
    assert figures["accuracy"] == pytest.approx((2 + 1 + 1 + 1) / 8)
    assert figures["won"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert (figures["faces"], figures["people"]) == (4, 3)
    low, high = figures["accuracy_interval"]
    assert 0 <= low < figures["accuracy"] < high <= 1


def test_the_gate_is_passed_from_an_accuracy_of_eight_tenths_on_and_the_smallest_pictures_come_first() -> None:
    rows = [
        {"side": side, "magnitude": 0.3, "family": "gaussian", "network": "n", "pictures": 10, "accuracy": accuracy,
         "accuracy_interval": [0.5, 0.9], "won": 0.6}
        for side, accuracy in ((96, 0.9), (48, 0.79), (64, 0.8), (64, 0.85))
    ]  # fmt: skip
    assert [(row["side"], row["accuracy"]) for row in passed(rows)] == [(64, 0.85), (64, 0.8), (96, 0.9)]
    assert table(rows).count("passes") == 3


def test_rows_are_kept_as_they_come_and_found_by_their_values(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add({"side": 48, "won": 0.5})
    again = Rows(tmp_path / "rows.jsonl")
    assert again.find(side=48) == {"side": 48, "won": 0.5}
    assert again.find(side=64) is None


def test_every_cell_of_the_gate_was_run_once() -> None:
    rows = [row for row in Rows(Path(__file__).parent.parent / "docs" / "warp-gate.jsonl").all if row["pictures"] == 102_400]
    cells = [(row["side"], row["magnitude"], row["family"]) for row in rows]
    assert sorted(cells) == sorted(itertools.product(SIDES, MAGNITUDES, FAMILIES))


def test_the_warps_that_nobody_asked_otherwise_for_are_ones_that_passed() -> None:
    rows = passed(Rows(Path(__file__).parent.parent / "docs" / "warp-gate.jsonl").all)
    default = PretrainingRecipe()
    assert (default.warp_magnitude, (default.warp_directions, default.warp_family)) in [
        (row["magnitude"], FAMILIES[row["family"]]) for row in rows
    ]
