"""Tuning finds what was planted, setting by setting, and looks at nothing of the recordings that judge it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.cli import main
from harness.data.tracks import DataRoot, Track
from harness.errors import EXIT_DONE
from harness.kinds.bias import fit_bias
from harness.postprocess.chain import PostProcessing
from harness.runs import scores
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from harness.selection.nested import Mask, make_nested_folds
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.transitions import Transitions, transitions_of
from harness.selection.tune import Tuner, tune
from tests.simulated_runs import labelled_root, noisy_run

UNSMOOTHED = PostProcessing(seconds=0.0)


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAUSSIAN_SECONDS", "MEDIAN_SECONDS"):
        monkeypatch.setattr(f"harness.selection.part_settings.{name}", ())
    monkeypatch.setattr("harness.selection.part_settings.MEAN_SECONDS", (0.0, 0.33))


def without_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.selection.part_settings.MEAN_SECONDS", ())


def long_stays(root: DataRoot) -> DataRoot:
    """The root with labels that last a second, written over in place."""
    generator = np.random.default_rng(1)
    for track in root.tracks:
        if track.labels is not None:
            track.labels[:] = np.repeat(generator.choice([0, 1, 4, 7], 3), 30)
    return root


def changed(run: Run, root: DataRoot, change: Callable[[Track, NDArray[np.float32]], NDArray[np.float32]]) -> Run:
    """The run with logits (S, C) of each validation track changed."""
    index = scores.read_index(run, "val")
    stored = {}
    for track in root.split("val"):
        found = scores.read_track(run, "val", track.name)
        stored[track.name] = TrackScores(found.frame, change(track, found.score).astype(np.float32))
    rows = {name: (record.rows, record.rows_from) for name, record in index.tracks.items()}
    scores.write_split(run, "val", stored, rows, "logits", {})
    return run


def test_a_class_that_is_said_too_often_is_held_back(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", recordings=16, rate=None)
    run = changed(noisy_run(root, tmp_path / "run", 1.0), root, lambda track, logits: logits + 2.0 * np.eye(8)[0])
    tuning = tune(run, ValidationSet("val", root), UNSMOOTHED)
    bias = np.array(tuning.outcome.choice.bias)
    assert (bias[[1, 4, 7]] - bias[0] > 1.5).all()
    assert bias[[2, 3, 5, 6]].tolist() == [0.0] * 4
    assert tuning.outcome.held_out_gain.value > 0.15


def test_frames_that_are_sure_and_right_are_not_smoothed_away(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", recordings=16, seen=1.0)
    generator = np.random.default_rng(0)
    moments = np.arange(7, 90, 15)
    for track in root.tracks:
        if track.labels is not None:
            track.labels[moments] = generator.choice([0, 1, 4, 7], len(moments))

    def sure_at_moments(track: Track, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        assert track.labels is not None
        logits = 0.5 * logits
        logits[moments] = 5 * np.eye(8)[track.labels[moments]]
        return logits

    run = changed(noisy_run(root, tmp_path / "run", 2.0), root, sure_at_moments)
    tuning = tune(run, ValidationSet("val", root), UNSMOOTHED)
    assert tuning.outcome.choice.smooths
    assert tuning.outcome.choice.confident < 1
    assert next(step for step in tuning.outcome.steps if step.name == "override").held_out_gain.value > 0.03


def test_sequences_are_decoded_where_single_frames_say_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_windows(monkeypatch)
    root = long_stays(labelled_root(tmp_path / "root", recordings=16))
    run = noisy_run(root, tmp_path / "run", 1.5)
    tuning = tune(run, ValidationSet("val", root), UNSMOOTHED)
    assert tuning.outcome.choice.viterbi is not None
    assert tuning.outcome.choice.viterbi.rates == _transitions(root).rates
    assert tuning.outcome.held_out_gain.value > 0.15


def _transitions(root: DataRoot) -> Transitions:
    found = transitions_of(root.split("train"), 8)
    assert found is not None
    return found


def test_how_classes_follow_one_another_is_not_learned_from_the_recordings_that_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_windows(monkeypatch)
    root = long_stays(labelled_root(tmp_path / "root", recordings=16))
    run = noisy_run(root, tmp_path / "run", 1.5, splits=("oof",))
    scorer = Scorer(run, ValidationSet("oof", root))
    everything = np.ones(len(scorer.validation.recordings), bool)
    fold = make_nested_folds(scorer.validation.tracks, scorer.validation.recordings, everything, 0)[0]
    judging = {name for name, inside in zip(scorer.validation.recordings, fold.held_out, strict=True) if inside}
    settings, _ = Tuner(scorer, UNSMOOTHED).choose(fold.choosing)
    others = transitions_of([track for track in root.split("train") if track.recording not in judging], 8)
    assert settings.viterbi is not None
    assert others is not None
    assert settings.viterbi.rates == others.rates
    assert others.rates != _transitions(root).rates
    # Nor do the folds that judge single settings: each has the rates of the recordings it chooses on.
    decoder = next(step for step in Tuner(scorer, UNSMOOTHED).steps(everything) if step.name == "decoder")
    chosen = decoder.choose(UNSMOOTHED, fold.choosing)
    assert chosen.viterbi is not None
    assert chosen.viterbi.rates == others.rates


def test_a_bias_for_single_frames_is_not_taken_where_the_sequence_does_better_without(
    tmp_path: Path,
) -> None:
    root = labelled_root(tmp_path / "root", recordings=12)
    harmful = 0
    for seed in range(6):
        run = noisy_run(root, tmp_path / f"run{seed}", 4.0, seed=seed)
        scorer = Scorer(run, ValidationSet("val", root))
        choose = Tuner(scorer, UNSMOOTHED).steps(np.ones(len(scorer.validation.recordings), bool))[-1].choose
        settings = replace(UNSMOOTHED, viterbi=_transitions(root).model(0.3, shortest=True))
        mask: Mask = np.arange(len(scorer.validation.recordings)) % 3 > 0
        frames = scorer.frames(settings).of(mask)
        fitted = replace(settings, bias=fit_bias(frames.probabilities, frames.labels[:, 0], scorer.yardstick.supported))

        def score(one: PostProcessing, scorer: Scorer = scorer, mask: Mask = mask) -> float:
            return scorer.yardstick.of_recordings(scorer.sums(one)[mask])

        harmful += score(fitted) < score(settings)
        assert score(choose(settings, mask)) >= max(score(settings), score(fitted))
    assert harmful


def test_a_submission_is_made_with_what_was_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=8, rate=None)
    run = noisy_run(root, tmp_path / "runs" / "biased", 1.0, splits=("val", "test"))
    bias = [0.0, 0.0, 50.0, *[0.0] * 5]
    (run.path / "tuned.json").write_text(json.dumps({"postprocessing": {"bias": bias}, "split": "val"}))
    for options, biased in (((), True), (("--untuned",), False)):
        with pytest.raises(SystemExit) as caught:
            main(["predict", "biased", "--from-scores", *options])
        assert (caught.value.code or 0) == EXIT_DONE
        lines = Path("submissions/biased/predictions.txt").read_text().splitlines()[1:]
        assert ({line.rsplit(",", 1)[1] for line in lines} == {"2"}) == biased
