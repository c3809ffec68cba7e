"""harness crossval: out-of-fold scores, what they are made of, and the mean of the fold models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import files
from harness.challenge import VA
from harness.data.folds import Folds, fold_tracks, make_folds, write_folds
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.drawn import write_drawn_root
from harness.errors import MismatchError
from harness.images.decode import decode
from harness.images.transforms import prepare_test
from harness.inference.network import load_network, recipe_of
from harness.kinds.probabilities import softmax
from harness.runs import checkpoints, scores
from harness.runs.store import Run
from harness.training.start import train
from tests.test_cli_road import call, exit_code, fine


@pytest.fixture(scope="module")
def root(drawn_root: Path) -> DataRoot:
    return scan(drawn_root)


@pytest.fixture(scope="module")
def folds(root: DataRoot) -> Folds:
    return make_folds(fold_tracks(root), 3, seed=0)


@pytest.fixture(scope="module")
def command(drawn_root: Path, tiny: dict[str, str]) -> list[str]:
    settings = {**tiny, "iterations": "3", "evaluate_every": "3", "checkpoint_every": "3"}
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ["crossval", "--recipe", "res18", "--from-scratch", "--workers", "0", "--batch", "16", "--run", "cv", *changes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, drawn_root: Path, folds: Folds, command: list[str]) -> Path:
    """A working folder with a whole cross-validation `cv`; copied before anything is changed."""
    place = tmp_path_factory.mktemp("crossval")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("HARNESS_DATA", str(drawn_root))
        write_folds("folds.json", folds)
        output = fine(*command)
    (place / "output.txt").write_text(output)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    return tmp_path / "place"


CV = Run(Path("runs/cv"))


def test_every_labelled_track_has_scores_in_the_order_of_the_data(place: Path, root: DataRoot) -> None:
    index = scores.read_index(CV, "oof")
    tracks = fold_tracks(root)
    assert list(index.tracks) == [track.name for track in tracks]
    assert index.rows == {track.name: track.rows for track in tracks}
    for track in tracks:
        assert np.array_equal(scores.read_track(CV, "oof", track.name).frame, track.frames)
    assert (place / "output.txt").read_text().splitlines()[-1] == "next: harness evaluate cv --split oof"


def test_each_score_is_of_the_model_that_never_saw_the_recording(place: Path, root: DataRoot, folds: Folds) -> None:
    networks = {}
    for fold in range(3):
        run = Run(Path(f"runs/cv-fold-{fold}"))
        checkpoint = checkpoints.choose(run, "last", lambda error: None)
        networks[fold] = (recipe_of(run), load_network(run, recipe_of(run), checkpoint).eval())
    for track in fold_tracks(root):
        learned = Run(Path(f"runs/cv-fold-{folds.fold_of[track.recording]}")).manifest["data"]
        assert learned["fold"] == folds.fold_of[track.recording]
        recipe, network = networks[learned["fold"]]
        pixels = decode(track.image_path(int(track.frames[0])).read_bytes(), recipe.decode_size)
        images = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0)
        backbone = network.backbone
        with torch.inference_mode():
            ready = prepare_test(images, recipe.image_size, recipe.test_resize, backbone.mean, backbone.std)
            expected = network(ready).numpy()[0]
        np.testing.assert_allclose(scores.read_track(CV, "oof", track.name).score[0], expected, rtol=1e-3, atol=1e-4)


def test_the_folds_are_the_runs_that_train_makes(place: Path, command: list[str]) -> None:
    before = files.sha256("runs/cv-fold-1/run.json")
    arguments = [part for part in command[1:] if part not in ("--batch", "16", "--run", "cv")]
    output = fine("train", *arguments, "--run", "cv-fold-1", "--folds", "folds.json", "--fold", "1")
    assert "is done" in output
    assert files.sha256("runs/cv-fold-1/run.json") == before


def test_out_of_fold_scores_are_evaluated_tuned_and_written_like_any_split(place: Path, root: DataRoot) -> None:
    content = json.loads(call("evaluate", "cv", "--split", "oof", "--json", "--smooth", "0").stdout)
    labels = np.concatenate([track.labels for track in fold_tracks(root) if track.labels is not None])
    assert np.sum(content["all_labelled"]["confusion"]) == (labels >= 0).sum()
    assert "0 errors, 0 warnings" in fine("predict", "cv", "--from-scores", "--split", "oof")
    assert "0 errors" in fine("validate", "submissions/cv-oof", "--data", str(root.path))


def test_what_is_done_is_kept_and_a_lost_fold_is_made_again(place: Path, command: list[str]) -> None:
    def digests() -> dict[str, str]:
        kept = [path for path in Path("runs").rglob("*") if path.suffix in (".npz", ".safetensors", ".json")]
        # run.json also names the commit of the code, which may go on while the tests run.
        return {str(path): files.sha256(path) for path in kept if ".records" not in path.parts and path.name != "run.json"}

    before = digests()
    output = fine(*command)
    assert output.count("scores of 0 tracks made") == 3
    assert digests() == before
    shutil.rmtree("runs/cv-fold-2")
    (Path("runs/cv/scores/oof/scores.json")).unlink()
    fine(*command)
    assert digests() == before


def test_the_test_split_is_the_mean_of_the_fold_models(place: Path, root: DataRoot) -> None:
    output = fine("predict", "cv", "--split", "test", "--workers", "0", "--batch", "16")
    assert "0 errors, 0 warnings" in output
    assert Path("submissions/cv/predictions.txt").is_file()
    index = scores.read_index(CV, "test")
    assert index.kind == "probabilities"
    for track in root.split("test"):
        parts = [scores.read_track(Run(Path(f"runs/cv-fold-{fold}")), "test", track.name).score for fold in range(3)]
        expected = sum(softmax(part) for part in parts) / 3
        np.testing.assert_allclose(scores.read_track(CV, "test", track.name).score, expected, atol=1e-6)


def test_flipped_images_are_a_second_score_set_of_the_folds(place: Path) -> None:
    fine("predict", "cv", "--split", "oof", "--flip", "--workers", "0", "--batch", "16")
    fine("predict", "cv", "--split", "test", "--flip", "--workers", "0", "--batch", "16")
    assert CV.splits() == ("test", "oof", "oof.flip", "test.flip")
    plain, mirrored = (scores.read_track(CV, split, "video3").score for split in ("oof", "oof.flip"))
    assert not np.array_equal(plain, mirrored)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["predict", "cv", "--split", "val"], 2, "--split oof"),
        (["predict", "cv", "--split", "train"], 2, "--split oof"),
        (["predict", "cv", "--split", "oof", "--checkpoint", "best"], 2, "--checkpoint last"),
        (["predict", "cv-fold-0", "--split", "oof"], 2, "harness crossval"),
        (["predict", "cv", "--split", "tset"], 2, "did you mean 'test'"),
    ],
)
def test_wrong_turns(place: Path, arguments: list[str], code: int, says: str) -> None:
    result = call(*arguments)
    assert exit_code(result) == code
    assert says in str(result.exception)


def test_a_network_that_cannot_be_built_leaves_no_run(place: Path, command: list[str]) -> None:
    assert exit_code(call(*command, "--run", "new", "--set", "backbone=res81")) == 2
    assert not list(Path("runs").glob("new*"))


def test_a_cross_validation_over_other_folds_is_refused(place: Path, folds: Folds, command: list[str]) -> None:
    write_folds("other.json", Folds(3, 0, {name: (fold + 1) % 3 for name, fold in folds.fold_of.items()}))
    result = call(*command, "--folds", "other.json")
    assert isinstance(result.exception, MismatchError)
    assert "data.folds.sha256" in str(result.exception)
    shutil.copy("other.json", "runs/cv/folds.json")
    assert isinstance(call("predict", "cv", "--split", "oof").exception, MismatchError)


def test_a_signal_ends_it_and_the_next_call_goes_on(place: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    def stopped(*arguments: object, **options: object) -> object:
        done = train(*arguments, **options)  # type: ignore[arg-type]
        return replace(done, outcome=replace(done.outcome, exit_code=143))

    monkeypatch.setattr("harness.studies.fold_trainings.train", stopped)
    assert exit_code(call(*command, "--fresh")) == 143
    assert not Path("runs/cv/scores").exists()
    monkeypatch.undo()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HARNESS_DATA", json.loads(Path("runs/cv/run.json").read_text())["where"]["data"])
    fine(*command)
    assert Path("runs/cv/scores/oof/scores.json").is_file()


def test_the_list_of_runs_says_what_it_is(place: Path) -> None:
    assert "3 folds of torchvision:shufflenet_v2_x0_5" in fine("runs")


def test_values_are_scored_out_of_fold(tiny: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_drawn_root("data", tracks=(2, 2, 1), rows=14, other_challenges=True)
    tracks = fold_tracks(scan(data, challenge=VA))
    write_folds("folds.json", make_folds(tracks, 2, 0, VA))
    settings = {**tiny, "iterations": "2", "challenge": "VA"}
    changes = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    command = ("crossval", "--recipe", "res18", "--from-scratch", "--workers", "0", "--run", "cv", "--data", str(data))
    assert "fold 1: score " in fine(*command, *changes)
    run = Run(Path("runs/cv"))
    assert (run.manifest["challenge"], run.class_names) == ("VA", ("valence", "arousal"))
    index = scores.read_index(run, "oof")
    assert set(index.tracks) == {track.name for track in tracks}
    for number in range(2):
        fold = Run(Path(f"runs/cv-fold-{number}"))
        for name in scores.read_index(fold, f"fold-{number}").tracks:
            own = scores.read_track(fold, f"fold-{number}", name).score
            np.testing.assert_array_equal(own, scores.read_track(run, "oof", name).score)
