"""Verbs that read crops and sound, or expressions alone, on a data root whose annotations are all of valence and arousal."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness import files
from harness.challenge import AU, VA
from harness.data.scan import challenges_held, scan
from harness.demo.drawn import write_drawn_root
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.runs import scores
from harness.runs.scores import FEATURES
from harness.runs.store import Run
from tests.command_line import harness
from tests.films import write_film
from tests.small_pretraining import SMALL


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root `data` in the working folder, with a test list of its own."""
    monkeypatch.chdir(tmp_path)
    root = write_drawn_root("data", tracks=(2, 2, 1), rows=16, other_challenges=True)
    for path in [*(root / "5th_ABAW_Annotations").iterdir(), *root.glob("names_of*/*"), *root.glob("prediction_files*/*")]:
        if "VA" not in path.name.split("_") and "Valence" not in path.name:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert challenges_held(root) == {"VA"}
    return Path("data")


def test_sound_is_heard_for_its_tracks(root: Path) -> None:
    Path("films").mkdir()
    sound = np.zeros(16_000, np.int16)
    for recording in {track.recording for track in scan(root, challenge=VA).tracks}:
        write_film(Path("films") / f"{recording}.mkv", (np.arange(19) / 10).tolist(), [sound], rate=8_000, layout="mono")
    assert harness("audio", "data", "--videos", "films", "--split", "val") == EXIT_DONE
    run = Run(Path("runs") / "audio-logmel")
    assert run.manifest["challenge"] == "VA"
    assert list(scores.read_index(run, "val", FEATURES).tracks) == [track.name for track in scan(root, challenge=VA).split("val")]


def test_its_crops_are_packed(root: Path) -> None:
    assert harness("doctor", "data", "--pack") == EXIT_DONE
    tracks = scan(root, challenge=VA).tracks
    assert [track.packed is not None for track in tracks] == [len(track.frames) > 0 for track in tracks]


def test_crops_are_packed_for_all_challenges_that_a_root_holds(tmp_path: Path) -> None:
    root = write_drawn_root(tmp_path / "all", tracks=(2, 1, 1), rows=16, other_challenges=True)
    alone = next((root / "5th_ABAW_Annotations" / "EXPR_Classification_Challenge" / "Train_Set").glob("*.txt"))
    alone.unlink()
    assert harness("doctor", root, "--pack") == EXIT_DONE
    (track,) = [track for track in scan(root, challenge=AU).tracks if track.name == alone.stem]
    assert track.packed is not None


def test_a_backbone_is_pre_trained_on_its_crops(root: Path) -> None:
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    assert harness("pretrain", "--method", "simclr", "--data", "data", "--run", "p", "--workers", "0", *settings) == EXIT_DONE
    images = sum(len(track.frames) for track in scan(root, challenge=VA).split("train"))
    assert files.read_json(Path("runs") / "p" / "run.json")["data"]["images"] == images


@pytest.mark.parametrize(
    "words",
    [
        ("probe", "random", "--backbone", "torchvision:shufflenet_v2_x0_5", "--image-size", "32", "--data", "data"),
        ("table1", "--data", "data", "--from-scratch", "--row", "res18", "--iterations", "1"),
    ],
)
def test_what_is_about_expressions_says_so(root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert harness(*words, "--workers", "0") == EXIT_DATA
    message = capsys.readouterr().err
    assert f"`harness {words[0]}` is about expressions" in message
    assert "annotations of VA" in message
    assert not Path("runs").exists()


def test_no_system_of_the_table_takes_another_challenge(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("table1", "--data", "data", "--set", "res18.challenge=VA", "--row", "res18") == EXIT_USAGE
    assert "expressions alone" in capsys.readouterr().err
