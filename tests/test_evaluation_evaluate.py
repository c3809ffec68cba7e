"""The evaluation of a split: what is counted, what a class hangs on, calibration and label shifts, against independent counts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from harness.challenge import EXPR, MACRO_F1_AND_ACCURACY, UNIT_F1
from harness.errors import DataError
from harness.evaluation.calibration import BINS, calibration, reliability
from harness.evaluation.describe import describe
from harness.evaluation.evaluate import evaluate
from harness.evaluation.predictions import ScoredTrack
from harness.evaluation.shifts import score_shifts
from harness.evaluation.stored import as_stored
from harness.kinds.parts import parts_of

NAMES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")


def track(name: str, labels: list[int], classes: list[int], has_face: list[bool] | None = None) -> ScoredTrack:
    recording = name.removesuffix("_left").removesuffix("_right")
    faces = np.ones(len(labels), bool) if has_face is None else np.array(has_face)
    return ScoredTrack(name, recording, np.array(labels, np.int8), np.array(classes, np.int8), faces)


def random_tracks(count: int = 6, rows: int = 200, seed: int = 0) -> list[ScoredTrack]:
    generator = np.random.default_rng(seed)
    tracks = []
    for k in range(count):
        labels = np.repeat(generator.integers(-1, 8, rows // 20), 20)
        classes = np.where(generator.random(rows) < 0.5, np.maximum(labels, 0), generator.integers(0, 8, rows))
        probabilities = generator.dirichlet(np.ones(8), rows)
        tracks.append(
            ScoredTrack(
                f"video{k}",
                f"video{k}",
                labels.astype(np.int8),
                classes.astype(np.int8),
                generator.random(rows) < 0.9,
            ).decoded(classes.astype(np.int8), probabilities, parts_of(EXPR))
        )
    return tracks


def pooled(tracks: list[ScoredTrack], with_face: bool) -> tuple[NDArray, NDArray]:
    kept = [(one.labels >= 0) & (one.has_face if with_face else True) for one in tracks]
    labels = np.concatenate([one.labels[keep] for one, keep in zip(tracks, kept, strict=True)])
    return labels, np.concatenate([one.answers[keep] for one, keep in zip(tracks, kept, strict=True)])


def test_how_often_such_intervals_hold_the_truth_is_said_with_them() -> None:
    # Of 20 recordings 88 of 100 intervals did in the simulation, of a class that sits in one of them 60 of 100.
    lines = describe(evaluate(random_tracks(20), EXPR))
    place = lines.index(
        "[ ]: 95 % interval over 20 recordings; it covered the true value in 88 of 100 simulated sets whose classes sit in as "
        "few recordings as the official ones;"
    )
    assert lines[place + 1] == "the bracket of a class that one recording carries in as few as 60"
    (few,) = [line for line in describe(evaluate(random_tracks(19), EXPR)) if line.startswith("[ ]")]
    assert few == "[ ]: 95 % interval over 19 recordings; its coverage is unknown for so few"


def test_the_score_of_the_classes_with_enough_labels_says_how_many_these_are() -> None:
    tracks = random_tracks(20)
    for one in tracks:
        one.labels[one.labels >= 6] = -1
    result = evaluate(tracks, EXPR)
    assert result.supported == NAMES[:6]
    assert any(line.startswith("macro-F1 of the 6 supported classes  ") for line in describe(result))


def test_both_frame_sets_agree_with_scikit_learn() -> None:
    tracks = random_tracks()
    result = evaluate(tracks, EXPR)
    assert result.with_face is not None
    for frames, with_face in ((result.all_labelled, False), (result.with_face, True)):
        labels, classes = pooled(tracks, with_face)
        f1 = metrics.f1_score(labels, classes, labels=range(8), average=None, zero_division=0)
        assert frames.frames == len(labels)
        assert frames.usual_score.value == pytest.approx(f1.mean())
        assert frames.measures["accuracy"].value == pytest.approx(metrics.accuracy_score(labels, classes))
        assert [frames.measures[f"f1_{name}"].value for name in NAMES] == pytest.approx(f1.tolist())
    assert result.with_face.frames < result.all_labelled.frames


def test_left_and_right_of_one_recording_count_as_one() -> None:
    result = evaluate([track("video2_left", [0, 1], [0, 0]), track("video2_right", [1, 1], [1, 1])], EXPR)
    assert result.recordings == 1
    assert result.all_labelled.columns[1].recordings == 1
    assert result.all_labelled.usual_score.low is None


def test_a_class_hangs_on_the_recording_that_carries_it() -> None:
    tracks = [track(f"video{k}", [0] * 10 + [2], [0] * 10 + [0]) for k in range(5)]
    tracks.append(track("video9", [2] * 45, [2] * 45))
    disgust = evaluate(tracks, EXPR).all_labelled.columns[2]
    assert (disgust.hangs_on, disgust.recordings, disgust.frames) == ("video9", 6, 50)
    assert disgust.largest_share == pytest.approx(0.9)
    assert disgust.without == 0.0


def test_the_most_influential_recording_is_the_one_without_which_the_score_changes_most() -> None:
    tracks = random_tracks(8)
    result = evaluate(tracks, EXPR)
    without = {}
    for one in tracks:
        others = [other for other in tracks if other is not one]
        without[one.name] = metrics.f1_score(*pooled(others, False), labels=range(8), average="macro", zero_division=0)
    all_of_them = result.all_labelled.usual_score.value
    first = max(without, key=lambda name: abs(without[name] - all_of_them))
    assert result.influences["score"][0].recording == first
    assert result.influences["score"][0].without == pytest.approx(without[first])
    (labelled,) = [int((one.labels >= 0).sum()) for one in tracks if one.name == first]
    stored = as_stored(result, None, None)["influences"][0]
    assert stored == {"recording": first, "frames": labelled, "macro_f1_without": pytest.approx(without[first])}


def test_of_each_class_the_recordings_that_have_it_are_counted() -> None:
    tracks = [track("a_left", [0, 4], [0, 0]), track("a_right", [4, 4], [0, 0]), track("b", [0, 0], [4, 0])]
    columns = evaluate(tracks, EXPR).all_labelled.columns
    assert [column.recordings for column in columns] == [2, 0, 0, 0, 1, 0, 0, 0]
    assert [column.frames for column in columns] == [3, 0, 0, 0, 3, 0, 0, 0]


def test_classes_with_a_handful_of_frames_are_left_out_of_the_second_score() -> None:
    tracks = [track("video1", [0] * 20 + [4] * 20 + [2] * 2, [0] * 20 + [4] * 10 + [0] * 12)]
    result = evaluate(tracks, EXPR)
    assert result.supported == ("Neutral", "Happiness")
    f1 = metrics.f1_score(*pooled(tracks, False), labels=range(8), average=None, zero_division=0)
    assert result.all_labelled.supported_score.value == pytest.approx(f1[[0, 4]].mean())


def test_the_best_constant_is_named_with_its_score() -> None:
    tracks = [track("video1", [7] * 6 + [0] * 4, [0] * 10)]
    result = evaluate(tracks, EXPR)
    assert NAMES[int(result.constant[0])] == "Other"
    assert result.constant_score == pytest.approx(2 * 6 / 16 / 8)


def test_a_track_without_labels_is_listed_but_scores_nothing() -> None:
    result = evaluate([track("video1", [0, 1], [0, 1]), track("video2", [-1, -1], [3, 3])], EXPR)
    assert result.recordings == 1
    assert (result.tracks[1].labelled, result.tracks[1].measures, result.tracks[1].most_answered) == (
        0,
        {},
        {"expression": "Fear"},
    )


def test_a_split_without_labels_cannot_be_scored() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        evaluate([track("video1", [-1], [0])], EXPR)


def test_labels_without_any_image_have_no_second_frame_set() -> None:
    assert evaluate([track("video1", [0, 1], [0, 1], [False, False])], EXPR).with_face is None


def test_all_of_it_can_be_stored_as_json() -> None:
    value = as_stored(evaluate(random_tracks(3), EXPR), None, None)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value["shifts"]["scores"]["0"] == pytest.approx(value["all_labelled"]["macro_f1"]["value"])


def test_the_score_of_the_first_two_editions_is_a_sum_of_f1_and_accuracy() -> None:
    labels, classes = pooled(random_tracks(), False)
    f1 = metrics.f1_score(labels, classes, labels=range(8), average="macro", zero_division=0)
    expected = 0.67 * f1 + 0.33 * metrics.accuracy_score(labels, classes)
    frames = evaluate(random_tracks(), EXPR, MACRO_F1_AND_ACCURACY).all_labelled
    assert frames.score.value == pytest.approx(expected)
    assert frames.usual_score.value == pytest.approx(f1)


def test_a_score_of_action_units_is_refused() -> None:
    with pytest.raises(ValueError, match="unit_f1"):
        evaluate(random_tracks(1), EXPR, UNIT_F1)


def moving_labels(rows: int = 400, seed: int = 0) -> NDArray[np.int8]:
    generator = np.random.default_rng(seed)
    return np.repeat(generator.integers(0, 8, rows // 5), 5).astype(np.int8)


@pytest.mark.parametrize("shift", [-2, 0, 1, 3])
def test_predictions_that_are_frames_late_fit_best_at_that_shift(shift: int) -> None:
    tracks = [
        track(f"video{k}", labels.tolist(), np.roll(labels, shift).tolist())
        for k in range(8)
        for labels in (moving_labels(seed=k),)
    ]
    result = score_shifts(tracks, EXPR)
    assert result.best == shift
    assert result.suspicious == (shift != 0)


def test_a_shift_that_helps_by_chance_is_not_suspicious() -> None:
    generator = np.random.default_rng(1)
    tracks = [track(f"video{k}", moving_labels(seed=k).tolist(), generator.integers(0, 8, 400).tolist()) for k in range(8)]
    assert not score_shifts(tracks, EXPR).suspicious


def test_the_calibration_error_agrees_with_a_slow_loop() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.full(8, 0.4), 3000)
    labels = generator.integers(-1, 8, 3000)
    error, counted = 0.0, int((labels >= 0).sum())
    for k in range(BINS):
        top = probabilities.max(axis=1)
        chosen = (labels >= 0) & (top > k / BINS) & (top <= (k + 1) / BINS)
        if chosen.any():
            correct = (probabilities[chosen].argmax(axis=1) == labels[chosen]).mean()
            error += chosen.sum() / counted * abs(correct - top[chosen].mean())
    half = len(labels) // 2
    result = calibration([reliability(probabilities[:half], labels[:half]), reliability(probabilities[half:], labels[half:])])
    assert result.error == pytest.approx(error)
    assert result.frames.sum() == counted


def test_probabilities_that_come_true_are_calibrated() -> None:
    generator = np.random.default_rng(2)
    probabilities = generator.dirichlet(np.full(4, 0.5), 40_000)
    labels = (probabilities.cumsum(axis=1) < generator.random((40_000, 1))).sum(axis=1)
    assert calibration([reliability(probabilities, labels)]).error < 0.02
    assert calibration([reliability(probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True), labels)]).error > 0.08


def test_no_frame_at_all_is_no_error() -> None:
    assert calibration([reliability(np.empty((0, 8)), np.empty(0))]).error == 0.0
