"""`harness crossval --features`: models on stored features, out of fold, and what is said of features that saw the labels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from harness import files
from harness.challenge import VA
from harness.data.folds import Folds, fold_tracks, make_folds, read_folds, write_folds
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.recipes.recipe import Recipe
from harness.runs import checkpoints, scores
from harness.runs.feature_imports import import_features, open_features
from harness.runs.features import FeatureSet
from harness.runs.lineage import learned_from
from harness.runs.store import Run
from harness.studies.learned_features import learned_here
from harness.training.network import build_network
from tests.simulated_features import TINY_TEMPORAL, feature_run
from tests.simulated_runs import labelled_root
from tests.test_cli_road import call, exit_code, fine
from tests.test_training_temporal_challenges import write_noise

CHANGES = [part for key, value in TINY_TEMPORAL.items() for part in ("--set", f"{key}={value}")]
COMMAND = ["crossval", "--recipe", "temporal-tcn", "--features", "f", "--workers", "0", "--run", "cv", *CHANGES]
CV = Run(Path("runs/cv"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with data, folds, a foreign feature set `f` and a whole cross-validation `cv` on it."""
    place = tmp_path_factory.mktemp("crossval")
    here = Path.cwd()
    os.chdir(place)
    try:
        root = labelled_root(place / "data", recordings=8)
        feature_run(root, place)
        write_folds("folds.json", make_folds(fold_tracks(root), 2, seed=0))
        output = fine(*COMMAND, "--data", "data")
    finally:
        os.chdir(here)
    (place / "output.txt").write_text(output)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "place", copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("HARNESS_DATA", "data")
    return tmp_path / "place"


def folds_of(place: Path) -> Folds:
    return read_folds(place / "folds.json", fold_tracks(scan(place / "data")))


def test_each_track_is_scored_by_the_model_that_never_saw_its_recording(place: Path) -> None:
    tracks, folds = fold_tracks(scan("data")), folds_of(place)
    assert list(scores.read_index(CV, "oof").tracks) == [track.name for track in tracks]
    for fold in range(2):
        for split in ("train", "val"):
            fine("predict", f"cv-fold-{fold}", "--split", split)
    for track in tracks:
        own, other = folds.fold_of[track.recording], 1 - folds.fold_of[track.recording]
        stored = scores.read_track(CV, "oof", track.name)
        np.testing.assert_array_equal(stored.frame, track.frames)
        by_own, by_other = (
            scores.read_track(Run(Path(f"runs/cv-fold-{fold}")), track.split, track.name) for fold in (own, other)
        )
        np.testing.assert_array_equal(stored.score, by_own.score)
        assert not np.array_equal(stored.score, by_other.score)


def test_a_fold_is_the_run_that_train_makes(place: Path) -> None:
    settings = ["--features", "f", "--folds", "folds.json", "--fold", "1", "--run", "alone", "--workers", "0", *CHANGES]
    fine("train", "--recipe", "temporal-tcn", *settings)
    alone, fold = (checkpoints.folders(Run(Path(f"runs/{name}")))[-1] for name in ("alone", "cv-fold-1"))
    assert files.sha256(alone / "model.safetensors") == files.sha256(fold / "model.safetensors")


def test_the_test_split_is_the_mean_of_the_fold_models(place: Path) -> None:
    assert "0 errors" in fine("predict", "cv", "--split", "test")
    for track in scan("data").split("test"):
        parts = [scores.read_track(Run(Path(f"runs/cv-fold-{fold}")), "test", track.name).score for fold in range(2)]
        mean = np.mean([softmax(part.astype(np.float64), axis=1) for part in parts], axis=0)
        np.testing.assert_allclose(scores.read_track(CV, "test", track.name).score, mean, atol=1e-6)


def test_what_is_done_is_kept_and_a_lost_fold_is_made_again(place: Path) -> None:
    weights = checkpoints.folders(Run(Path("runs/cv-fold-0")))[-1] / "model.safetensors"
    before, kept = scores.index_digest(CV, "oof"), weights.stat().st_mtime_ns
    shutil.rmtree("runs/cv-fold-1")
    fine(*COMMAND)
    assert scores.index_digest(CV, "oof") == before
    assert weights.stat().st_mtime_ns == kept


def test_scores_out_of_fold_of_foreign_features_are_evaluated_without_a_warning(place: Path) -> None:
    assert "flatter" not in (place / "output.txt").read_text()
    assert CV.manifest["features_learned"] == []
    assert CV.manifest["features"][0]["run"] == "f"
    said = fine("evaluate", "cv", "--split", "oof", "--smooth", "0")
    assert "warning" not in said
    assert "crossval" in fine("runs")


def test_values_are_cross_validated_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = scan(write_drawn_root("data", tracks=(2, 2, 1), rows=16, other_challenges=True), challenge=VA)
    write_noise(root, tmp_path / "f.npz")
    import_features(open_features(tmp_path / "f.npz", 10_000), root, "", fresh=False)
    recordings = sorted({track.recording for track in fold_tracks(root)})
    write_folds("folds.json", Folds(2, None, {name: number % 2 for number, name in enumerate(recordings)}))
    fine(*COMMAND, "--set", "challenge=VA", "--data", "data")
    fine("predict", "cv", "--split", "test", "--data", "data")
    (track,) = root.split("test")
    parts = [scores.read_track(Run(Path(f"runs/cv-fold-{fold}")), "test", track.name).score for fold in range(2)]
    mean = np.mean([np.tanh(part.astype(np.float64)) for part in parts], axis=0)
    np.testing.assert_allclose(scores.read_track(CV, "test", track.name).score, mean, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--weights", "x.pth"], "--weights is about images"),
        (["--extra", "x.csv"], "--extra is about images"),
        (["--recipe", "res18"], "learns from images"),
        (["--set", "heads=3", "--recipe", "temporal-transformer"], "the network cannot be built"),
    ],
)
def test_wrong_turns(place: Path, arguments: list[str], says: str) -> None:
    result = call(*COMMAND, "--run", "wrong", *arguments)
    assert exit_code(result) == 2
    assert says in str(result.exception)
    assert not Path("runs/wrong").exists()


def test_features_that_were_learned_from_the_labels_are_said_to_flatter_and_not_chosen_by(
    trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    fine("features", "a", "--workers", "0", "--batch", "16")
    write_folds("folds.json", make_folds(fold_tracks(scan(drawn_root)), 2, seed=0))
    changes = [*CHANGES, "--set", "iterations=4"]
    said = fine("crossval", "--recipe", "feature-mlp", "--features", "a", "--workers", "0", "--run", "cv", *changes)
    assert "warning: the features of a were learned from labels of these very tracks" in said
    assert learned_from(CV, "oof") == ["a"]
    assert "warning: a learned from these tracks" in fine("evaluate", "cv", "--split", "oof")
    result = call("tune", "cv", "--split", "oof")
    assert exit_code(result) == 2
    assert "a was trained on tracks of oof" in str(result.exception)


def test_features_are_learned_where_labels_reached_the_backbone_and_on_these_tracks(trained: Path, tmp_path: Path) -> None:
    manifest = files.read_json(trained / "runs" / "a" / "run.json")
    stages = len(build_network(Recipe.from_dict(manifest["recipe"], "run.json"), 8).backbone.stages)

    def found(splits: list[str], learned_on: list[str], **recipe: object) -> list[str]:
        changed = {**manifest, "recipe": {**manifest["recipe"], **recipe}, "data": {"splits": learned_on}}
        files.write_json(tmp_path / "a" / "run.json", changed)
        return learned_here([FeatureSet(Run(tmp_path / "a"), "checkpoint", {})], splits)

    assert found(["train", "val"], ["train"]) == ["a"]
    assert found(["val"], ["train"]) == []
    assert found(["train", "val"], []) == []  # extra faces alone
    assert found(["train", "val"], ["train", "val"], freeze_stages=stages - 1) == ["a"]
    assert found(["train", "val"], ["train", "val"], freeze_stages=stages) == []
    assert found(["train", "val"], ["train", "val"], freeze_stages=stages, lora=2) == ["a"]
    assert learned_here([FeatureSet(Run(tmp_path / "a"), None, {})], ["train", "val"]) == []  # from a file
