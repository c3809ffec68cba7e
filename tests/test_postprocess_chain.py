"""The order of post-processing, its settings as plain values, and the override of smoothing by sure frames."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.challenge import MTL
from harness.errors import UsageError
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing, answers_of, row_values, seen_values
from harness.postprocess.fill import fill
from harness.postprocess.smooth import smooth
from harness.postprocess.viterbi import Viterbi, viterbi
from tests.yardsticks import classes

PRIOR = [0.25, 0.25, 0.25, 0.25]


FOUR = classes(4)


def test_settings_come_back_from_json_as_they_were() -> None:
    settings = PostProcessing("nearest", 0.5, "median", 1.3, True, 0.8, (0.1, -0.2), Viterbi(((0.0, 0.1), (0.2, 0.0)), 0.3, 0.05))
    assert PostProcessing.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    assert PostProcessing.from_dict({}) == PostProcessing()


@pytest.mark.parametrize(
    "values",
    [{"fill": "cubic"}, {"kernel": "box"}, {"seconds": -1.0}, {"temperature": 0.0}, {"confident": 1.5}, {"window": 3}],
)
def test_settings_that_make_no_sense_are_refused(values: dict) -> None:
    with pytest.raises(UsageError):
        PostProcessing.from_dict(values)


def test_rows_are_filled_and_then_smoothed() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 5)
    frames = [1, 2, 5, 6, 9]
    settings = PostProcessing(seconds=0.1)
    rows, imputed = row_values(frames, probabilities, 10, 30.0, settings, FOUR, PRIOR)
    filled, expected_imputed = fill(frames, probabilities, 10)
    np.testing.assert_array_equal(imputed, expected_imputed)
    np.testing.assert_array_equal(rows, smooth(filled, imputed, 30.0, 0.1))


def test_a_sure_seen_frame_keeps_its_own_probabilities() -> None:
    probabilities = np.full((9, 4), 0.25)
    probabilities[4] = [0.97, 0.01, 0.01, 0.01]
    frames = [1, 2, 3, 4, 5, 6, 7, 8, 12]
    rows, _ = row_values(frames, probabilities, 12, 30.0, PostProcessing(seconds=0.1, confident=0.9), FOUR, PRIOR)
    plain, _ = row_values(frames, probabilities, 12, 30.0, PostProcessing(seconds=0.1), FOUR, PRIOR)
    np.testing.assert_array_equal(rows[4], probabilities[4])
    assert (np.delete(rows, 4, axis=0) == np.delete(plain, 4, axis=0)).all()


def test_with_a_confidence_of_zero_every_seen_frame_keeps_its_own_probabilities() -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.ones(4), 9)
    frames = [1, 2, 3, 4, 5, 6, 7, 8, 12]
    rows, imputed = row_values(frames, probabilities, 12, 30.0, PostProcessing(seconds=0.1, confident=0.0), FOUR, PRIOR)
    np.testing.assert_array_equal(rows[~imputed], probabilities)


def test_an_imputed_row_is_never_sure() -> None:
    sure = [[0.97, 0.01, 0.01, 0.01]]
    rows, imputed = row_values([1], sure, 3, 30.0, PostProcessing(seconds=1.0, confident=0.5), FOUR, PRIOR)
    assert imputed.tolist() == [False, True, True]
    np.testing.assert_allclose(rows, np.tile(sure, (3, 1)))


def test_whole_tracks_are_decoded_only_where_the_frame_rate_is_known() -> None:
    probabilities = np.random.default_rng(1).dirichlet(np.ones(2), 40)
    model = Viterbi(((0.0, 0.1), (0.1, 0.0)))
    settings = PostProcessing(viterbi=model, bias=(0.0, 0.3))
    np.testing.assert_array_equal(
        answers_of(probabilities, settings, 30.0, classes(2)), viterbi(probabilities, 30.0, model, (0.0, 0.3))
    )
    biased = probabilities * np.exp([0.0, 0.3])
    np.testing.assert_array_equal(answers_of(probabilities, settings, None, classes(2)), biased.argmax(axis=1))


def test_stored_probabilities_are_left_alone_and_logits_become_probabilities() -> None:
    stored = np.array([[0.5, 0.25, 0.25]])
    np.testing.assert_array_equal(seen_values(stored, "probabilities", classes(3)), stored)
    np.testing.assert_allclose(seen_values(np.log(stored), "logits", classes(3)), stored)
    np.testing.assert_allclose(
        seen_values(stored, "probabilities", classes(3), 2.0), seen_values(np.log(stored), "logits", classes(3), 2.0)
    )


def test_values_and_units_are_smoothed_though_a_class_of_the_same_frame_is_sure() -> None:
    """The override of smoothing is of classes alone, also where they stand among values and units."""
    parts = parts_of(MTL)
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.uniform(-1, 1, (9, 2)), np.full((9, 8), 0.125), rng.uniform(0, 1, (9, 12))], axis=1)
    values[4, 2:10] = [0.93, *[0.01] * 7]
    settings = PostProcessing(seconds=0.1, confident=0.9)
    rows, imputed = row_values(range(1, 10), values, 9, 30.0, settings, parts, None)
    smoothed = smooth(values, imputed, 30.0, 0.1)
    np.testing.assert_array_equal(rows[4, 2:10], values[4, 2:10])
    np.testing.assert_array_equal(rows[:, :2], smoothed[:, :2])
    np.testing.assert_array_equal(rows[:, 10:], smoothed[:, 10:])


def test_an_adjustment_scales_values_biases_classes_and_sets_thresholds() -> None:
    parts = parts_of(MTL)
    values = np.concatenate([[[0.5, -0.4]], np.full((1, 8), 0.125), np.full((1, 12), 0.4)], axis=1)
    bias = (0.5, 0.1, 2.0, 0.0, *([0.0] * 7), 1.0, *([0.0] * 11), 0.5)
    found = answers_of(values, PostProcessing(bias=bias), 30.0, parts)
    expected = [0.5 * 0.5 + 0.1, -0.8, 7, *([0] * 11), int(0.4 * np.exp(0.5) > 0.6)]
    np.testing.assert_allclose(found, [expected])


def test_an_imputed_row_between_sure_frames_is_smoothed_all_the_same() -> None:
    probabilities = np.array([[0.97, 0.01, 0.01, 0.01]] * 2 + [[0.25] * 4] * 2)
    frames = [1, 3, 4, 5]
    rows, imputed = row_values(frames, probabilities, 5, 30.0, PostProcessing(seconds=0.1, confident=0.9), FOUR, PRIOR)
    plain, _ = row_values(frames, probabilities, 5, 30.0, PostProcessing(seconds=0.1), FOUR, PRIOR)
    assert imputed.tolist() == [False, True, False, False, False]
    np.testing.assert_array_equal(rows[[0, 2]], probabilities[:2])
    np.testing.assert_array_equal(rows[1], plain[1])
    assert plain[1, 0] < 0.9


def test_frame_by_frame_nothing_is_smoothed_nor_decoded_over_time() -> None:
    settings = PostProcessing(seconds=0.5, temperature=1.3, viterbi=Viterbi(((0.0, 0.1), (0.2, 0.0))))
    assert settings.frame_by_frame == PostProcessing(seconds=0.0, temperature=1.3)
    assert not settings.frame_by_frame.in_time


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fill", 1e308),
        ("seconds", "1"),
        ("seconds", [1.0, None]),
        ("kernel", 3),
        ("temperature", {}),
        ("flip", "yes"),
        ("confident", None),
        ("bias", 1e308),
        ("bias", [{}]),
        ("viterbi", [1]),
        ("viterbi", {"rates": 3}),
    ],
)
def test_a_stored_setting_of_another_kind_is_refused_by_its_name(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{key}"):
        PostProcessing.from_dict({key: value})
