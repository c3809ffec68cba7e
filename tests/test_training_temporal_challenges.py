"""Models on features of every challenge: losses against independent ones, masks, and the road to a validated submission."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_softmax
from sklearn.metrics import log_loss

from harness.challenge import AU, CE, EXPR, MTL, VA, Challenge, challenge_named
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.drawn import write_drawn_root
from harness.errors import DataError, UsageError
from harness.inference.score import in_half
from harness.kinds.parts import parts_of
from harness.recipes.temporal import TemporalRecipe
from harness.runs import scores
from harness.runs.feature_imports import import_features, open_features
from harness.runs.features import TrackFeatures
from harness.runs.store import Run
from harness.training.start_temporal import train_temporal
from harness.training.temporal import FeatureTrack, TemporalObjective
from harness.training.training_data import class_prior, on_splits
from models import temporal
from tests.simulated_features import TINY_TEMPORAL, Held
from tests.test_cli_road import call, exit_code, fine

WIDTH = 6


class Device:
    """The part of an Accelerator that a loss looks at."""

    device = torch.device("cpu")
    num_processes = 1
    process_index = 0

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", enabled=False)

    def reduce(self, totals: torch.Tensor, reduction: str) -> torch.Tensor:
        return totals


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All challenges that have labels, in one root of small tracks."""
    return write_drawn_root(tmp_path_factory.mktemp("challenges") / "data", tracks=(3, 2, 1), rows=16, other_challenges=True)


def root_of(drawn: Path, challenge: Challenge) -> DataRoot:
    """The tracks of a challenge; compound expressions, which nobody labelled, get a team's own labels."""
    if challenge.name != CE.name:
        return scan(drawn, challenge=challenge)
    root = scan(drawn)
    tracks = [track if track.labels is None else replace(track, labels=np.minimum(track.labels, 6)) for track in root.tracks]
    return replace(root, tracks=tuple(tracks), challenge=CE)


def objective_of(drawn: Path, challenge: Challenge, model: str = "mlp", **changes: str) -> TemporalObjective:
    root = root_of(drawn, challenge)
    settings = {**TINY_TEMPORAL, "challenge": challenge.name, "model": model, "rate": "30", "fps": "30", "batch": "4"}
    recipe = TemporalRecipe.load("temporal-transformer", {**settings, **changes})
    generator = np.random.default_rng(0)
    made = []
    for track in root.tracks:
        frames = track.frames[generator.random(len(track.frames)) < 0.8]
        values = generator.standard_normal((len(frames), WIDTH)).astype(np.float32)
        held: Any = Held(values)
        features = TrackFeatures(frames, ((held, np.arange(len(frames))),), (), False, "")
        made.append(FeatureTrack(track, features))
    train, val = ([item for item in made if item.track.split == split] for split in ("train", "val"))
    network = temporal.build(widths=[WIDTH], classes=len(parts_of(challenge).columns), **recipe.network_arguments())
    prior = class_prior(root.split("train"), challenge)
    return TemporalObjective(network, recipe, train, val, prior, challenge)


@pytest.mark.parametrize("challenge", [EXPR, VA, AU, MTL, CE], ids=lambda challenge: str(challenge.name))
@pytest.mark.parametrize("model", temporal.NAMES)
def test_every_model_learns_every_challenge_and_what_is_masked_changes_nothing(
    drawn: Path, model: str, challenge: Challenge
) -> None:
    made = objective_of(drawn, challenge, model)
    optimizer = torch.optim.SGD(made.network.parameters(), lr=0.01)
    for step in (0, 1):
        batch = made.make_batch(step, 0, 1)
        loss = made.loss(made.network, batch, step, Device())
        hidden = ~batch.masks[..., 0]
        assert hidden.any()
        batch.features[hidden] = 1e6
        batch.features.requires_grad_()
        again = made.loss(made.network, batch, step, Device())
        again.backward()  # type: ignore[no-untyped-call]
        assert float(again.detach()) == float(loss.detach())
        assert batch.features.grad is not None
        assert not batch.features.grad[hidden].any()
        assert batch.features.grad[~hidden].any()
        optimizer.step()
        optimizer.zero_grad()
    figures = made.evaluate(made.network, Device(), 0)
    assert made.metric_name in figures
    assert np.isfinite(list(figures.values())).all()


class Answering(torch.nn.Module):
    """A network that gives the same outputs to all windows."""

    def __init__(self, outputs: torch.Tensor) -> None:
        super().__init__()
        self.outputs = torch.nn.Parameter(outputs)

    def forward(self, features: torch.Tensor, masks: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        return self.outputs


def lin(labels: NDArray[np.float64], answers: NDArray[np.float64]) -> float:
    """CCC with population moments, by NumPy's covariance."""
    covariance = np.cov(labels, answers, bias=True)
    return float(2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (labels.mean() - answers.mean()) ** 2))


def test_the_loss_of_all_three_tasks_is_that_of_numpy_and_scikit_learn_on_what_is_labelled(drawn: Path) -> None:
    made = objective_of(drawn, MTL, part_weights="[1, 2, 3, 4]")
    batch = made.make_batch(0, 0, 1)
    generator = torch.Generator().manual_seed(0)
    # As if each field had been labelled by somebody else: every one lacks other frames.
    labelled = batch.labels[..., 0] != -5
    for field, ignored in enumerate(MTL.ignored):
        batch.labels[..., field][labelled & (torch.rand(labelled.shape, generator=generator) < 0.3)] = ignored
    batch.scales = made._scales(batch.labels.numpy().reshape(-1, len(MTL.fields)), 1)
    columns = len(made.parts.columns)
    network = Answering(torch.randn((*labelled.shape, columns), generator=generator))
    found = float(made.loss(network, batch, 0, Device()).detach())

    labels = batch.labels.numpy().reshape(-1, len(MTL.fields))
    outputs = network.outputs.detach().double().numpy().reshape(-1, columns)
    expected = 0.0
    for weight, column in ((1, 0), (2, 1)):
        known = labels[:, column] != -5
        expected += weight * (1 - lin(labels[known, column], np.tanh(outputs[known, column])))
    known = labels[:, 2] != -1
    classes = labels[known, 2].astype(int)
    weights = np.array(made.weights)[classes]
    own = log_softmax(outputs[known, 2:10], axis=1)[np.arange(len(classes)), classes]
    expected += 3 * float(-(weights * own).sum() / weights.sum())
    units = labels[:, 3:]
    total = 0.0
    for unit in range(12):
        known = units[:, unit] != -1
        total += log_loss(units[known, unit], expit(outputs[known, 10 + unit]), labels=[0, 1], normalize=False)
    expected += 4 * total / 12 / int((units != -1).any(axis=1).sum())
    assert found == pytest.approx(expected, rel=1e-5)


def test_rare_classes_count_more_among_the_three_tasks_and_values_have_no_weights(drawn: Path) -> None:
    made = objective_of(drawn, MTL)
    labels = np.concatenate([item.track.labels[item.features.frame - 1] for item in made.training])  # type: ignore[index]
    counts = np.array([(labels[:, 2] == number).sum() for number in range(8)])
    expected = [max(1.0, (0.15 * counts.sum() / count) ** 0.5) if count else 1.0 for count in counts]
    assert made.weights == pytest.approx(expected)
    assert set(objective_of(drawn, MTL, balance="none").weights) == {1.0}
    assert objective_of(drawn, VA).weights == ()


def test_two_processes_together_have_the_loss_of_units_of_one(drawn: Path) -> None:
    made = objective_of(drawn, AU, "tcn")
    one, left, right = (
        float(made.loss(made.network, made.make_batch(3, rank, count), 3, Device()).detach())
        for rank, count in ((0, 1), (0, 2), (1, 2))
    )
    assert one == pytest.approx((left + right) / 2, rel=1e-5)


@pytest.mark.parametrize(("name", "recipe"), [("VA", "va-transformer"), ("AU", "temporal-tcn"), ("MTL", "feature-mlp")])
def test_a_challenge_goes_from_features_to_a_validated_submission(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, recipe: str
) -> None:
    monkeypatch.chdir(tmp_path)
    root = scan(drawn, challenge=challenge_named(name))
    write_noise(root, tmp_path / "f.npz")
    import_features(open_features(tmp_path / "f.npz", 10_000), root, "", fresh=False)
    settings = {**TINY_TEMPORAL, "iterations": "2", "evaluate_every": "2"}
    if not recipe.startswith(name.lower()):
        settings["challenge"] = name
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    data = ("--data", str(drawn))
    fine("train", "--recipe", recipe, "--features", "f", *data, "--run", "t", "--workers", "0", *changes)
    run = Run(tmp_path / "runs" / "t")
    assert run.manifest["challenge"] == name
    assert run.class_names == parts_of(root.challenge).columns
    assert "0 errors, 0 warnings" in fine("predict", "t", "--split", "test", *data)
    for track in root.split("test"):
        stored = scores.read_track(run, "test", track.name)
        assert stored.score.shape == (len(track.frames), len(run.class_names))


def write_noise(root: DataRoot, path: Path) -> None:
    """Writes an npz file with a random vector for every seen frame."""
    frames = np.concatenate([track.frames for track in root.tracks])
    names = np.concatenate([np.full(len(track.frames), track.name) for track in root.tracks])
    values = np.random.default_rng(0).standard_normal((len(frames), WIDTH)).astype(np.float32)
    arrays: dict[str, Any] = {"track": names, "frame": frames, path.stem: values}
    np.savez(path, **arrays)


def test_features_and_a_recipe_of_two_challenges_are_refused(drawn: Path, tmp_path: Path) -> None:
    recipe = TemporalRecipe.load("temporal-tcn", {"challenge": "VA"})
    root = scan(drawn)
    with pytest.raises(UsageError, match="two challenges"):
        train_temporal(recipe, root, ["f"], tmp_path / "t", on_splits(root), fresh=False, workers=0, say=lambda line: None)


def test_compound_expressions_without_labels_end_with_one_clear_message(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_noise(scan(drawn), tmp_path / "f.npz")
    import_features(open_features(tmp_path / "f.npz", 10_000), scan(drawn), "", fresh=False)
    result = call("train", "--recipe", "feature-mlp", "--features", "f", "--data", str(drawn), "--set", "challenge=CE")
    assert exit_code(result) == 2
    assert "nothing of CE" in str(result.exception)


def test_the_features_of_another_challenge_s_tracks_are_stored_apart_in_half_precision_and_made_again_when_they_are_missing(
    drawn: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values learned on the features of a network of expressions: the challenges have other tracks in their splits."""
    shutil.copytree(trained / "runs" / "a", tmp_path / "runs" / "a")
    monkeypatch.chdir(tmp_path)
    data = ("--data", str(drawn), "--workers", "0")
    features = ("features", "a", "--challenge", "VA", "--batch", "16", *data)
    changes = [word for key, value in {**TINY_TEMPORAL, "iterations": "2"}.items() for word in ("--set", f"{key}={value}")]
    train = ("train", "--recipe", "va-transformer", "--features", "a", "--run", "t", *data, *changes)
    refusal = str(call(*train).exception)
    assert "`harness features a --split train --challenge VA`" in refusal
    fine(*features, "--half")
    fine(*features, "--split", "val", "--flip")
    fine(*features, "--split", "val", "--half")
    run, root = Run(tmp_path / "runs" / "a"), scan(drawn, challenge=VA)
    assert sorted(run.splits("features")) == ["test-VA", "train-VA", "val-VA", "val-VA.flip"]
    for track in root.split("val"):
        half = np.load(f"runs/a/features/val-VA/{track.name}.npz")
        whole = np.load(f"runs/a/features/val-VA.flip/{track.name}.npz")
        np.testing.assert_array_equal(half["frame"], track.frames)
        assert (half["feature"].dtype, whole["feature"].dtype) == (np.float16, np.float32)
    fine(*train)
    (track,) = root.split("test")
    Path(f"runs/a/features/test-VA/{track.name}.npz").unlink()
    said = fine("predict", "t", "--split", "test", *data)
    assert "features of a: 1 track made" in said
    assert "0 errors, 0 warnings" in said
    assert np.load(f"runs/a/features/test-VA/{track.name}.npz")["feature"].dtype == np.float16


def test_a_feature_too_large_for_half_precision_is_refused(drawn: Path) -> None:
    track = scan(drawn).split("train")[0]
    values = np.array([[1.0, -65_504.0], [0.1, 2e-5]], np.float32)
    np.testing.assert_array_equal(in_half(track, values), values.astype(np.float16))
    with pytest.raises(DataError, match="too large for half precision") as refusal:
        in_half(track, values * 1.01)
    assert track.name in str(refusal.value)
