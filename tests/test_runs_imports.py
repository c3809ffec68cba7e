"""Foreign probabilities: rows that sum to 1 but for the digits they were rounded to are taken, made to, and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import DataError
from harness.runs.imports import read_foreign

CLASSES = ["Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"]


def _file(path: Path, values: NDArray[np.floating]) -> Path:
    np.savez(path, track=np.full(len(values), "a"), frame=np.arange(1, len(values) + 1), model=values)
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("digits", [2, 3])
def test_every_row_that_was_rounded_is_taken_and_sums_to_one(tmp_path: Path, digits: int, dtype: type) -> None:
    exact = np.random.default_rng(0).dirichlet(np.full(7, 0.9), 100_000)
    rounded = np.round(exact, digits)
    foreign = read_foreign(_file(tmp_path / "f.npz", rounded.astype(dtype)), CLASSES)
    np.testing.assert_allclose(foreign.arrays["model"].sum(axis=1), 1.0, atol=1e-12)
    off = int((np.abs(rounded.astype(dtype).astype(float).sum(axis=1) - 1) > 0.02 + 1e-9).sum())
    counted = [int(note.split()[0].replace(",", "")) for note in foreign.notes]
    assert counted == ([off] if off else [])
    assert digits == 3 or off > 0


def test_a_row_of_two_decimals_that_sums_to_98_hundredths_is_within_the_rule(tmp_path: Path) -> None:
    row = np.array([[0.28, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]])
    assert abs(float(row.sum()) - 0.98) < 1e-12
    assert read_foreign(_file(tmp_path / "f.npz", row), CLASSES).notes == ()


def test_a_row_further_off_than_its_rounding_explains_is_refused(tmp_path: Path) -> None:
    rows = np.array([[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.34, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]])
    with pytest.raises(DataError, match="row 2 of the array 'model' holds no probabilities"):
        read_foreign(_file(tmp_path / "f.npz", rows), CLASSES)


def test_numbers_that_were_not_rounded_must_sum_to_one_closely(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).dirichlet(np.ones(7), 10) * 0.97
    with pytest.raises(DataError, match="10 such rows"):
        read_foreign(_file(tmp_path / "f.npz", rows), CLASSES)
