"""Confusion matrices and F1, against scikit-learn and the constants of the official validation histogram."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from harness.kinds.confusion import confusion, supported_over_recordings
from harness.kinds.f1 import accuracy, class_scores, macro_f1

CLASSES = 8

# Labelled frames of each class in the official EXPR Validation_Set, editions 3 to 10.
OFFICIAL_VALIDATION_FRAMES = (83176, 6127, 5322, 8473, 34941, 25594, 12338, 108259)

labels = st.lists(st.integers(-1, CLASSES - 1), min_size=1, max_size=80)


@given(labels, st.integers(0, 2**32 - 1), st.integers(1, CLASSES))
def test_scores_agree_with_scikit_learn_over_the_fixed_classes(truth: list[int], seed: int, present: int) -> None:
    predictions = np.random.default_rng(seed).integers(0, present, len(truth))
    counts = confusion(truth, predictions, CLASSES)
    kept = np.array(truth) >= 0
    if not kept.any():
        assert macro_f1(counts) == 0
        return
    pair = np.array(truth)[kept], predictions[kept]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn remarks on classes that are absent
        options = {"labels": range(CLASSES), "zero_division": 0}
        np.testing.assert_array_equal(counts, metrics.confusion_matrix(*pair, labels=range(CLASSES)))
        assert macro_f1(counts) == pytest.approx(metrics.f1_score(*pair, average="macro", **options))
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(*pair, **options)
    scores = class_scores(counts)
    np.testing.assert_allclose(scores.precision, precision)
    np.testing.assert_allclose(scores.recall, recall)
    np.testing.assert_allclose(scores.f1, f1)
    assert accuracy(counts) == pytest.approx(metrics.accuracy_score(*pair))


def test_the_macro_f1_of_a_constant_on_the_official_validation_histogram() -> None:
    truth = np.repeat(np.arange(CLASSES), OFFICIAL_VALIDATION_FRAMES)
    scores = [float(macro_f1(confusion(truth, np.full_like(truth, c), CLASSES))) for c in range(CLASSES)]
    expected = [0.056597, 0.005275, 0.004595, 0.007237, 0.027369, 0.020652, 0.010401, 0.068957]
    assert scores == pytest.approx(expected, abs=5e-7)


def test_an_absent_class_counts_zero() -> None:
    truth = np.repeat(np.arange(4), 5)
    assert macro_f1(confusion(truth, truth, CLASSES)) == pytest.approx(0.5)


def test_frames_without_a_label_are_left_out() -> None:
    assert confusion([-1, 0, -1, 1], [3, 0, 2, 0], 4).sum() == 2


def test_many_matrices_are_scored_at_once() -> None:
    matrices = np.random.default_rng(0).integers(0, 50, (5, 3, CLASSES, CLASSES))
    scores = macro_f1(matrices)
    assert scores.shape == (5, 3)
    assert scores[2, 1] == pytest.approx(float(macro_f1(matrices[2, 1])))


@pytest.mark.parametrize(("truth", "predictions"), [([8], [0]), ([0], [8]), ([0], [-1])])
def test_a_class_that_does_not_exist_is_refused(truth: list[int], predictions: list[int]) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.7"):
        confusion(truth, predictions, CLASSES)


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        confusion([0, 1], [0], CLASSES)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([[4, 5], [3, 4], [3, 0], [0, 9]], [True, True]),
        ([[4, 5], [3, 4], [2, 0], [0, 9]], [False, True]),
        ([[50, 5], [50, 4], [0, 0], [0, 9]], [False, True]),
        ([[50, 3], [50, 2], [0, 0], [0, 1]], [True, False]),
        ([[50, 3], [0, 2], [0, 0], [0, 1]], [True, False]),
        ([[3, 0], [2, 0], [0, 0], [1, 0]], [True, False]),
    ],
)
def test_a_class_is_supported_by_ten_frames_in_three_recordings_or_as_many_as_any_has(
    frames: list[list[int]], expected: list[bool]
) -> None:
    assert supported_over_recordings(np.array(frames)).tolist() == expected
