"""What submission.json says of where a submission comes from, and what follows from it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE
from harness.runs import checkpoints, scores, store
from harness.runs.lineage import feature_names, is_unchanged, lineage, member_names, outdated, run_digest
from harness.runs.store import Run
from harness.selection.ensemble import Member, average_into
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    return labelled_root(tmp_path / "root", recordings=4, rate=None)


def trained(root: DataRoot, name: str, seed: int, **content: Any) -> Run:
    run = noisy_run(root, Path("runs") / name, 3.0, seed=seed, splits=("test",))
    run.manifest_path.write_text(json.dumps({**run.manifest, "kind": "training", "git_commit": f"commit-{seed}", **content}))
    return run


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    return int(caught.value.code or 0)


def test_an_ensemble_of_ensembles_is_named_down_to_the_weights_of_its_models(root: DataRoot) -> None:
    first = trained(root, "a", 1, weights={"file": "ms1m.pth", "sha256": "ab12"}, data={"fingerprint": "f1", "splits": ["train"]})
    trained(root, "b", 2, weights=None)
    trained(root, "c", 3)
    assert call("ensemble", "a", "b", "--run", "inner", "--weights", "3,1") == EXIT_DONE
    assert call("ensemble", "inner", "c", "--run", "outer") == EXIT_DONE
    record = json.loads(Path("submissions/outer/submission.json").read_text())
    (outer,) = record["runs"]
    inner, third = outer["members"]
    assert [outer["name"], inner["name"], third["name"]] == ["outer", "inner", "c"]
    assert (inner["weight"], third["weight"], third["seed"]) == (0.5, 0.5, 3)
    one, two = inner["members"]
    assert (one["name"], one["weight"], one["seed"], one["git_commit"]) == ("a", 0.75, 1, "commit-1")
    assert one["weights"] == {"file": "ms1m.pth", "sha256": "ab12"}
    assert one["data"] == {"fingerprint": "f1", "splits": ["train"]}
    assert one["manifest"] == run_digest(first)
    assert (two["name"], two["weights"]) == ("b", None)
    assert record["data_fingerprint"] == root.fingerprint()
    assert record["code"]["versions"]["python"]


def test_a_member_that_is_gone_or_names_its_ensemble_ends_the_line(root: DataRoot) -> None:
    trained(root, "a", 1, members=[{"run": "gone", "weight": 1.0}, "b"])
    trained(root, "b", 2, members=["a"])
    found = lineage(Run(Path("runs/a")), "test")
    gone, second = found["members"]
    assert (gone["name"], gone["found"]) == ("gone", False)
    assert second["name"] == "b"
    assert "members" not in second


def test_a_run_that_was_not_found_is_not_the_one_that_has_its_name_since(root: DataRoot) -> None:
    run = trained(root, "a", 1)
    assert is_unchanged(run, "test", {"name": "a"})
    assert not is_unchanged(run, "test", {"name": "a", "found": False})


def test_an_ensemble_of_the_embedded_set_is_not_sent_under_another_name(
    root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(root, "a", 1, data={"embedded": True})
    trained(root, "b", 2)
    assert call("ensemble", "a", "b", "--run", "ours") == EXIT_DONE
    capsys.readouterr()
    assert call("pack", "submissions/ours") == EXIT_DATA
    assert "embedded" in capsys.readouterr().err
    assert not Path("submissions/ours.zip").exists()


def checkpoint(run: Run, step: int, weights: bytes) -> str:
    def write(folder: Path) -> None:
        (folder / "model").write_bytes(weights)

    return checkpoints.write(run, step, None, write).digest


def scored_by(run: Run, digest: str) -> None:
    index = scores.read_index(run, "test")
    scores.write_index(run, "test", replace(index, checkpoint=digest))


def test_scores_of_a_checkpoint_that_the_run_no_longer_has_are_neither_sent_nor_averaged(root: DataRoot) -> None:
    run, _ = trained(root, "a", 1), trained(root, "b", 2)
    scored_by(run, checkpoint(run, 4, b"old"))
    assert outdated(run, "test") == []
    assert call("predict", "a", "--from-scores") == EXIT_DONE
    assert call("ensemble", "a", "b", "--run", "mean") == EXIT_DONE
    checkpoints.remove_older(run, checkpoints.read_manifest(checkpoints.directory(run) / "step-00000004"))
    checkpoint(run, 8, b"new")
    assert outdated(run, "test") == []  # the older one is still there, as the best may be
    shutil.rmtree(checkpoints.directory(run) / "step-00000004")
    assert "older checkpoint" in outdated(run, "test")[0]
    assert call("predict", "a", "--from-scores") == EXIT_DATA
    assert call("ensemble", "a", "b", "--run", "other") == EXIT_DATA
    assert call("predict", "mean", "--from-scores") == EXIT_DATA


def test_an_ensemble_whose_member_was_scored_again_is_not_sent(root: DataRoot) -> None:
    trained(root, "a", 1)
    trained(root, "b", 2)
    assert call("ensemble", "a", "b", "--run", "mean") == EXIT_DONE
    shutil.rmtree("runs/b")
    trained(root, "b", 3)
    assert "b has other scores" in outdated(Run(Path("runs/mean")), "test")[0]
    assert call("predict", "mean", "--from-scores") == EXIT_DATA


def test_scores_that_fold_models_made_before_they_were_trained_anew_are_not_sent(
    root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    folds = [trained(root, f"cv-fold-{number}", number) for number in range(2)]
    made_by = [checkpoint(fold, 4, fold.name.encode()) for fold in folds]
    for fold, own in zip(folds, made_by, strict=True):
        scored_by(fold, own)
    manifest = {**folds[0].manifest, "kind": "crossval", "members": [fold.name for fold in folds], "data": {"splits": ["train"]}}
    run, _ = store.open_or_create(Path("runs/cv"), manifest)
    average_into(run, [Member(fold, 0.5) for fold in folds], "test")
    assert outdated(run, "test") == []
    assert call("predict", "cv", "--from-scores") == EXIT_DONE
    shutil.rmtree(checkpoints.directory(folds[1]))
    checkpoint(folds[1], 4, b"anew")
    (said,) = outdated(run, "test")
    assert said.endswith("older checkpoint, which cv-fold-1 no longer has")
    assert call("predict", "cv", "--from-scores") == EXIT_DATA
    assert "`harness predict cv --split test`" in capsys.readouterr().err


def test_runs_that_saw_other_images_of_a_track_are_not_averaged_but_other_crops_and_strides_are(root: DataRoot) -> None:
    first, second = trained(root, "a", 1), trained(root, "b", 2)

    def seen(run: Run, images: str, **settings: object) -> None:
        index = scores.read_index(run, "test")
        tracks = {name: replace(record, images=images) for name, record in index.tracks.items()}
        scores.write_index(run, "test", replace(index, tracks=tracks, settings={"crops": "cropped_aligned", **settings}))

    seen(first, "one")
    seen(second, "one")
    assert call("ensemble", "a", "b", "--run", "same") == EXIT_DONE
    seen(second, "two")
    assert call("ensemble", "a", "b", "--run", "unlike") == EXIT_DATA
    for settings in ({"crops": "cropped"}, {"stride": 2}):
        seen(second, "two", **settings)
        assert call("ensemble", "a", "b", "--run", "+".join(settings)) == EXIT_DONE


def test_what_names_no_run_in_a_hand_changed_manifest_is_passed_over() -> None:
    assert feature_names({"features": ["x", {"run": "f"}, {"run": 3}, {"run": ""}, {}, None]}) == ("f",)
    assert member_names({"members": ["x", {"run": "e"}, {"run": 3}, {"run": ""}, {}, None]}) == ("x", "e")
    assert feature_names({"features": None}) == member_names({}) == ()
