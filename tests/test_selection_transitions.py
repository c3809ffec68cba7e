"""How classes last and change in training labels, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.tracks import Track
from harness.selection.transitions import transitions_of


def track(labels: list[int], rate: float | None = 10.0) -> Track:
    return Track(
        "video1", "video1", "train", len(labels), "annotation", np.array([], np.int32), np.array(labels, np.int8), Path(), rate
    )


def test_rates_are_changes_by_second_with_a_little_of_everything() -> None:
    # One change from 0 to 1 in 2.0 s of class 0; one pseudo-change is shared by three classes, one second is added.
    found = transitions_of([track([0] * 20 + [1] * 10)], 3)
    assert found is not None
    assert found.rates[0] == pytest.approx((0.0, (1 + 1 / 3) / 3.0, (1 / 3) / 3.0), abs=1e-6)
    assert found.rates[1] == pytest.approx(((1 / 3) / 2.0, 0.0, (1 / 3) / 2.0), abs=1e-6)


def test_a_frame_without_a_label_ends_a_stay_without_a_change() -> None:
    found = transitions_of([track([0] * 10 + [-1] + [1] * 10)], 2)
    assert found is not None
    assert found.rates[0][1] == pytest.approx(0.5 / 2.0)
    assert found.minimum_seconds == 0.0


def test_only_stays_between_two_others_are_measured() -> None:
    found = transitions_of([track([0] * 3 + [1] * 5 + [0] * 7 + [1] * 2)], 2)
    assert found is not None
    assert found.minimum_seconds == pytest.approx(np.quantile([0.5, 0.7], 0.1))


def test_each_recording_counts_with_its_own_frame_rate() -> None:
    found = transitions_of([track([0] * 30, 30.0), track([0] * 10, None)], 2, frame_rate=10.0)
    assert found is not None
    assert found.rates[0][1] == pytest.approx(0.5 / 3.0, abs=1e-6)


def test_a_recording_of_unknown_rate_or_without_labels_takes_none_of_the_others_away() -> None:
    known = track([0] * 20 + [1] * 10)
    assert transitions_of([track([1, 0], None), replace(known, labels=None), known], 2) == transitions_of([known], 2)


def test_without_rates_or_labels_there_are_no_habits() -> None:
    assert transitions_of([track([0, 1], None)], 2) is None
    assert transitions_of([track([-1, -1])], 2) is None
