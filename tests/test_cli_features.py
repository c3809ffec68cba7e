"""`harness features` and temporal runs through the command line: made, trained, predicted, and used like any other run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import files
from harness.data.scan import scan
from harness.images.decode import decode
from harness.images.transforms import prepare_test
from harness.inference.network import load_network, recipe_of
from harness.runs import checkpoints, scores
from harness.runs.scores import FEATURES
from harness.runs.store import Run
from models.classifier import Classifier
from tests.simulated_features import TINY_TEMPORAL, write_features
from tests.test_cli_road import call, exit_code, fine

CHANGES = [part for key, value in TINY_TEMPORAL.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def prepared(trained: Path, drawn_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the run `a`, its features, and a temporal run `t` trained on them; copy it before changing it."""
    place = tmp_path_factory.mktemp("features")
    shutil.copytree(trained / "runs", place / "runs")
    shutil.copytree(drawn_root, place / "data", copy_function=shutil.copy2)
    here = Path.cwd()
    os.chdir(place)
    try:
        output = fine("features", "a", "--data", "data", "--workers", "0", "--batch", "16")
        assert output.splitlines()[-1] == "next: harness train --recipe temporal-transformer --features a"
        output = fine("train", "--recipe", "temporal-tcn", "--features", "a", "--data", "data", "--run", "t", *CHANGES)
        assert output.splitlines()[-1] == "next: harness predict t --split test"
    finally:
        os.chdir(here)
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of this test."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", "data")
    return tmp_path


def count_forward_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    plain = Classifier.features

    def counting(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(Classifier, "features", counting)
    return sizes


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of the numbers and the index of a split."""
    return {path.name: files.sha256(path) for path in sorted(folder.iterdir()) if path.suffix in (".npz", ".json")}


def test_features_are_those_of_a_slow_loop(place: Path) -> None:
    run = Run(Path("runs/a"))
    network = load_network(run, recipe_of(run), checkpoints.choose(run, "last", print)).eval()
    for split in ("train", "val", "test"):
        track = next(track for track in scan(Path("data")).split(split) if len(track.frames))
        found = scores.read_track(run, split, track.name, FEATURES)
        np.testing.assert_array_equal(found.frame, track.frames)
        pixels = decode(track.image_path(int(track.frames[2])).read_bytes(), 32)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        with torch.no_grad():
            maps = network.backbone(prepare_test(image, 32, 32, network.backbone.mean, network.backbone.std))
        np.testing.assert_allclose(found.score[2], maps[0].mean(dim=(1, 2)).numpy(), atol=1e-5)


def test_unchanged_features_cost_no_forward_pass_and_a_changed_image_one_track(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_forward_passes(monkeypatch)
    fine("features", "a", "--data", "data", "--workers", "0", "--batch", "16")
    assert sizes == []
    track = next(track for track in scan(Path("data")).split("val") if len(track.frames) > 2)
    first, second = (track.image_path(int(frame)) for frame in track.frames[:2])
    first.write_bytes(second.read_bytes())
    output = call("features", "a", "--data", "data", "--workers", "0", "--batch", "16")
    assert "val: features of 1 track made" in output.output
    assert set(sizes) == {16}
    assert (
        "made, 0 unchanged" in call("features", "a", "--data", "data", "--split", "val", "--workers", "0", "--batch", "8").output
    )


def test_shards_and_processes_change_no_byte(place: Path) -> None:
    folders = [Path("runs/a/features/test"), Path("runs/t/scores/test")]
    fine("predict", "t", "--workers", "0")
    whole = [digests(folder) for folder in folders]
    for folder in folders:
        shutil.rmtree(folder)
    for part in ("2/2", "1/2"):
        fine("predict", "t", "--workers", "0", "--shard", part)
    assert [digests(folder) for folder in folders] == whole
    for folder in folders:
        shutil.rmtree(folder)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "predict", "t", "--workers", "0"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert [digests(folder) for folder in folders] == whole


@pytest.mark.slow
def test_two_processes_train_to_the_figures_of_one(place: Path) -> None:
    from harness.training import metrics

    arguments = ["train", "--recipe", "temporal-tcn", "--features", "a", "--run", "two", "--workers", "0", *CHANGES]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, two = (metrics.read(Run(Path(f"runs/{name}"))) for name in ("t", "two"))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for left, right in zip(one, two, strict=True):
        assert left.get("learning_rate") == right.get("learning_rate")
        assert left.get("loss", 0) == pytest.approx(right.get("loss", 0), abs=1e-4)
        assert left.get("macro_f1", 0) == pytest.approx(right.get("macro_f1", 0), abs=1e-6)


def test_a_temporal_run_is_a_run_like_any_other(place: Path) -> None:
    for split in ("val", "test"):
        output = fine("predict", "t", "--split", split, "--workers", "0")
    assert "0 errors, 0 warnings" in output
    for track in scan(Path("data")).split("test"):
        np.testing.assert_array_equal(scores.read_track(Run(Path("runs/t")), "test", track.name).frame, track.frames)
    assert "macro-F1 of 8 classes" in fine("evaluate", "t", "--split", "val")
    fine("ensemble", "a", "t")
    assert "0 errors" in fine("validate", "submissions/")
    fine("predict", "t", "--from-scores", "--smooth", "0.5", "--out", "submissions/other")
    fine("compare", "a", "t", "--split", "val")
    fine("tune", "t", "--split", "val")
    fine("report", "t", "--split", "val", "--out", "report.html")
    row = next(row for row in json.loads(call("runs", "--json").stdout) if row["name"] == "t")
    assert row["about"] == "tcn on features of a, 1 s, seed 0"
    assert row["steps"] == 12


def test_the_mirrored_features_are_made_for_flip(place: Path) -> None:
    fine("predict", "t", "--workers", "0", "--flip")
    track = next(track for track in scan(Path("data")).split("test") if len(track.frames))
    plain, mirrored = (scores.read_track(Run(Path("runs/a")), split, track.name, FEATURES) for split in ("test", "test.flip"))
    assert not np.allclose(plain.score, mirrored.score)
    plain, mirrored = (scores.read_track(Run(Path("runs/t")), split, track.name) for split in ("test", "test.flip"))
    assert not np.allclose(plain.score, mirrored.score)


def test_predicting_makes_the_features_that_are_missing_or_stale(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine("predict", "t", "--workers", "0")
    before = digests(Path("runs/t/scores/test"))
    shutil.rmtree("runs/a/features/test")
    output = call("predict", "t", "--workers", "0").output
    assert "features of a: 4 tracks made, 0 unchanged" in output
    assert digests(Path("runs/t/scores/test")) == before
    track = next(track for track in scan(Path("data")).split("test") if len(track.frames) > 2)
    first, second = (track.image_path(int(frame)) for frame in track.frames[:2])
    first.write_bytes(second.read_bytes())
    assert "test: scores of 1 track made" in call("predict", "t", "--data", "data", "--workers", "0").output
    assert digests(Path("runs/t/scores/test")) != before


def test_features_of_a_checkpoint_that_is_gone_end_with_one_clear_message(place: Path) -> None:
    for path in Path("runs/a/checkpoints").iterdir():
        shutil.rmtree(path)
    shutil.rmtree("runs/a/features/test")
    result = call("predict", "t", "--workers", "0")
    assert exit_code(result) == 3
    assert "`harness features a --split test`" in str(result.exception)


def test_features_of_another_checkpoint_are_not_taken_for_those_learned_from(place: Path, tiny: dict[str, str]) -> None:
    changes = [part for key, value in {**tiny, "seed": "3"}.items() for part in ("--set", f"{key}={value}")]
    fine("train", "--recipe", "res18", "--from-scratch", "--run", "a", "--fresh", "--workers", "0", *changes)
    fine("features", "a", "--workers", "0", "--batch", "16")
    result = call("predict", "t", "--workers", "0")
    assert exit_code(result) == 3
    assert "are not those the model learned from" in str(result.exception)
    result = call("train", "--recipe", "temporal-tcn", "--features", "a", "--run", "t", *CHANGES)
    assert exit_code(result) == 3
    assert "made with other settings or data" in str(result.exception)


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["train", "--recipe", "temporal-tcn"], 2, "--features RUN"),
    (["train", "--recipe", "res18", "--features", "a"], 2, "learns from images"),
    (["train", "--recipe", "temporal-tcn", "--features", "a", "--weights", "x.pth"], 2, "--weights is about images"),
    (["train", "--recipe", "temporal-tcn", "--features", "a", "--set", "widht=3"], 2, "did you mean 'width'"),
    (["train", "--recipe", "temporal-tcn", "--features", "nobody"], 3, "no run called 'nobody'"),
    (["train", "--recipe", "temporal-transformer", "--features", "a", "--set", "heads=3"], 2, "does not divide among 3 heads"),
    (["train", "--recipe", "res18", "--fps", "30"], 2, "--fps is for temporal models"),
    (["features", "t"], 3, "sees stored features, not images"),
    (["predict", "t", "--stride", "2"], 2, "scores every frame"),
    (["predict", "t", "--video", "x.mp4"], 3, "sees stored features, not images"),
    (["probe", "t"], 3, "no backbone to probe"),
    (["crossval", "--recipe", "temporal-tcn"], 2, "learns from stored features"),
    (["import", "nothing.npz", "--features"], 3, "no such file"),
])  # fmt: skip
def test_wrong_turns_end_with_one_clear_message(place: Path, arguments: list[str], code: int, message: str) -> None:
    result = call(*arguments)
    assert exit_code(result) == code, result.output
    assert message in str(result.exception) + result.output


def test_foreign_features_stand_beside_our_own(place: Path) -> None:
    path = write_features(scan(Path("data")), Path("audio.npz"), width=5 + 3)
    output = fine("import", str(path), "--features")
    assert output.splitlines()[-1] == "next: harness train --recipe temporal-transformer --features audio"
    sets = ["--features", "a", "--features", "audio"]
    fine("train", "--recipe", "temporal-tcn", *sets, "--run", "both", *CHANGES)
    fine("predict", "both", "--workers", "0")
    assert exit_code(call("predict", "both", "--workers", "0", "--flip")) == 3


def test_temporal_recipes_are_listed_and_explained() -> None:
    assert "temporal-tcn" in fine("recipes")
    assert "next: harness train --recipe temporal-tcn --features RUN" in fine("recipes", "temporal-tcn")
