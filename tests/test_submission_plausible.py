"""What is legal and looks wrong: from which numbers on it is said, and in which words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import binom

from harness.challenge import EXPR, VA
from harness.findings import Findings
from harness.submission.plausible import check_plausibility


def said(*tracks: Sequence[int], training: Sequence[int] = ()) -> list[tuple[str, str, str, str]]:
    """Code, file, found and expected of what is said of tracks "0", "1", ... with these labels."""
    values = {str(number): np.array(labels, np.int8)[:, None] for number, labels in enumerate(tracks)}
    findings = Findings()
    check_plausibility(values, {name: f"{name}.txt" for name in values}, "whole.txt", EXPR, training, findings)
    return [(one.kind.code, one.file, one.found, one.expected) for one in findings]


def test_borders_that_one_answer_crosses_are_counted_against_chance_as_scipy_does() -> None:
    generator = np.random.default_rng(3)
    decisions = []
    for held in range(12):
        firsts, lasts = generator.integers(0, 4, 12), generator.integers(0, 4, 12)
        firsts[1 : held + 1] = lasts[:held]
        crossed = sum(int(lasts[k] == firsts[k + 1]) for k in range(11))
        chance = sum((firsts[1:] == c).mean() * (lasts[:-1] == c).mean() for c in range(4))
        probability = binom.sf(crossed - 1, 11, chance)
        expected = [("LABELS_HELD", "whole.txt", f"{crossed} of 11 borders", f"about {11 * chance:.0f} by chance")]
        decisions.append(bool(probability < 1e-4))
        assert said(*([first, 7, last] for first, last in zip(firsts, lasts, strict=True))) == expected * decisions[-1]
    assert set(decisions) == {False, True}


def test_borders_are_counted_from_eight_tracks_on() -> None:
    chain = [[label, label + 1] for label in range(7)]
    assert said(*chain) == []
    assert said(*chain, [7, 0]) == [("LABELS_HELD", "whole.txt", "7 of 7 borders", "about 1 by chance")]


def test_a_track_of_one_label_is_said_from_a_hundred_rows_on() -> None:
    varied = [0, 1] * 100
    assert said([3] * 99, varied) == []
    assert said(varied, [3] * 1000) == [("TRACK_CONSTANT", "1.txt", "Fear in all 1,000 rows of 1", "")]
    assert said([3] * 100, varied)[0][0] == "TRACK_CONSTANT"


def test_a_file_of_one_label_is_said_once_from_a_hundred_rows_on() -> None:
    assert said([4] * 60, [4] * 39) == []
    assert said([4] * 60, [], [4] * 140) == [("FILE_CONSTANT", "whole.txt", "Happiness", "")]
    assert [code for code, *_ in said([4] * 100, [5] * 100)] == ["TRACK_CONSTANT"] * 2
    assert said([], []) == []


def test_a_constant_pair_of_values_is_written_as_numbers() -> None:
    findings = Findings()
    check_plausibility({"a": np.full((200, 2), (0.5, -0.25))}, {"a": "a.txt"}, "whole.txt", VA, [], findings)
    assert [(one.kind.code, one.found) for one in findings] == [("FILE_CONSTANT", "0.5,-0.25")]


@pytest.mark.parametrize(("rows", "training", "is_said"), [
    (10_000, [0, 50, 30, 20, 0, 0, 0, 0], True),
    (9_998, [0, 50, 30, 20, 0, 0, 0, 0], False),
    (10_000, [0] * 8, False),
    (10_000, [1] * 7, False),
    (10_000, [], False),
])  # fmt: skip
def test_shares_are_compared_from_ten_thousand_rows_on_with_labels_of_all_classes(
    rows: int, training: list[int], is_said: bool
) -> None:
    expected = (
        "CLASS_SHARES",
        "whole.txt",
        "Neutral 50 %, Other 50 %, Anger 0 %, ...",
        "Anger 50 %, Disgust 30 %, Fear 20 %, ...",
    )
    assert said([0, 7] * (rows // 4), [7, 0] * (rows // 4), training=training) == [expected] * is_said
