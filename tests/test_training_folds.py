"""What a training learns from: splits, folds, both splits together; how the manifest says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.folds import Folds, fold_tracks, make_folds, write_folds
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import DataError, MismatchError, UsageError
from harness.recipes import recipe as recipes
from harness.runs.lineage import learned_from
from harness.runs.store import Run
from harness.training import metrics
from harness.training.session import Training
from harness.training.start import train
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import TrainingData, on_other_folds, on_splits
from tests.data_roots import Made, make_root
from tests.test_cli_road import call, exit_code, fine

TrainTiny = Callable[..., Training]


@pytest.fixture(scope="module")
def root(drawn_root: Path) -> DataRoot:
    return scan(drawn_root)


@pytest.fixture(scope="module")
def folds(root: DataRoot) -> Folds:
    return make_folds(fold_tracks(root), 3, seed=0)


@pytest.fixture
def train_on(root: DataRoot, tmp_path: Path, tiny: dict[str, str]) -> TrainTiny:
    """Trains the tiny recipe for a few steps on the given data."""

    def call(data: TrainingData | None, name: str = "a") -> Training:
        recipe = recipes.load("res18", {**tiny, "iterations": "4", "evaluate_every": "2", "checkpoint_every": "4"})
        return train(
            recipe,
            root,
            tmp_path / name,
            fresh=False,
            workers=0,
            from_scratch=True,
            say=lambda line: None,
            data=data,
        )

    return call


def names(data: TrainingData) -> tuple[set[str], set[str]]:
    return {track.name for track in data.training}, {track.name for track in data.validation}


def test_every_labelled_track_is_validated_in_one_fold_and_trained_on_in_all_others(root: DataRoot, folds: Folds) -> None:
    everything = {track.name for track in root.tracks if track.split in ("train", "val")}
    validated: list[str] = []
    for fold in range(3):
        training, validation = names(on_other_folds(root, folds, fold))
        assert training | validation == everything
        assert not training & validation
        validated += validation
    assert sorted(validated) == sorted(everything)


def test_no_recording_is_on_both_sides_of_a_fold(root: DataRoot, folds: Folds) -> None:
    for fold in range(3):
        data = on_other_folds(root, folds, fold)
        assert not {track.recording for track in data.training} & {track.recording for track in data.validation}


def test_a_file_in_both_official_splits_counts_once_in_their_union(tmp_path: Path) -> None:
    labels = [0, 1, 2]
    root = make_root(tmp_path / "root", [Made("a", "train", labels, [1]), Made("b", "val", labels, [1])])
    in_train = next(root.rglob("Train_Set/a.txt"))
    shutil.copy(in_train, next(root.rglob("Validation_Set")))
    together = on_splits(scan(root), "train+val")
    assert [track.name for track in together.training] == ["a", "b"]
    assert together.validation == ()


def test_a_training_on_both_splits_claims_no_score(train_on: TrainTiny, root: DataRoot) -> None:
    done = train_on(on_splits(root, "train+val"))
    assert done.outcome.metric is None
    assert not any("macro_f1" in line for line in metrics.read(done.run))
    assert done.run.manifest["data"]["splits"] == ["train", "val"]


def test_the_metric_of_a_fold_is_that_of_its_own_tracks(
    train_on: TrainTiny, root: DataRoot, folds: Folds, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    plain = SupervisedObjective.evaluate

    def look(self: SupervisedObjective, *arguments: object) -> dict[str, float]:
        seen.append(({track.name for track in self.training}, {track.name for track in self.validation}))
        return plain(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SupervisedObjective, "evaluate", look)
    train_on(on_other_folds(root, folds, 1))
    data = on_other_folds(root, folds, 1)
    assert seen == [names(data)] * 2


def test_the_prior_counts_the_tracks_that_were_trained_on(train_on: TrainTiny, root: DataRoot, folds: Folds) -> None:
    data = on_other_folds(root, folds, 0)
    prior = train_on(data).run.manifest["prior"]
    labels = [int(label) for track in data.training if track.labels is not None for label in track.labels if label >= 0]
    assert prior == pytest.approx([labels.count(k) / len(labels) for k in range(8)], abs=1e-8)


def test_runs_of_another_fold_other_folds_or_both_splits_differ(train_on: TrainTiny, root: DataRoot, folds: Folds) -> None:
    train_on(on_other_folds(root, folds, 0))
    assert train_on(on_other_folds(root, folds, 0)).was_done
    with pytest.raises(MismatchError, match=r"data\.fold: 0 there, 1 now"):
        train_on(on_other_folds(root, folds, 1))
    others = Folds(3, 0, {name: (fold + 1) % 3 for name, fold in folds.fold_of.items()})
    with pytest.raises(MismatchError, match=r"data\.folds\.sha256"):
        train_on(on_other_folds(root, others, 0))
    with pytest.raises(MismatchError, match=r"data\.splits: \['train', 'val'\] there, \['train'\] now"):
        train_on(None)


def test_the_manifest_names_folds_by_what_is_in_them_not_by_their_file(train_on: TrainTiny, root: DataRoot, folds: Folds) -> None:
    stored = train_on(on_other_folds(root, folds, 2)).run.manifest["data"]
    assert (stored["fold"], stored["folds"]["count"]) == (2, 3)
    assert train_on(on_other_folds(root, replace(folds, seed=7), 2)).was_done


@pytest.fixture
def place(tmp_path: Path, drawn_root: Path, folds: Folds, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    write_folds("folds.json", folds)
    return tmp_path


def test_the_verb_names_runs_after_what_they_were_trained_on(place: Path, tiny: dict[str, str]) -> None:
    changes = [part for key, value in {**tiny, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    common = ["train", "--recipe", "res18", "--from-scratch", "--workers", "0", *changes]
    fine(*common, "--folds", "folds.json", "--fold", "2")
    assert "no validation score" in fine(*common, "--on", "train+val")
    written = {path.parent.name: json.loads(path.read_text())["data"] for path in Path("runs").glob("*/run.json")}
    assert sorted(written) == ["res18-fold-2", "res18-trainval"]
    assert all(data["splits"] == ["train", "val"] for data in written.values())


@pytest.mark.slow
def test_a_score_on_tracks_that_were_trained_on_comes_with_a_warning(place: Path, tiny: dict[str, str]) -> None:
    changes = [part for key, value in {**tiny, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    common = ["train", "--recipe", "res18", "--from-scratch", "--workers", "0", *changes]
    fine(*common, "--on", "train+val", "--run", "both")
    fine(*common, "--run", "one")
    for run in ("one", "both"):
        fine("predict", run, "--split", "val", "--workers", "0", "--batch", "16")
    fine("ensemble", "one", "both")
    runs = Path("runs")
    learners = {(run, split): learned_from(Run(runs / run), split) for run in ("one", "one+both") for split in ("train", "val")}
    assert learners == {
        ("one", "train"): ["one"],
        ("one", "val"): [],
        ("one+both", "train"): ["one", "both"],
        ("one+both", "val"): ["both"],
    }
    assert "warning: both learned from these tracks" in fine("evaluate", "one+both", "--split", "val")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--fold", "0"], 2, "go together"),
        (["--folds", "folds.json"], 2, "go together"),
        (["--folds", "folds.json", "--fold", "3"], 2, "0 to 2"),
        (["--folds", "folds.json", "--fold", "0", "--on", "train+val"], 2, "one of them"),
        (["--folds", "absent.json", "--fold", "0"], 3, "harness folds"),
        (["--on", "extra"], 2, "--extra FILE"),
        (["--on", "test"], 2, "--on"),
        (["--extra-share", "0.5"], 2, "--extra FILE"),
    ],
)
def test_wrong_turns(place: Path, arguments: list[str], code: int, says: str) -> None:
    result = call("train", "--recipe", "res18", "--from-scratch", *arguments)
    assert exit_code(result) == code
    assert says in str(result.exception) + result.output
    assert not Path("runs").exists()


def test_folds_of_other_data_are_refused(place: Path, root: DataRoot) -> None:
    write_folds("other.json", Folds(2, 0, {"somebody": 0, "else": 1}))
    result = call("train", "--recipe", "res18", "--from-scratch", "--folds", "other.json", "--fold", "0")
    assert isinstance(result.exception, MismatchError)


def test_unknown_words_for_what_to_learn_from_are_refused(root: DataRoot) -> None:
    with pytest.raises(UsageError, match="did you mean 'train'"):
        on_splits(root, "trian")


def test_tracks_without_labels_cannot_give_a_prior(tmp_path: Path) -> None:
    tracks = [Made("a", "train", [-1, -1], [1, 2]), Made("b", "val", [0, 1], [1, 2])]
    data = on_splits(scan(make_root(tmp_path / "root", tracks)))
    with pytest.raises(DataError, match="no labels"):
        data.prior()
    assert np.isclose(sum(on_splits(scan(tmp_path / "root"), "train+val").prior()), 1)
