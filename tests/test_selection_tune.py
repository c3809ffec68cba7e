"""Tuning by nested folds: what is kept, what the choice flatters by, and labels that are never looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.kinds.confusion import confusion
from harness.kinds.f1 import class_f1
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs import scores
from harness.runs.scores import TrackScores
from harness.selection.describe import describe_tuning
from harness.selection.ensemble import Member, ensemble
from harness.selection.nested import Fold, gain, held_out_sums, make_nested_folds
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.tune import tune
from tests.simulated_runs import labelled_root, noisy_run
from tests.yardsticks import macro_f1_of_all

NO_SMOOTHING = PostProcessing(seconds=0.0)
STEPS = ["flip", "temperature", "smoothing", "override", "decoder", "class bias"]


def mean_f1(scorer: Scorer, settings: PostProcessing, stride: int = 1) -> float:
    """Mean F1 of the supported classes."""
    f1 = class_f1(scorer.sums(settings, stride).sum(axis=0).reshape(8, 8))
    return float(f1[np.array(scorer.yardstick.supported)].mean())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    return labelled_root(tmp_path_factory.mktemp("data") / "root", recordings=24)


def test_labels_that_last_under_independent_noise_are_smoothed(root: DataRoot, tmp_path: Path) -> None:
    run = noisy_run(root, tmp_path / "noisy", 3.0)
    tuning = tune(run, ValidationSet("val", root), NO_SMOOTHING)
    assert tuning.outcome.choice.seconds in (0.33, 0.67, 1.0)
    assert tuning.outcome.held_out_gain.value > 0.15
    assert tuning.outcome.held_out_gain.kept
    assert any(line.startswith("all kept settings together: ") for line in describe_tuning(tuning))


def test_nothing_is_kept_where_nothing_can_be_gained(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", recordings=24, seen=1.0)
    tuning = tune(noisy_run(root, tmp_path / "perfect", 0.01), ValidationSet("val", root), NO_SMOOTHING)
    assert tuning.outcome.before == 1.0
    assert tuning.outcome.choice == NO_SMOOTHING
    assert not any(step.kept for step in tuning.outcome.steps)
    assert any(line.startswith("no setting is kept: ") for line in describe_tuning(tuning))


def test_the_score_outside_is_that_of_choices_made_without_the_recording(root: DataRoot, tmp_path: Path) -> None:
    run = noisy_run(root, tmp_path / "noisy", 3.0)
    scorer = Scorer(run, ValidationSet("val", root))
    tuning = tune(run, ValidationSet("val", root, seed=4), NO_SMOOTHING)
    everything = np.ones(len(scorer.validation.recordings), bool)
    folds = make_nested_folds(scorer.validation.tracks, scorer.validation.recordings, everything, 4)
    assert np.sum([fold.held_out for fold in folds], axis=0).tolist() == [1] * len(scorer.validation.recordings)
    for fold in folds:
        assert not (fold.choosing & fold.held_out).any()
        assert (fold.choosing | fold.held_out).all()
    before = mean_f1(scorer, NO_SMOOTHING)
    assert tuning.outcome.before == pytest.approx(before)
    chosen = mean_f1(scorer, tuning.outcome.choice)
    assert tuning.outcome.in_sample_gain == pytest.approx(chosen - before)
    assert tuning.outcome.optimism == pytest.approx(tuning.outcome.in_sample_gain - tuning.outcome.held_out_gain.value)


def test_choosing_among_noise_flatters_and_the_gain_outside_does_not(root: DataRoot, tmp_path: Path) -> None:
    inside, outside = [], []
    for seed in range(4):
        run = noisy_run(root, tmp_path / f"noise{seed}", 200.0, seed=seed)
        tuning = tune(run, ValidationSet("val", root), NO_SMOOTHING)
        inside += [step.in_sample_gain for step in tuning.outcome.steps]
        outside += [step.held_out_gain.value for step in tuning.outcome.steps]
    assert np.mean(inside) > np.mean(outside) + 0.01
    assert abs(np.mean(outside)) < 0.02


def test_classes_with_a_handful_of_frames_are_not_tuned_on(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", recordings=24)
    track = next(track for track in root.split("val") if track.labels is not None)
    assert track.labels is not None
    track.labels[:3] = 2
    tuning = tune(noisy_run(root, tmp_path / "run", 3.0), ValidationSet("val", root), NO_SMOOTHING)
    assert tuning.outcome.classes == ("Neutral", "Anger", "Happiness", "Other")
    assert not tuning.outcome.choice.bias or tuning.outcome.choice.bias[2] == 0.0


def test_labels_of_a_test_split_are_never_asked_for(root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = noisy_run(root, tmp_path / "noisy", 3.0, splits=("val", "test"))
    with pytest.raises(UsageError, match="test split"):
        tune(run, ValidationSet("test", root), NO_SMOOTHING)
    labelled = replace(
        root,
        tracks=tuple(
            replace(track, labels=np.full(track.rows, 99, np.int8)) if track.split == "test" else track for track in root.tracks
        ),
    )
    # Equal in every number: neither have the labels any influence, nor does the clock.
    assert tune(run, ValidationSet("val", labelled), NO_SMOOTHING) == tune(run, ValidationSet("val", root), NO_SMOOTHING)


def test_mirrored_scores_that_help_are_averaged_in(root: DataRoot, tmp_path: Path) -> None:
    run = noisy_run(root, tmp_path / "noisy", 2.0)
    other = noisy_run(root, tmp_path / "other", 2.0, seed=7)
    index = scores.read_index(other, "val")
    mirrored = {name: TrackScores(*_arrays(scores.read_track(other, "val", name))) for name in index.tracks}
    rows = {name: (record.rows, record.rows_from) for name, record in index.tracks.items()}
    scores.write_split(run, "val.flip", mirrored, rows, "logits", {})
    tuning = tune(run, ValidationSet("val", root), NO_SMOOTHING)
    assert tuning.outcome.steps[0].name == "flip"
    assert tuning.outcome.choice.flip


def _arrays(stored: TrackScores) -> tuple[np.ndarray, np.ndarray]:
    return stored.frame, stored.score


def test_unknown_frame_rates_leave_only_what_has_no_time_in_it(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", rate=None, recordings=16)
    run = noisy_run(root, tmp_path / "run", 3.0)
    for rate, steps in ((None, ["temperature", "class bias"]), (30.0, STEPS[1:])):
        tuning = tune(run, ValidationSet("val", root, frame_rate=rate), PostProcessing())
        assert [step.name for step in tuning.outcome.steps] == steps


def test_a_single_recording_cannot_be_tuned_on(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", recordings=2)
    with pytest.raises(DataError, match="single recording"):
        tune(noisy_run(root, tmp_path / "run", 1.0), ValidationSet("val", root), NO_SMOOTHING)


def test_the_scorer_counts_what_the_written_predictions_say(root: DataRoot, tmp_path: Path) -> None:
    run = noisy_run(root, tmp_path / "noisy", 3.0)
    settings = PostProcessing(seconds=0.2, bias=(0.5, 0, 0, 0, 0, 0, 0, -0.5))
    scorer = Scorer(run, ValidationSet("val", root))
    labels = {track.name: track.labels for track in root.split("val")}
    expected = np.sum(
        [confusion(labels[one.track], one.classes, 8) for one in RunPredictions(run, "val", settings, root)],  # type: ignore[arg-type]
        axis=0,
    )
    np.testing.assert_array_equal(scorer.sums(settings).sum(axis=0), expected.reshape(-1))
    frames = scorer.frames(settings)
    assert len(frames.labels) == expected.sum()
    np.testing.assert_array_equal(frames.sums(len(scorer.validation.recordings), settings.bias), scorer.sums(settings))


@pytest.mark.parametrize("stride", [2, 5, 10])
def test_the_cost_of_a_stride_is_that_of_scores_a_slow_loop_thinned(root: DataRoot, tmp_path: Path, stride: int) -> None:
    run = noisy_run(root, tmp_path / "noisy", 1.0)
    scorer = Scorer(run, ValidationSet("val", root))
    total = np.zeros((8, 8), dtype=np.int64)
    for track in scorer.validation.tracks:
        stored = scores.read_track(run, "val", track.name)
        kept = [k for k in range(len(stored.frame)) if k % stride == 0 or k == len(stored.frame) - 1]
        exponentials = np.exp(stored.score[kept].astype(float))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        wanted = np.arange(1, track.rows + 1)
        filled = np.stack([np.interp(wanted, stored.frame[kept], column) for column in probabilities.T], axis=1)
        assert track.labels is not None
        total += confusion(track.labels, filled.argmax(axis=1), 8)
    np.testing.assert_array_equal(scorer.sums(NO_SMOOTHING, stride).sum(axis=0), total.reshape(-1))


def test_tuning_tells_what_strides_cost_under_what_was_chosen(root: DataRoot, tmp_path: Path) -> None:
    run = noisy_run(root, tmp_path / "noisy", 0.2)
    tuning = tune(run, ValidationSet("val", root), NO_SMOOTHING)
    scorer = Scorer(run, ValidationSet("val", root))
    now = mean_f1(scorer, tuning.outcome.choice)
    assert list(tuning.strides) == [2, 3, 5, 10]
    for stride, cost in tuning.strides.items():
        then = mean_f1(scorer, tuning.outcome.choice, stride)
        assert cost == pytest.approx(then - now)
    # Labels last fifteen frames: the wider the stride, the more of them are met late.
    assert 0 > tuning.strides[5] > tuning.strides[10]


def test_scores_left_out_by_a_stride_are_skipped_and_not_missing(root: DataRoot, tmp_path: Path) -> None:
    run = noisy_run(root, tmp_path / "noisy", 1.0)
    strided = {one.track: one.imputed for one in RunPredictions(run, "val", NO_SMOOTHING, root, stride=5)}
    for whole in RunPredictions(run, "val", NO_SMOOTHING, root):
        np.testing.assert_array_equal(strided[whole.track], whole.imputed)


def test_frames_to_fit_are_of_the_recordings_asked_for_and_not_too_many(
    root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(noisy_run(root, tmp_path / "noisy", 3.0), ValidationSet("val", root))
    frames = scorer.frames(NO_SMOOTHING)
    asked = np.arange(len(scorer.validation.recordings)) < 3
    all_of_them = frames.of(asked)
    assert set(all_of_them.recording.tolist()) == {0, 1, 2}
    assert len(all_of_them.labels) == asked[frames.recording].sum()
    monkeypatch.setattr("harness.selection.scorer.FRAMES_TO_FIT", 50)
    few = frames.of(asked)
    assert 40 <= len(few.labels) <= 50
    assert set(few.recording.tolist()) == {0, 1, 2}


def test_each_recording_is_judged_by_the_choice_made_without_it() -> None:
    folds = [
        Fold(np.array([False, True, True]), np.array([True, False, False])),
        Fold(np.array([True, False, False]), np.array([False, True, True])),
    ]
    sums = {"a": np.full((3, 4), 1), "b": np.full((3, 4), 10)}
    assert held_out_sums(folds, ["a", "b"], sums.__getitem__)[:, 0].tolist() == [1, 10, 10]


def test_a_gain_without_any_spread_has_no_interval() -> None:
    sums = np.stack([np.eye(2, dtype=np.int64).reshape(-1)] * 4)
    result = gain(sums, sums, macro_f1_of_all(2))
    assert (result.value, result.low, result.high, result.kept) == (0.0, None, None, False)


@pytest.mark.parametrize(
    ("splits", "asked", "refused"),
    [(["train"], "val", False), (["train", "val"], "val", True), (["train"], "oof", True), ([], "val", False)],
)
def test_nothing_is_chosen_on_what_a_run_or_a_member_of_it_learned_from(
    root: DataRoot, tmp_path: Path, splits: list[str], asked: str, refused: bool
) -> None:
    trained = noisy_run(root, tmp_path / "trained", 0.1, splits=(asked,))
    manifest = {**trained.manifest, "kind": "training", "data": {"splits": splits}}
    trained.manifest_path.write_text(json.dumps(manifest))
    other = noisy_run(root, tmp_path / "other", 3.0, seed=1, splits=(asked,))
    both, _ = ensemble([Member(trained), Member(other)], tmp_path / "both", union=False, fresh=False)
    for run in (trained, both):
        if refused:
            with pytest.raises(UsageError, match="trained was trained on tracks of"):
                Scorer(run, ValidationSet(asked, root))
        else:
            assert Scorer(run, ValidationSet(asked, root)).yardstick.names


def test_out_of_fold_scores_of_a_cross_validation_are_chosen_on(root: DataRoot, tmp_path: Path) -> None:
    fold = noisy_run(root, tmp_path / "cv-fold-0", 1.0, splits=("oof",))
    fold.manifest_path.write_text(json.dumps({**fold.manifest, "kind": "training", "data": {"splits": ["train", "val"]}}))
    whole = noisy_run(root, tmp_path / "cv", 1.0, splits=("oof",))
    whole.manifest_path.write_text(json.dumps({**whole.manifest, "kind": "crossval", "members": ["cv-fold-0"]}))
    assert Scorer(whole, ValidationSet("oof", root)).yardstick.names
    with pytest.raises(UsageError, match="learned from it"):
        Scorer(fold, ValidationSet("oof", root))
