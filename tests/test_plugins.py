"""Code of one's own: the page's examples train and predict, what was changed is refused, what breaks a promise is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from harness import files
from harness.challenge import EXPR
from harness.cli import harness
from harness.data.scan import scan
from harness.errors import MismatchError, UsageError
from harness.inference.network import load_network, recipe_of
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.recipes import plugins as named
from harness.recipes.recipe import Recipe
from harness.recipes.temporal import TemporalRecipe
from harness.runs import checkpoints, scores
from harness.runs.store import Run
from harness.studies.plugin_checks import KINDS, check_plugin
from harness.studies.reproduce import reproduce
from harness.submission.build import build
from harness.training.session import Training
from harness.training.start import train
from harness.training.start_temporal import train_temporal
from harness.training.training_data import on_splits
from models import plugins, registry, temporal
from tests.interruption import dies_after, result
from tests.simulated_features import TINY_TEMPORAL, feature_run
from tests.simulated_runs import labelled_root

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "plugins.md").read_text()
EXAMPLES = {name: text for _, name, text in re.findall(r"```(python|yaml)\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL)}
KIND_OF = {
    "mynet.py:build": "backbone",
    "myhead.py:Head": "head",
    "myloss.py:build": "loss",
    "myaugmentation.py:build": "augmentation",
    "mymodel.py:Model": "model",
}
OF_IMAGES = {name: kind for name, kind in KIND_OF.items() if kind != "model"}
"""What the page's recipe of images names."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's examples, in which the command line works."""
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train_mine(place: Path, root: Path, tiny: dict[str, str], **changes: str) -> Training:
    own = ("backbone", "head", "weights_wanted", "freeze_stages")
    settings = {key: value for key, value in tiny.items() if key not in own}
    recipe = Recipe.load(str(place / "mine.yaml"), {**settings, "iterations": "4", "evaluate_every": "4", **changes})
    said: list[str] = []
    return train(recipe, scan(root), place / "runs" / "a", fresh=False, workers=0, from_scratch=False, say=said.append)


@pytest.mark.parametrize(("name", "kind"), KIND_OF.items())
def test_every_example_of_the_page_keeps_its_promises(place: Path, name: str, kind: str) -> None:
    done = CliRunner().invoke(harness, ["check-plugin", f"./{name}", "--kind", kind, "--json"])
    assert done.exit_code in (0, None), done.output
    promises = json.loads(done.output)["promises"]
    assert len(promises) >= 4
    assert [one for one in promises if one["fault"]] == []
    assert set(KINDS) == set(KIND_OF.values())


def test_the_pages_recipe_trains_and_its_run_knows_its_code(place: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    run = train_mine(place, drawn_root, tiny).run
    manifest = run.manifest
    assert manifest["plugins"] == {kind: files.sha256(place / name.split(":")[0]) for name, kind in OF_IMAGES.items()}
    assert manifest["recipe"]["backbone"] == "mynet.py:build"
    assert str(place) not in json.dumps({key: value for key, value in manifest.items() if key != "where"})
    assert manifest["recipe"]["crop_area"] == Recipe.load("res18").crop_area
    assert "base" not in manifest["recipe"]
    chosen = checkpoints.last(run, lambda error: None)
    assert chosen is not None
    network = load_network(run, recipe_of(run), chosen).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 8)
    assert train_mine(place, drawn_root, tiny).was_done


@pytest.mark.parametrize("file", [name.split(":")[0] for name in OF_IMAGES])
def test_a_run_neither_resumes_nor_predicts_with_other_code(
    place: Path, drawn_root: Path, tiny: dict[str, str], file: str
) -> None:
    run = train_mine(place, drawn_root, tiny).run
    (place / file).write_text(EXAMPLES[file] + "\n# changed\n")
    with pytest.raises(MismatchError, match=r"plugins\."):
        train_mine(place, drawn_root, tiny)
    with pytest.raises(MismatchError, match="is not what the run was made with"):
        recipe_of(Run(run.path))


@pytest.fixture
def train_model(place: Path) -> Callable[[str], Training]:
    """Trains the page's recipe on features, on a root with a feature set `f`, in a few steps."""
    root = labelled_root(place / "data", recordings=4)
    feature_run(root, place)

    def call(name: str, **changes: str) -> Training:
        recipe = TemporalRecipe.load(str(place / "mymodel.yaml"), {**TINY_TEMPORAL, **changes})
        path, data = place / "runs" / name, on_splits(root)
        return train_temporal(recipe, root, ["f"], path, data, fresh=False, workers=0, say=lambda line: None)

    return call


def test_the_pages_model_on_features_trains_predicts_and_is_made_again(place: Path, train_model: Callable[..., Training]) -> None:
    with dies_after(5):
        train_model("a")
    run = train_model("a").run
    assert result(run) == result(train_model("whole").run)
    assert run.manifest["plugins"] == {"model": files.sha256(place / "mymodel.py")}
    assert run.manifest["recipe"]["model"] == "mymodel.py:Model"
    assert run.manifest["recipe"]["kernel"] == TemporalRecipe.load("temporal-tcn").kernel
    root = scan(place / "data")
    predict(run, root, "val", Scoring(), lambda line: None)
    assert scores.read_index(run, "val").tracks
    again = reproduce(run, root, place / "runs" / "again", on_splits(root), workers=0, say=lambda line: None)
    assert [part.name for part in again.parts if not part.equal] == []
    assert len(again.parts) == 4


def test_a_changed_model_is_noticed_wherever_its_run_is_used(place: Path, train_model: Callable[..., Training]) -> None:
    run, root = train_model("a").run, scan(place / "data")
    (place / "mymodel.py").write_text(EXAMPLES["mymodel.py"].replace("relu", "gelu"))
    with pytest.raises(MismatchError, match=r"plugins\."):
        train_model("a")
    uses = (
        lambda: reproduce(run, root, place / "runs" / "again", on_splits(root), workers=0, say=lambda line: None),
        lambda: predict(run, root, "val", Scoring(), lambda line: None),
    )
    for use in uses:
        with pytest.raises(MismatchError, match="the code of model is not what the run was made with"):
            use()
    assert not (place / "runs" / "again").exists()


SEEING = """
from torch import nn

class Shows(nn.Module):
    def forward(self, features, mask):
        return features[:, :, :2]

def build(widths, classes, width, heads):
    assert (widths, classes, width, heads) == ([2, 1], 2, 16, 4)
    return Shows()

class Raises(nn.Module):
    def __init__(self, widths, classes):
        super().__init__()
    def forward(self, features, mask):
        raise RuntimeError("no kernel")

class Narrow(Raises):
    def forward(self, features, mask):
        return features[:, 0]
"""
SETTINGS: dict[str, Any] = {"seed": 0, "width": 16, "layers": 1, "heads": 4, "feedforward": 8, "kernel": 3, "dropout": 0.0}


def test_a_model_sees_normalised_features_zero_where_a_set_is_missing_and_the_settings_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "seeing.py").write_text(SEEING)
    network = temporal.build(f"{tmp_path}/seeing.py:build", [2, 1], 2, **SETTINGS)
    network.set_normalisation(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([2.0, 0.5, 1.0]))
    features = torch.tensor([[[3.0, 3.0, 9.0], [float("nan"), 7.0, 1.0]]])
    mask = torch.tensor([[[True, True], [False, True]]])
    assert network(features, mask).tolist() == [[[1.0, 2.0], [0.0, 0.0]]]


@pytest.mark.parametrize(("name", "reason"), [("Raises", "RuntimeError: no kernel"), ("Narrow", "not logits")])
def test_a_model_that_cannot_be_used_leaves_no_run_behind(
    place: Path, train_model: Callable[..., Training], name: str, reason: str
) -> None:
    (place / "seeing.py").write_text(SEEING)
    with pytest.raises(UsageError, match=reason):
        train_model("a", model=f"./seeing.py:{name}")
    assert not (place / "runs" / "a").exists()


def test_code_beside_the_recipe_is_found_from_anywhere_and_a_change_is_relative_to_the_working_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert Recipe.load("../mine.yaml").backbone == f"{place.resolve()}/mynet.py:build"
    assert Recipe.load("../mine.yaml", {"backbone": "./mynet.py:build"}).backbone == f"{elsewhere.resolve()}/mynet.py:build"
    (elsewhere / "shorter.yaml").write_text("base: res18\nhead: timm.layers:ClassifierHead\n")
    assert Recipe.load("shorter.yaml").head == "timm.layers:ClassifierHead"


def test_a_package_is_told_by_all_of_its_source_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "loud_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "inner" / "net.py").write_text("build = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = named.sources({"backbone": "loud_package.inner.net:build"})["backbone"]
    assert named.sources({"backbone": "loud_package.inner.net:build"})["backbone"] == first
    (package / "inner" / "net.py").write_text("build = 1\n")
    assert named.sources({"backbone": "loud_package.inner.net:build"})["backbone"] != first
    with pytest.raises(UsageError, match="not installed"):
        named.sources({"backbone": "no_such_package.net:build"})


def test_an_entry_point_stands_for_what_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = EntryPoints([EntryPoint("small", "tests.toy_faces:SmallNetwork", named.ENTRY_POINTS)])
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries.select(group=group))
    monkeypatch.setattr(named, "entry_points", lambda group: entries.select(group=group))
    assert plugins.load("entry:small").__name__ == "SmallNetwork"
    assert set(named.sources({"backbone": "entry:small"})) == {"backbone"}
    with pytest.raises(plugins.PluginError, match="known: small"):
        plugins.load("entry:smal")
    with pytest.raises(UsageError, match="entry point"):
        named.sources({"backbone": "entry:smal"})


BROKEN = """
import torch
from torch import nn

class Drops(nn.Module):
    def __init__(self, image_size):
        super().__init__()
        self.conv, self.idle = nn.Conv2d(3, 4, 3), nn.Linear(2, 2)
    def forward(self, images):
        return nn.functional.dropout(self.conv(images - images.mean(dim=0)), 0.5, self.training)

class Forgets(nn.Module):
    def __init__(self, image_size):
        super().__init__()
        self.conv, self.offset = nn.Conv2d(3, 4, 3), torch.randn(1)
    def forward(self, images):
        return self.conv(images) + self.offset

def raises(**options):
    raise RuntimeError("no such file: weights.pth")

def batch_loss(columns):
    return lambda outputs, labels: nn.functional.cross_entropy(outputs, labels[:, 0])

class Mixes(nn.Module):
    def __init__(self, widths, classes):
        super().__init__()
        self.first, self.second = (nn.Conv1d(n, classes, 3, padding=1) for n in (sum(widths), classes))
    def forward(self, features, mask):
        return self.second(self.first(features.transpose(1, 2))).transpose(1, 2)

class Draws(nn.Module):
    uniforms = 4
    def __init__(self, widths, classes):
        super().__init__()
        self.linear = nn.Linear(sum(widths), classes)
    def forward(self, features, mask, uniforms):
        values = self.linear(features)
        return values if uniforms is None else values * torch.rand(1)

def careless():
    return lambda images, numbers: images.add_(torch.randint(1, 99, images.shape, dtype=torch.uint8))
"""


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("Drops", "backbone", ["depends on it alone", "no numbers of its own", "reaches every parameter"]),
        ("Forgets", "backbone", ["state_dict holds all"]),
        ("raises", "backbone", ["it runs"]),
        ("missing", "head", ["it runs"]),
        ("batch_loss", "loss", ["for each sample", "it runs"]),
        ("Mixes", "model", ["change no other time"]),
        ("Draws", "model", ["the same numbers drop the same"]),
        ("careless", "augmentation", ["stay as they are", "the same bits"]),
    ],
)
def test_what_breaks_a_promise_is_told(tmp_path: Path, name: str, kind: str, expected: list[str]) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    found = check_plugin(f"{tmp_path}/broken.py:{name}", kind, 32)
    broken = [one.promise for one in found if one.fault is not None]
    assert all(any(words in promise for promise in broken) for words in expected), broken


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_module:build", "No module named"),
        ("math:pi", "cannot be called"),
        ("./gone.py:build", "no file"),
        ("math:sine", "has no"),
    ],
)
def test_code_that_cannot_be_used_is_told_by_name(name: str, reason: str) -> None:
    with pytest.raises(plugins.PluginError, match=reason):
        registry.create(name)


def test_a_base_is_one_level_and_of_the_same_kind(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: ir50\nbatch: 64\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    (tmp_path / "c.yaml").write_text("base: c.yaml\n")
    found, plain = Recipe.load(str(tmp_path / "a.yaml")), Recipe.load("ir50")
    assert (found.batch, found.backbone, found.rotate) == (64, "ir50", plain.rotate)
    for name in ("b", "c"):
        with pytest.raises(UsageError, match="has a base itself"):
            Recipe.load(str(tmp_path / f"{name}.yaml"))
    for text, problem in (
        ("base: ir51", "unknown recipe"),
        ("base: [ir50]", "base does not name a recipe"),
        ("base: temporal-tcn", "unknown recipe"),
    ):
        (tmp_path / "d.yaml").write_text(text)
        with pytest.raises(UsageError, match=problem):
            Recipe.load(str(tmp_path / "d.yaml"))


LOUD = """
import pathlib
pathlib.Path(__file__).with_name("was-imported").write_text("")
raise RuntimeError("imported")
"""
ENTRY_POINTS = "[abaw_harness.plugins]\nloud = loud_plugin:build\n"


def test_validate_and_pack_import_no_code_that_is_installed_or_lies_beside_the_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    installed = site / "loud_plugin-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: loud-plugin\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "loud_plugin.py").write_text(LOUD)
    work.mkdir()
    monkeypatch.chdir(work)
    build("submissions/sent", [("video1", np.array([0, 1], np.int8))], EXPR, 5, None, {"split": "test", "weights": "entry:loud"})
    for name in ("mynet.py", "predictions.py", "submissions/mynet.py"):
        Path(name).write_text(LOUD)
    Path("mine.yaml").write_text("base: res18\nbackbone: ./mynet.py:build\nhead: entry:loud\n")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, "-m", "harness", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    for arguments in (["validate", "submissions/"], ["validate", "submissions/sent", "--json"], ["pack", "submissions/sent"]):
        done = call(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(tmp_path.rglob("was-imported")) == []
    # The code would be found, and is loud, where it is asked for.
    for name in ("entry:loud", "./mynet.py:build"):
        assert "RuntimeError: imported" in call("check-plugin", name, "--kind", "head").stdout
    assert {path.parent for path in tmp_path.rglob("was-imported")} == {site, work}
