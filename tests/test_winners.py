"""Each recipe on features, the winners' second stages among them, on drawn faces and synthesised sound: from train to a score."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import challenge_named
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.recipes.temporal import TemporalRecipe
from harness.runs import scores
from harness.runs.store import Run
from tests.films import write_film
from tests.test_cli_road import fine

SHORT = ("--set", "iterations=2", "--set", "evaluate_every=2", "--set", "batch=4", "--set", "warmup=0", "--set", "fps=10")


@pytest.fixture(scope="module")
def place(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the trained run `a`, its features and those of films with sound, for the tracks of EXPR and of VA."""
    place = tmp_path_factory.mktemp("winners")
    shutil.copytree(trained / "runs" / "a", place / "runs" / "a")
    here = Path.cwd()
    os.chdir(place)
    try:
        write_drawn_root("data", tracks=(2, 2, 1), rows=16, other_challenges=True)
        Path("films").mkdir()
        for number, recording in enumerate(sorted({track.recording for track in scan("data").tracks})):
            sound = np.random.default_rng(number).integers(-5_000, 5_000, 16_000).astype(np.int16)
            write_film(Path("films") / f"{recording}.mkv", (np.arange(19) / 10).tolist(), [sound], rate=8_000, layout="mono")
        for challenge in ("EXPR", "VA"):
            fine("features", "a", "--challenge", challenge, "--data", "data", "--workers", "0", "--batch", "16")
            fine("audio", "data", "--videos", "films", "--challenge", challenge, "--run", f"sound-{challenge}")
    finally:
        os.chdir(here)
    return place


@pytest.mark.parametrize("recipe", TemporalRecipe.names())
def test_a_recipe_on_faces_and_sound_is_trained_predicted_and_scored(
    place: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    monkeypatch.chdir(place)
    challenge = challenge_named(TemporalRecipe.load(recipe).challenge)
    sets = ("--features", "a", "--features", f"sound-{challenge.name}")
    fine("train", "--recipe", recipe, *sets, "--data", "data", "--run", recipe, "--workers", "0", *SHORT)
    assert "0 errors, 0 warnings" in fine("predict", recipe, "--split", "test", "--data", "data", "--fps", "10")
    fine("predict", recipe, "--split", "val", "--data", "data", "--fps", "10")
    run = Run(Path("runs") / recipe)
    for track in scan("data", challenge=challenge).split("val"):
        stored = scores.read_track(run, "val", track.name)
        assert stored.seen_by is not None
        np.testing.assert_array_equal(stored.frame[stored.seen_by[:, 0]], track.frames)
        assert stored.seen_by[:, 1].any()
    assert "labelled frames" in fine("evaluate", recipe, "--split", "val", "--data", "data", "--fps", "10")
