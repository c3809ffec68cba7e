"""A named pipe where a file should be may never begin: every command refuses it by its name and waits for nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import numpy as np
import pytest

from harness.data.scan import scan
from harness.errors import EXIT_DATA
from tests.command_line import harness
from tests.pipes import silent_pipe
from tests.test_faults_hostile import TRAINS_OFTEN, attempt, path_parameters

SAID = "it is a pipe or a device, not a file"


@pytest.fixture
def here(drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that knows a data root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("weights.pth", ["weights"], []),
        ("weights.pth", ["train", "--recipe", "res18", "--weights"], []),
        ("features.npz", ["import"], ["--features"]),
        ("features.npy", ["import"], ["--features"]),
        ("features.h5", ["import"], ["--features"]),
        ("film.mp4", ["crop"], []),
        ("faces.csv", ["train", "--recipe", "lite0", "--extra"], []),
        ("table.csv", ["folds", "--from"], []),
        ("folds.json", ["crossval", "--recipe", "lite0", "--folds"], []),
    ],
)
def test_a_pipe_in_the_place_of_a_named_file_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, before: list[str], after: list[str]
) -> None:
    with silent_pipe(here / name):
        assert harness(*before, name, *after) == EXIT_DATA
    assert f"{name}: cannot read: {SAID}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scores.npz", "scores.npy", "scores.csv", "scores.parquet"])
def test_scores_of_an_outside_file_are_read_from_a_file_alone(here: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    with silent_pipe(here / name):
        assert harness("import", name) == EXIT_DATA
    told = capsys.readouterr().err
    assert f"{name}: not a file" in told
    assert "expected: an npz, npy, CSV or Parquet file" in told
    assert not Path("runs").exists()


def test_a_pipe_among_the_arrays_of_a_folder_is_named(here: Path, drawn_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("audio").mkdir()
    track = scan(drawn_root).tracks[0]
    np.save(f"audio/{track.name}.npy", np.zeros((track.rows, 4), np.float32))
    with silent_pipe(here / "audio" / "video1.npy"):
        assert harness("import", "audio", "--features") == EXIT_DATA
    assert f"audio/video1.npy: cannot read: {SAID}" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_pipe_among_the_films_is_not_heard_and_shows_no_frame(
    here: Path, drawn_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("films").mkdir()
    name = f"{scan(drawn_root).tracks[0].recording}.mp4"
    with silent_pipe(here / "films" / name):
        assert harness("audio", drawn_root, "--videos", "films") == EXIT_DATA
        assert f"films/{name}: cannot read: {SAID}" in capsys.readouterr().err
        harness("doctor", drawn_root, "--no-images", "--videos", "films")
        assert SAID in capsys.readouterr().out


def test_a_pipe_among_the_files_of_a_speech_encoder_is_named(
    here: Path, drawn_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    Path("encoder").mkdir()
    Path("films").mkdir()
    Path("films/any.mp4").write_bytes(b"")
    Path("encoder/config.json").write_text('{"model_type": "wav2vec2"}')
    with silent_pipe(here / "encoder" / "model.safetensors"):
        assert harness("audio", drawn_root, "--videos", "films", "--features", "hf:encoder") == EXIT_DATA
    assert f"encoder/model.safetensors: cannot read: {SAID}" in capsys.readouterr().err


def test_a_pipe_in_the_place_of_packed_crops_is_named(here: Path, drawn_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(drawn_root, "data", copy_function=shutil.copy2)
    assert harness("doctor", "data", "--no-images", "--pack") == 0
    packed = sorted(Path("data").rglob("*.crops"))[0]
    packed.unlink()
    with silent_pipe(packed):
        capsys.readouterr()
        assert harness("doctor", "data", "--no-images", "--pack", "--verify") == EXIT_DATA
    assert f"{packed.name}: cannot" in (told := capsys.readouterr().err)
    assert SAID in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "parameter"),
    [found for found in path_parameters() if found[0] not in (*TRAINS_OFTEN, "rehearse")],  # which trains without weights, too
    ids=lambda part: str(getattr(part, "name", part)),
)
def test_no_path_of_any_verb_is_waited_for(
    here: Path, trained: Path, drawn_root: Path, verb: str, parameter: click.Parameter
) -> None:
    shutil.copytree(trained / "runs", here / "runs")
    (here / "hostile.mp4").write_bytes(b"no film")
    with silent_pipe(here / "hostile.dat") as pipe:
        harness(*attempt(verb, parameter, drawn_root))
        assert pipe.is_fifo()
