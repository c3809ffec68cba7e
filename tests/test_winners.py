"""Each recipe on features, the winners' second stages among them, from train to a score: on drawn faces and noise, and on real
faces of the embedded data set and their voices.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import challenge_named
from harness.data.scan import scan
from harness.demo import layout
from harness.demo.dataset import cast
from harness.demo.drawn import write_drawn_root
from harness.demo.faces import pictures
from harness.demo.films import write_films
from harness.demo.performance import Performance, perform
from harness.recipes.temporal import TemporalRecipe
from harness.runs import scores
from harness.runs.store import Run
from tests.films import write_film
from tests.test_cli_road import fine

SHORT = ("--set", "iterations=2", "--set", "evaluate_every=2", "--set", "batch=4", "--set", "warmup=0", "--set", "fps=10")


WINNERS = ("av-gate", "av-attention", "feature-mlp", "va-transformer")


def store_features(films: str) -> None:
    """What the run `a` sees and what is heard in films, for the tracks of EXPR and of VA."""
    for challenge in ("EXPR", "VA"):
        fine("features", "a", "--challenge", challenge, "--data", "data", "--workers", "0", "--batch", "16")
        fine("audio", "data", "--videos", films, "--challenge", challenge, "--run", f"sound-{challenge}")


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the trained run `a`, its features and those of films with sound, for the tracks of EXPR and of VA."""
    place = tmp_path_factory.mktemp("winners")
    shutil.copytree(trained / "runs" / "a", place / "runs" / "a")
    with contextlib.chdir(place):
        write_drawn_root("data", tracks=(2, 2, 1), rows=16, other_challenges=True)
        Path("films").mkdir()
        for number, recording in enumerate(sorted({track.recording for track in scan("data").tracks})):
            sound = np.random.default_rng(number).integers(-5_000, 5_000, 16_000).astype(np.int16)
            write_film(Path("films") / f"{recording}.mkv", (np.arange(19) / 10).tolist(), [sound], rate=8_000, layout="mono")
        store_features("films")
    return place


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with eight recordings of the embedded data set, their films, and a backbone that keeps its ImageNet weights."""
    place = tmp_path_factory.mktemp("embedded")
    performances = perform(cast(), 0)
    few = [one for split, count in (("train", 4), ("val", 2), ("test", 2)) for one in of_split(performances, split)[:count]]
    with contextlib.chdir(place):
        layout.write(Path("data"), few, pictures)
        layout.write_other_challenges(Path("data"), few)
        write_films(Path("data"), few, 0)
        once = [word for key in ("iterations", "evaluate_every", "checkpoint_every") for word in ("--set", f"{key}=1")]
        fine("train", "--recipe", "lite0-frozen", "--data", "data", "--run", "a", "--workers", "0", *once, "--set", "warmup=0")
        store_features("data/videos")
    return place


def of_split(performances: list[Performance], split: str) -> list[Performance]:
    """Those of a split."""
    return [one for one in performances if one.role.split == split]


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(name, marks=[] if name in ("temporal-transformer", "av-gate") else pytest.mark.slow)
        for name in TemporalRecipe.names()
    ],
)
def test_a_recipe_on_faces_and_sound_is_trained_predicted_and_scored(
    place: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    monkeypatch.chdir(place)
    assert "0 errors, 0 warnings" in go_through(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", WINNERS)
def test_a_winner_s_second_stage_works_on_real_faces_and_voices(
    embedded: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    monkeypatch.chdir(embedded)
    assert "0 errors" in go_through(recipe)


def go_through(recipe: str) -> str:
    """Trains, predicts and scores a recipe; returns what is said of its submission."""
    challenge = challenge_named(TemporalRecipe.load(recipe).challenge)
    sets = ("--features", "a", "--features", f"sound-{challenge.name}")
    fine("train", "--recipe", recipe, *sets, "--data", "data", "--run", recipe, "--workers", "0", *SHORT)
    submitted = fine("predict", recipe, "--split", "test", "--data", "data", "--fps", "10")
    fine("predict", recipe, "--split", "val", "--data", "data", "--fps", "10")
    run = Run(Path("runs") / recipe)
    for track in scan("data", challenge=challenge).split("val"):
        stored = scores.read_track(run, "val", track.name)
        assert stored.seen_by is not None
        np.testing.assert_array_equal(stored.frame[stored.seen_by[:, 0]], track.frames)
        assert stored.seen_by[:, 1].any()
    assert "labelled frames" in fine("evaluate", recipe, "--split", "val", "--data", "data", "--fps", "10")
    return submitted
