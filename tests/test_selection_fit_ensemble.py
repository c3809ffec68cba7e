"""Fitting an ensemble to labels: what a member is worth, what is gained outside the fit, and five real models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import MismatchError, UsageError
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.runs import store
from harness.runs.foreign_columns import ForeignColumns, parse_classes
from harness.runs.imports import import_runs, read_foreign
from harness.runs.store import Run
from harness.selection.describe import describe_fit
from harness.selection.ensemble import Member, ensemble
from harness.selection.fit_ensemble import EnsembleFit, Fitter, fit_ensemble
from harness.selection.scorer import Scorer, ValidationSet
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    return labelled_root(tmp_path_factory.mktemp("data") / "root", recordings=24, rate=None)


@pytest.fixture(scope="module")
def runs(root: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    place = tmp_path_factory.mktemp("runs")
    noises = {"good": 2.0, "fair": 3.0, "useless": 200.0}
    return [noisy_run(root, place / name, noise, seed=seed) for seed, (name, noise) in enumerate(noises.items())]


@pytest.fixture(scope="module")
def fit(runs: list[Run], root: DataRoot) -> EnsembleFit:
    return fit_ensemble(members(runs), ValidationSet("val", root))


def members(runs: list[Run]) -> list[Member]:
    return [Member(run) for run in runs]


def score(run: Run, root: DataRoot, settings: PostProcessing) -> float:
    """Macro-F1 of the four classes the labels have, by scikit-learn."""
    made = {one.track: one.classes for one in RunPredictions(run, "val", settings, root)}
    pairs = [(track.labels, made[track.name]) for track in root.split("val") if track.labels is not None]
    labels, classes = (np.concatenate(part) for part in zip(*pairs, strict=True))
    kept = labels >= 0
    f1 = metrics.f1_score(labels[kept], classes[kept], labels=[0, 1, 4, 7], average="macro", zero_division=0)
    return float(f1)


def test_the_best_member_weighs_most_and_the_useless_one_least(fit: EnsembleFit) -> None:
    assert np.argsort(fit.outcome.choice.weights).tolist() == [2, 1, 0]
    assert np.sum(fit.outcome.choice.weights) == pytest.approx(1.0, abs=1e-5)


def test_weights_gain_over_the_plain_mean_outside_the_fit(fit: EnsembleFit) -> None:
    weights = fit.outcome.steps[0]
    assert (weights.name, weights.kept) == ("weights", True)
    assert weights.held_out_gain.value > 0.1
    assert fit.outcome.held_out_gain.kept
    assert fit.outcome.optimism == pytest.approx(fit.outcome.in_sample_gain - fit.outcome.held_out_gain.value)


def test_a_step_that_does_not_gain_outside_is_left_out(fit: EnsembleFit) -> None:
    for step in fit.outcome.steps:
        assert step.kept == (step.held_out_gain.value > 0 and step.held_out_gain.probability >= 0.8)
    taken = {step.name: step.kept for step in fit.outcome.steps}
    assert (fit.outcome.choice.temperatures != (1.0, 1.0, 1.0)) == taken["temperatures"]
    assert bool(fit.outcome.choice.bias) == taken["bias"]


def test_the_gains_of_the_steps_stand_right_under_their_heading(fit: EnsembleFit) -> None:
    lines = describe_fit(fit)
    heading = next(line for line in lines if "in-sample gain" in line)
    end = heading.index("in-sample gain") + len("in-sample gain")
    gains = [*(step.in_sample_gain for step in fit.outcome.steps), fit.outcome.in_sample_gain]
    below = lines[lines.index(heading) + 1 :][: len(gains)]
    assert [line[end - len("+0.000") : end] for line in below] == [f"{gain:+.3f}" for gain in gains]


def test_without_bias_there_is_none(runs: list[Run], root: DataRoot) -> None:
    unbiased = fit_ensemble(members(runs), ValidationSet("val", root), with_bias=False)
    assert [step.name for step in unbiased.outcome.steps] == ["weights", "temperatures"]
    assert unbiased.outcome.choice.bias == ()


def test_the_ensemble_that_is_written_scores_what_the_fit_says(
    fit: EnsembleFit, runs: list[Run], root: DataRoot, tmp_path: Path
) -> None:
    fitted, _ = ensemble(fit.outcome.choice.members(members(runs)), tmp_path / "fitted", union=False, fresh=False)
    settings = PostProcessing.from_dict(fit.as_dict(ValidationSet("val", root))["postprocessing"])
    assert score(fitted, root, settings) == pytest.approx(fit.outcome.before + fit.outcome.in_sample_gain, abs=2e-3)
    plain, _ = ensemble([Member(run) for run in runs], tmp_path / "plain", union=False, fresh=False)
    assert score(plain, root, PostProcessing()) == pytest.approx(fit.outcome.before, abs=2e-3)
    assert score(runs[0], root, PostProcessing()) == pytest.approx(fit.members["good"], abs=2e-3)


def test_it_begins_with_the_mean_of_the_members_at_their_own_temperatures(
    runs: list[Run], root: DataRoot, tmp_path: Path
) -> None:
    own = [Member(runs[0], temperature=8.0), Member(runs[2], temperature=0.5)]
    validation = ValidationSet("val", root)
    fitter = Fitter([Scorer(member.run, validation) for member in own], own, with_bias=False, base=PostProcessing())
    begun = fitter.yardstick.of_recordings(fitter.sums(fitter.start))
    written, _ = ensemble(own, tmp_path / "own", union=False, fresh=False)
    assert begun == pytest.approx(score(written, root, PostProcessing()), abs=2e-3)
    equal = [replace(member, temperature=1.0) for member in own]
    without, _ = ensemble(equal, tmp_path / "equal", union=False, fresh=False)
    assert abs(begun - score(without, root, PostProcessing())) > 0.01


def test_weights_of_members_that_know_nothing_gain_nothing_outside(root: DataRoot, tmp_path: Path) -> None:
    useless = [noisy_run(root, tmp_path / f"useless{seed}", 1.0, seed=seed, signal=0.0) for seed in range(3)]
    weights = [fit_ensemble(members(useless), ValidationSet("val", root, seed)).outcome.steps[0] for seed in range(3)]
    assert abs(np.mean([step.held_out_gain.value for step in weights])) < 0.02


def test_nothing_is_fitted_to_a_test_split_or_to_one_run(runs: list[Run], root: DataRoot) -> None:
    with pytest.raises(UsageError, match="test split"):
        fit_ensemble(members(runs), ValidationSet("test", root))
    with pytest.raises(UsageError, match="two runs"):
        fit_ensemble(members(runs[:1]), ValidationSet("val", root))


def test_runs_of_other_classes_are_not_mixed(runs: list[Run], root: DataRoot, tmp_path: Path) -> None:
    manifest = {key: value for key, value in runs[0].manifest.items() if key != "format"}
    other, _ = store.open_or_create(tmp_path / "other", {**manifest, "class_names": manifest["class_names"][::-1]})
    with pytest.raises(MismatchError, match="different classes"):
        fit_ensemble(members([runs[0], other]), ValidationSet("val", root))


@pytest.mark.realdata
@pytest.mark.campaign
def test_five_real_models_outside_the_fit(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = scan(real_data / "faces", use_cache=False)
    outside = read_foreign(real_data / "faces" / "outside_models.npz", ForeignColumns(classes=parse_classes("EXPR")))
    runs = [run for run, _ in import_runs(outside, root, "", False)]
    fits = [fit_ensemble(members(runs), ValidationSet("val", root, seed)) for seed in range(10)]
    assert fits[0].outcome.before == pytest.approx(0.475, abs=1e-3)
    assert max(fits[0].members.values()) == pytest.approx(0.514, abs=1e-3)
    with_weights = np.mean([fit.outcome.before + fit.outcome.steps[0].held_out_gain.value for fit in fits])
    with_everything = np.mean([fit.outcome.before + fit.outcome.held_out_gain.value for fit in fits])
    print(f"weights alone {with_weights:.3f}, with bias {with_everything:.3f}")
    assert with_weights >= 0.50
    assert with_everything >= 0.54
