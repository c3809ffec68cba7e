"""Tuning, ensembling and choosing for values, units and all three tasks: planted effects are found, others are not kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from harness.challenge import AU, MTL, VA, Challenge, Field
from harness.data.tracks import DataRoot
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing, for_parts
from harness.runs import scores
from harness.runs.store import Run
from harness.selection.best import choose
from harness.selection.candidates import CandidateMaker
from harness.selection.ensemble import Member, ensemble
from harness.selection.expectation import Expectation, store_choice
from harness.selection.fit_ensemble import fit_ensemble
from harness.selection.history import TUNING
from harness.selection.nested import StepResult
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.stored import stored_settings
from harness.selection.tune import Tuning, tune
from tests.simulated_challenges import RATE, Output, drawn_root, run_of, seen

PLAIN = PostProcessing(seconds=0.0)


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("MEAN_SECONDS", (0.0, 0.2, 0.33)), ("GAUSSIAN_SECONDS", (0.33,)), ("MEDIAN_SECONDS", ())):
        monkeypatch.setattr(f"harness.selection.part_settings.{name}", seconds)
    monkeypatch.setattr("harness.selection.tune.STRIDES", ())


def ccc(labels: NDArray, answers: NDArray) -> float:
    """Concordance by its definition."""
    covariance = np.mean((labels - labels.mean()) * (answers - answers.mean()))
    return float(2 * covariance / (labels.var() + answers.var() + (labels.mean() - answers.mean()) ** 2))


def filled(run: Run, root: DataRoot, name: str) -> pd.DataFrame:
    """The outputs of a track's rows (rows, columns), NaN where there is no image."""
    stored = scores.read_track(run, "val", name)
    track = next(track for track in root.split("val") if track.name == name)
    return pd.DataFrame(stored.score.astype(float), index=stored.frame).reindex(range(1, track.rows + 1))


def test_smoothing_of_noisy_values_is_found_and_gains_what_a_slow_loop_says(tmp_path: Path) -> None:
    root = drawn_root(tmp_path, VA)
    run = run_of(root, tmp_path / "run", seen(0.6))
    tuning = tune(run, ValidationSet("val", root), PLAIN)
    seconds = for_parts(tuning.outcome.choice.seconds, 2)
    assert min(seconds) > 0
    kept = {step.name: step.kept for step in tuning.outcome.steps}
    assert kept["smoothing of valence"]
    assert kept["smoothing of arousal"]
    assert tuning.outcome.held_out_gain.value > 0.1

    def mean_ccc(settings: PostProcessing) -> float:
        pairs: list[list[NDArray]] = [[], []]
        for track in root.split("val"):
            assert track.labels is not None
            values = filled(run, root, track.name).apply(np.tanh)
            rows = values.interpolate("index", limit_direction="both")
            for number, width in enumerate(for_parts(settings.seconds, 2)):
                half = int(width * RATE + 1e-9)
                own = rows[number]
                if half:
                    # Windows hold observed rows alone.
                    own = values[number].rolling(2 * half + 1, center=True, min_periods=1).mean()
                known = track.labels[:, number] != -5
                pairs[number].append(np.stack([track.labels[known, number], own.to_numpy()[known]]))
        return float(np.mean([ccc(*np.concatenate(one, axis=1)) for one in pairs]))

    assert tuning.outcome.before == pytest.approx(mean_ccc(PLAIN), abs=1e-6)
    mean_alone = replace(PLAIN, seconds=(0.2, 0.33))
    scorer = Scorer(run, ValidationSet("val", root))
    assert scorer.yardstick.of_recordings(scorer.sums(mean_alone)) == pytest.approx(mean_ccc(mean_alone), abs=1e-6)


def test_thresholds_of_rare_units_that_are_called_too_seldom_are_found(tmp_path: Path) -> None:
    root = drawn_root(tmp_path, AU, recordings=20, active=0.12)

    def shy(field: Field, labels: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        return seen(1.2)(field, labels, generator) - 2.5

    run = run_of(root, tmp_path / "run", shy)
    validation = ValidationSet("val", root, frame_rate=None)
    tuning = tune(run, validation, PLAIN)
    step = next(step for step in tuning.outcome.steps if step.name == "thresholds")
    assert step.kept
    assert step.held_out_gain.value > 0.05
    assert min(tuning.outcome.choice.bias) > 0.5
    scorer, settings = Scorer(run, validation), replace(PLAIN, bias=tuning.outcome.choice.bias)
    labels, called = [], []
    for track in root.split("val"):
        assert track.labels is not None
        probabilities = filled(run, root, track.name).apply(lambda outputs: 1 / (1 + np.exp(-outputs)))
        rows = probabilities.interpolate("index", limit_direction="both").to_numpy()
        known = track.labels[:, 0] >= 0
        labels.append(track.labels[known])
        called.append(rows[known] > 1 / (1 + np.exp(np.array(settings.bias))))
    truth, said = np.concatenate(labels), np.concatenate(called)
    expected = np.mean([f1_score(truth[:, unit], said[:, unit]) for unit in range(12)])
    assert scorer.yardstick.of_recordings(scorer.sums(settings)) == pytest.approx(expected, abs=1e-6)


def steps_of(tuning: Tuning, what: str) -> list[StepResult]:
    return [step for step in tuning.outcome.steps if step.name.startswith(what)]


def test_a_scale_and_shift_that_is_true_of_all_recordings_is_kept_and_one_of_chance_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.selection.part_settings.MEAN_SECONDS", (0.0,))
    monkeypatch.setattr("harness.selection.part_settings.GAUSSIAN_SECONDS", ())
    root = drawn_root(tmp_path, VA, recordings=12)

    def shrunk(field: Field, labels: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        return np.asarray(np.arctanh(0.4 * labels + 0.3 + 0.05 * generator.standard_normal(len(labels))))[:, None]

    tuning = tune(run_of(root, tmp_path / "shrunk", shrunk), ValidationSet("val", root), PLAIN)
    assert [step.kept for step in steps_of(tuning, "scale and shift")] == [True, True]
    scale, shift = tuning.outcome.choice.bias[:2]
    assert scale == pytest.approx(2.5, abs=0.25)
    assert scale * 0.3 + shift == pytest.approx(0.0, abs=0.05)
    assert tuning.outcome.held_out_gain.value > 0.3

    def moody(field: Field, labels: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        moved = np.exp(0.3 * generator.standard_normal()) * labels + 0.3 * generator.standard_normal()
        return np.asarray(np.arctanh(np.clip(moved, -0.95, 0.95)))[:, None]

    inside, outside, kept = [], [], []
    for seed in range(3):
        tuned = tune(run_of(root, tmp_path / f"moody{seed}", moody, seed=seed), ValidationSet("val", root), PLAIN)
        inside += [step.in_sample_gain for step in steps_of(tuned, "scale and shift")]
        outside += [step.held_out_gain.value for step in steps_of(tuned, "scale and shift")]
        kept.append(tuned.outcome.choice != PLAIN)
    assert min(inside) > 0
    assert np.mean(outside) < 0.5 * np.mean(inside)
    assert sum(kept) <= 1


@pytest.fixture(scope="module")
def all_tasks(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataRoot, Run]:
    place = tmp_path_factory.mktemp("mtl")
    root = drawn_root(place, MTL, recordings=10)
    return root, run_of(root, place / "run", seen(2.0, value_noise=0.0))


def test_each_part_of_all_tasks_gets_a_window_of_its_own_which_is_stored_and_read(all_tasks: tuple[DataRoot, Run]) -> None:
    root, run = all_tasks
    validation = ValidationSet("val", root)
    tuning = tune(run, validation, PLAIN)
    valence, arousal, expression, units = for_parts(tuning.outcome.choice.seconds, 4)
    # Values are clean, so that smoothing only loses; classes and units are drowned in noise.
    assert (valence, arousal) == (0.0, 0.0)
    assert min(expression, units) > 0
    tuning.store(run, validation)
    assert stored_settings(run).settings == tuning.outcome.choice
    assert json.loads((run.path / "tuned.json").read_text())["postprocessing"]["seconds"][2] == expression
    assert tuning.outcome.score == "score of all tasks"


def test_a_line_that_is_asked_for_twice_counts_twice(all_tasks: tuple[DataRoot, Run]) -> None:
    root, run = all_tasks
    asked = np.arange(1, 181, 3, dtype=np.int32)
    once = replace(root, tracks=tuple(replace(track, asked=asked) for track in root.tracks))
    twice = replace(root, tracks=tuple(replace(track, asked=np.append(asked, asked)) for track in root.tracks))
    one, two = (Scorer(run, ValidationSet("val", data)) for data in (once, twice))
    np.testing.assert_allclose(two.sums(PLAIN), 2 * one.sums(PLAIN))
    assert len(two.frames(PLAIN).labels) == 2 * len(one.frames(PLAIN).labels)


def test_what_is_fitted_to_are_the_answers_to_the_lines_that_are_asked_for(all_tasks: tuple[DataRoot, Run]) -> None:
    root, run = all_tasks
    whole, *others = root.split("val")
    asked = whole.frames[40::3]
    tracks = (replace(whole, asked=asked), *(replace(one, labels=None) for one in others))
    frames = Scorer(run, ValidationSet("val", replace(root, tracks=tracks))).frames(PLAIN)
    rows = parts_of(MTL).activate(filled(run, root, whole.name).loc[asked].to_numpy())
    assert whole.labels is not None
    labelled = (whole.labels[asked - 1] != MTL.ignored).any(axis=1)
    np.testing.assert_allclose(frames.probabilities, rows[labelled], atol=1e-6)
    np.testing.assert_array_equal(frames.labels, whole.labels[asked - 1][labelled])


@pytest.mark.parametrize("challenge", [VA, AU, MTL])
def test_the_sums_of_cached_frames_are_those_of_written_answers(tmp_path: Path, challenge: Challenge) -> None:
    root = drawn_root(tmp_path, challenge, recordings=4)
    scorer = Scorer(run_of(root, tmp_path / "run", seen(0.5)), ValidationSet("val", root))
    parts = parts_of(challenge)
    bias = tuple(1.1 * number + 0.05 for number in parts.neutral)
    settings = replace(PLAIN, seconds=0.2, bias=bias)
    np.testing.assert_allclose(scorer.frames(settings).sums(4, bias), scorer.sums(settings), rtol=1e-5)
    # A part's sums are its own whatever the settings of the others are.
    first = scorer.sums(replace(settings, seconds=(0.2, *[0.33] * (len(parts.placed) - 1)))) if len(parts.placed) > 1 else None
    if first is not None:
        fresh = Scorer(scorer.run, scorer.validation).sums(replace(settings, seconds=(0.2, *[0.33] * (len(parts.placed) - 1))))
        np.testing.assert_array_equal(first, fresh)


def one_eyed(good: str) -> Output:
    """Outputs that know one of two values and only guess at the other."""

    def output(field: Field, labels: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        return seen(0.2 if field.name == good else 3.0)(field, labels, generator)

    return output


def test_an_ensemble_is_the_mean_of_values_and_its_weights_are_fitted_for_each_part(tmp_path: Path) -> None:
    root = drawn_root(tmp_path, VA)
    runs = [run_of(root, tmp_path / good, one_eyed(good), seed=seed) for seed, good in enumerate(("valence", "arousal"))]
    mean, _ = ensemble([Member(run) for run in runs], tmp_path / "mean", union=False, fresh=False)
    for track in root.split("val"):
        stored = [scores.read_track(run, "val", track.name).score for run in (*runs, mean)]
        np.testing.assert_allclose(stored[2], 0.5 * (np.tanh(stored[0]) + np.tanh(stored[1])), atol=1e-6)
    fit = fit_ensemble([Member(run) for run in runs], ValidationSet("val", root), base=PLAIN)
    first, second = fit.outcome.choice.weights
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert first[0] > 0.75
    assert second[1] > 0.75
    assert np.add(first, second) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert fit.outcome.held_out_gain.value > 0.05
    fitted, _ = ensemble(fit.outcome.choice.members([Member(run) for run in runs]), tmp_path / "fitted", union=False, fresh=False)
    scorer = Scorer(fitted, ValidationSet("val", root))
    written = scorer.yardstick.of_recordings(scorer.sums(fit.settings))
    assert written == pytest.approx(fit.outcome.before + fit.outcome.in_sample_gain, abs=1e-4)
    again, splits = ensemble(fit.outcome.choice.members([Member(run) for run in runs]), tmp_path / "fitted", False, False)
    assert (again.path, splits) == (fitted.path, ["val"])


@pytest.mark.parametrize("challenge", [VA])
def test_what_is_chosen_is_stored_with_all_its_digits_and_ranked_outside(
    challenge: Challenge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = drawn_root(tmp_path / "data", challenge, recordings=8)
    runs = [
        run_of(root, Path("runs") / name, seen(noise), seed, ("val", "test"))
        for seed, (name, noise) in enumerate((("a", 0.6), ("b", 1.5)))
    ]
    maker = CandidateMaker(runs, ValidationSet("val", root))
    made = [maker.single(), maker.single_tuned(), maker._mean(), maker._fitted("fitted", [0, 1])]
    choices = choose(made, maker.yardstick, maker.folds, most=3)
    outside = [choice.expectation.supported_score(choice.expectation.of_itself).value for choice in choices]
    assert outside == sorted(outside, reverse=True)
    known: Expectation = choices[0].expectation
    assert known.score().low is not None
    store_choice(runs[0], TUNING, {"split": "val", "postprocessing": PLAIN.as_dict()}, known, PLAIN)
    content = json.loads((runs[0].path / "expectation.json").read_text())
    number = int if challenge.integral else float
    read = [[number(word) for word in line.split()] for line in content["held_out"]]
    np.testing.assert_array_equal(np.array(read), known.sums)
