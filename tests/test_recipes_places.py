"""Files and folders of a recipe by their names in run.json, their places apart from it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli import harness
from harness.data.scan import scan
from harness.errors import MismatchError
from harness.recipes import places, pretraining
from harness.recipes import recipe as recipes
from harness.recipes.recipe import Recipe
from harness.recipes.settings import setting
from harness.recipes.temporal import TemporalRecipe
from harness.runs import checkpoints, store
from harness.runs.scores import FEATURES, SCORES, read_track
from harness.runs.store import Run


@pytest.fixture
def work(trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the data in `data` and the weights of a tiny run in `weights/first.safetensors`."""
    shutil.copytree(drawn_root, tmp_path / "data")
    (tmp_path / "weights").mkdir()
    newest = checkpoints.folders(Run(trained / "runs" / "a"))[-1]
    shutil.copy(newest / "model.safetensors", tmp_path / "weights" / "first.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(tiny: dict[str, str], *options: str, **changes: str) -> str:
    """Trains one step of the tiny recipe into the run `a`; returns all that was printed."""
    short = {**tiny, "iterations": "1", "evaluate_every": "1", "checkpoint_every": "1", **changes}
    words = [part for key, value in short.items() for part in ("--set", f"{key}={value}")]
    done = CliRunner().invoke(harness, ["train", "--recipe", "res18", "--run", "a", "--workers", "0", *words, *options])
    if done.exception is not None:
        raise done.exception
    return done.output


def predict(*options: str) -> str:
    done = CliRunner().invoke(harness, ["predict", "a", "--split", "val", "--workers", "0", *options])
    assert done.exception is None, repr(done.exception)
    return done.output


def compared() -> str:
    """The text of what is compared in run.json."""
    manifest = Run(Path("runs/a")).manifest
    return json.dumps({key: value for key, value in manifest.items() if key != "where"})


def test_the_same_weights_under_another_name_and_place_resume_and_other_bytes_do_not(work: Path, tiny: dict[str, str]) -> None:
    options = ("--data", "data")
    train(tiny, *options, "--weights", "weights/first.safetensors")
    assert str(work) not in compared()
    assert "weights/" not in compared()
    assert Run(Path("runs/a")).manifest["where"]["weights"] == str(work / "weights" / "first.safetensors")
    (work / "elsewhere").mkdir()
    shutil.move("weights/first.safetensors", "elsewhere/second.safetensors")
    assert "is done" in train(tiny, *options, "--weights", str(work / "elsewhere" / "second.safetensors"))
    own = next(Path("runs/a").rglob("model.safetensors"))
    with pytest.raises(MismatchError, match=r"weights\.sha256: '\w+' there, '\w+' now") as refusal:
        train(tiny, *options, "--weights", str(own))
    assert "weights.file" not in str(refusal.value)
    with pytest.raises(MismatchError, match=r"weights\.sha256: '\w+' there, 'absent' now"):
        train(tiny, *options, "--from-scratch")


def test_crops_in_a_folder_outside_of_the_data_are_found_again(work: Path, tiny: dict[str, str]) -> None:
    (work / "elsewhere").mkdir()
    shutil.move("data/cropped_aligned", "elsewhere/faces")
    train(tiny, "--data", "data", "--from-scratch", crops=str(work / "elsewhere" / "faces"))
    assert str(work) not in compared()
    assert "scores of 4 tracks made" in predict()
    text = Path("runs/a/scores/val/scores.json").read_text()
    assert str(work) not in text
    shutil.move("elsewhere/faces", "data/faces")
    assert "scores of 4 tracks made" in predict("--data", "data", "--verify", "--batch", "16")


def frames_below(folder: Path) -> dict[str, list[int]]:
    """The numbers of the images in each folder of a track."""
    return {track.name: sorted(int(path.stem) for path in track.glob("*.jpg")) for track in folder.iterdir()}


@pytest.mark.parametrize("name", ["cropped_aligned", "mycrops"])
def test_every_verb_that_reads_images_reads_the_crops_of_the_run_and_not_those_of_the_root(
    work: Path, tiny: dict[str, str], name: str
) -> None:
    """The root has a folder of the official name too: with one image of each track, another than there was."""
    elsewhere = work / "elsewhere" / name
    shutil.copytree("data/cropped_aligned", elsewhere)
    for path in sorted(Path("data/cropped_aligned").rglob("*.jpg")):
        if path.stem != "00002":
            path.unlink()
    own = frames_below(elsewhere)
    assert own != frames_below(Path("data/cropped_aligned"))
    train(tiny, "--data", "data", "--from-scratch", crops=str(elsewhere))

    def called(*words: str) -> str:
        done = CliRunner().invoke(harness, [*words, "--workers", "0"])
        assert done.exception is None, f"{words}: {done.exception!r} {done.output}"
        return done.stdout

    called("features", "a", "--split", "val", "--batch", "16")
    called("predict", "a", "--split", "val", "--batch", "16")
    for track in scan(Path("data"), crops=None).split("val"):
        for store_of in (SCORES, FEATURES):
            found = read_track(Run(Path("runs/a")), "val", track.name, store_of)
            assert found.frame.tolist() == [frame for frame in own.get(track.name, []) if frame <= track.rows]
    assert "every part has the same bytes" in called("reproduce", "a")
    labelled = 0
    for path in Path("data").rglob("Train_Set/*.txt"):
        labels = path.read_text().split()[1:]
        labelled += sum(frame <= len(labels) and labels[frame - 1] != "-1" for frame in own.get(path.stem, []))
    assert json.loads(called("probe", "a", "--folds", "2", "--json"))["frames"] == labelled > 2 * len(own)


def test_crops_in_a_folder_inside_of_the_data_are_found_in_a_copy_of_it(work: Path, tiny: dict[str, str]) -> None:
    (work / "data" / "ours").mkdir()
    shutil.move("data/cropped_aligned", "data/ours/faces")
    train(tiny, "--data", "data", "--from-scratch", crops="ours/faces")
    shutil.move("data", "moved")
    assert "scores of 4 tracks made" in predict("--data", "moved")
    assert "is done" in train(tiny, "--data", "moved", "--from-scratch", crops=str(work / "moved" / "ours" / "faces"))


def test_official_crops_and_builtin_weights_have_no_place_of_their_own(tmp_path: Path) -> None:
    recipe = recipes.load("lite0")
    assert places.places(recipe, tmp_path) == {"data": str(tmp_path)}
    assert places.recorded(recipe).items() <= recipe.as_dict().items()
    assert places.crops_of({"recipe": recipe.as_dict()}, tmp_path) == "cropped_aligned"
    assert places.crops_of({}, tmp_path) == "cropped_aligned"


def forget(*keys: str) -> None:
    """Makes run.json of the run `a` that of a version without these recipe keys."""
    path = Path("runs/a/run.json")
    stored = json.loads(path.read_text())
    stored["recipe"] = {key: value for key, value in stored["recipe"].items() if key not in keys}
    path.write_text(json.dumps(stored))


def test_a_run_whose_recipe_lacks_keys_goes_on_predicts_and_is_reproduced(work: Path, tiny: dict[str, str]) -> None:
    train(tiny, "--data", "data", "--from-scratch")
    made = next(Path("runs/a").rglob("model.safetensors")).read_bytes()
    forget("average", "weights_head", "weights_classes", "betas", "validation_step")
    shutil.rmtree("runs/a/checkpoints")
    train(tiny, "--data", "data", "--from-scratch")
    assert next(Path("runs/a").rglob("model.safetensors")).read_bytes() == made
    assert "scores of 4 tracks made" in predict()
    again = CliRunner().invoke(harness, ["reproduce", "a", "--workers", "0"])
    assert again.exit_code == 0, again.output
    with pytest.raises(MismatchError, match=r"recipe\.average: 0\.0 there, 0\.5 now"):
        train(tiny, "--data", "data", "--from-scratch", average="0.5")


@pytest.mark.parametrize(
    ("kind", "features", "recipe"),
    [
        ("training", False, recipes.load("lite0")),
        ("crossval", False, recipes.load("lite0")),
        ("training", True, TemporalRecipe.load("temporal-tcn")),
        ("pretraining", False, pretraining.load({"method": "moco"})),
    ],
    ids=["training", "crossval", "temporal", "pretraining"],
)
def test_an_absent_key_of_a_stored_recipe_equals_its_default(kind: str, features: bool, recipe: Any) -> None:
    manifest = {"kind": kind, "features": [{"run": "f"}] if features else None, "recipe": recipe.as_dict()}
    defaults = pretraining.load({"method": "moco"}) if kind == "pretraining" else type(recipe)()
    lacking = {key: value for key, value in recipe.as_dict().items() if value != defaults.as_dict()[key] or key == "method"}
    older = {**manifest, "recipe": lacking}
    assert len(lacking) < len(recipe.as_dict()) / 2
    assert store.differences(places.completed(older), places.completed(manifest)) == []
    assert store.differences(older, manifest) != []


def test_an_added_key_is_recorded_only_where_it_differs_from_its_default() -> None:
    @dataclass(frozen=True)
    class GrownRecipe(Recipe):
        novelty: float = setting(0.5, "a key that a later version brings", added=True)

    assert places.recorded(GrownRecipe()) == places.recorded(Recipe())
    assert places.recorded(GrownRecipe(novelty=0.25)) == {**places.recorded(Recipe()), "novelty": 0.25}
