"""harness inspect: runs, own submissions and foreign ones, as text and as pictures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.challenge import AU, EXPR, VA
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE, DataError
from harness.postprocess.chain import PostProcessing
from harness.report.tracks import of_run, of_submission
from harness.rows.predictions import RunPredictions
from harness.runs.store import Run
from harness.submission.build import build
from harness.submission.from_run import write_submission
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run

TRACK = "video0"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    return labelled_root(tmp_path / "root")


@pytest.fixture
def model(root: DataRoot) -> Run:
    return noisy_run(root, Path("runs/noisy"), 1.5)


@pytest.fixture
def submission(root: DataRoot, model: Run) -> Path:
    path = Path("submissions/noisy-val")
    write_submission(RunPredictions(model, "val", PostProcessing(), root), path, 5, None, {})
    return path


def test_a_run_shows_scores_labels_and_missing_faces(model: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("inspect", "noisy", TRACK) == EXIT_DONE
    printed = capsys.readouterr().out
    for word in ("predicted", "label", "wrong", "no face", "confidence", "split val", "N  Neutral"):
        assert word in printed
    assert printed.splitlines()[-1].startswith("next: ")
    assert "\x1b" not in printed  # no terminal, no colour


def test_the_submission_of_a_run_finds_its_scores_again(
    root: DataRoot, model: Run, submission: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = of_submission(submission, TRACK, root, None).timeline
    expected = of_run(model, TRACK, PostProcessing(), root, None).timeline
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.decoded, expected.decoded)
    assert harness("inspect", submission, TRACK) == EXIT_DONE
    assert "probabilities from the run noisy" in capsys.readouterr().out


def test_scores_that_changed_since_are_not_shown_as_the_submissions(root: DataRoot, submission: Path) -> None:
    noisy_run(root, Path("runs/noisy"), 1.5, splits=("val",))
    assert of_submission(submission, TRACK, root, None).timeline.probabilities is not None
    text = submission / "tracks" / f"{TRACK}.txt"
    lines = text.read_text().splitlines()
    lines[1] = str((int(lines[1]) + 1) % 8)
    text.write_text("\n".join(lines) + "\n")
    (submission / "predictions.txt").unlink()
    found = of_submission(submission, TRACK, root, None)
    assert found.timeline.probabilities is None
    assert found.timeline.decoded is not None
    assert found.timeline.decoded[0] == int(lines[1])
    assert any("has changed since" in note for note in found.notes)
    assert any("frames may be out of place" in note for note in found.notes)


def test_a_run_that_is_not_here_leaves_the_text_alone(root: DataRoot, submission: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    found = of_submission(submission, TRACK, root, None)
    assert found.timeline.probabilities is None
    assert found.timeline.labels is not None
    assert any("not here" in note for note in found.notes)


@pytest.mark.parametrize("form", ["folder of text files", "one track's file", "single file"])
def test_a_foreign_submission_needs_neither_run_nor_data(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    header, values = EXPR.header, [0, 0, 4, 4, 4, 7]
    if form == "single file":
        path = tmp_path / "predictions.txt"
        rows = [f"{name}/{k:05d}.jpg,{value}" for name in ("a", "b") for k, value in enumerate(values, 1)]
        path.write_text("\n".join([f"image_location,{header}", *rows]) + "\n")
    else:
        (tmp_path / "theirs").mkdir()
        for name in ("a", "b"):
            (tmp_path / "theirs" / f"{name}.txt").write_text("\n".join([header, *map(str, values)]) + "\n")
        path = tmp_path / "theirs" / ("a.txt" if form == "one track's file" else "")
    assert harness("inspect", path, "a") == EXIT_DONE
    printed = capsys.readouterr().out
    assert re.search(r"^predicted +NNHHHO$", printed, re.MULTILINE)
    assert "confidence" not in printed
    assert harness("inspect", path, "a", "--out", "picture.svg") == EXIT_DONE
    assert ElementTree.fromstring(Path("picture.svg").read_bytes()).tag.endswith("svg")


def test_foreign_text_gets_labels_and_missing_faces_from_the_data(root: DataRoot, tmp_path: Path) -> None:
    track = next(one for one in root.tracks if one.name == TRACK)
    text = tmp_path / f"{TRACK}.txt"
    text.write_text("\n".join([EXPR.header, *["4"] * track.rows]) + "\n")
    found = of_submission(text, TRACK, root, None).timeline
    assert found.imputed is not None
    assert set((np.flatnonzero(~found.imputed) + 1).tolist()) == set(track.frames.tolist())
    np.testing.assert_array_equal(found.labels, track.labels)
    text.write_text("\n".join([EXPR.header, *["4"] * (track.rows - 1)]) + "\n")
    shorter = of_submission(text, TRACK, root, None)
    assert shorter.timeline.labels is None
    assert any("rows of this track" in note for note in shorter.notes)


def test_values_stand_at_their_frames_in_whatever_order_the_text_has_them(root: DataRoot, tmp_path: Path) -> None:
    path = tmp_path / "theirs_predictions.txt"
    rows = [f"a/{frame:05d}.jpg,{label}" for frame, label in ((6, 1), (2, 4), (3, 7))]
    path.write_text("\n".join([f"image_location,{EXPR.header}", *rows]) + "\n")
    found = of_submission(path, "a", None, None)
    assert found.timeline.decoded is not None
    assert found.timeline.decoded.tolist() == [-1, 4, 7, -1, -1, 1]
    assert any("3 of the frames 1 to 6" in note for note in found.notes)
    path.write_text(path.read_text().replace("00006", "999999999"))
    with pytest.raises(DataError, match="too long to be shown"):
        of_submission(path, "a", None, None)


def test_other_challenges_are_drawn_by_the_kind_of_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    build("au", [("a", generator.integers(0, 2, (30, 12)).astype(np.int8))], AU, 5, None, {})
    build("va", [("a", np.sin(np.arange(60.0).reshape(30, 2) / 9))], VA, 5, None, {})
    for path, words in (("au", ("AU1 ", "AU26")), ("va", ("valence", "arousal"))):
        assert harness("inspect", path, "a") == EXIT_DONE
        printed = capsys.readouterr().out
        assert all(word in printed for word in words)
        assert harness("inspect", path, "a", "--out", f"{path}.png") == EXIT_DONE
        assert Path(f"{path}.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_whole_and_the_same_each_time(model: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for suffix in ("svg", "png"):
        assert harness("inspect", "noisy", TRACK, "--out", f"one.{suffix}") == EXIT_DONE
        assert harness("inspect", "noisy", TRACK, "--out", f"two.{suffix}") == EXIT_DONE
        assert Path(f"one.{suffix}").read_bytes() == Path(f"two.{suffix}").read_bytes()
    assert str(Path.cwd()).encode() not in Path("one.svg").read_bytes()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["noisy", "video00"], EXIT_DATA, "did you mean 'video0'"),
        (["nosy", TRACK], EXIT_DATA, "noisy"),
        (["noisy", TRACK, "--out", "picture.gif"], EXIT_USAGE, ".png or .svg"),
        (["noisy", TRACK, "--data", "nowhere"], EXIT_DATA, "nowhere"),
        (["noisy", TRACK, "--kernel", "man"], EXIT_USAGE, "mean"),
        (["notes.md", TRACK], EXIT_DATA, "not a submission"),
        (["empty", "a"], EXIT_DATA, "no row of the track"),
    ],
)
def test_faults_are_named_in_a_few_lines(
    model: Run, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("notes.md").write_text("# what we tried\n")
    Path("empty").mkdir()
    Path("empty/a.txt").write_text(f"{EXPR.header}\n")
    assert harness("inspect", *arguments) == code
    assert words in capsys.readouterr().err


def test_text_needs_no_drawing_and_pictures_name_what_they_need(
    model: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("matplotlib", "jinja2", "torch"):
        monkeypatch.setitem(sys.modules, package, None)
    assert harness("inspect", "noisy", TRACK) == EXIT_DONE
    assert harness("inspect", "noisy", TRACK, "--out", "picture.png") == EXIT_DATA
    assert "abaw-harness[report]" in capsys.readouterr().err
    assert not Path("picture.png").exists()


def test_hostile_file_names_move_no_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = "x\x1b]0;owned\x07\u202ey"
    (tmp_path / hostile).mkdir()
    (tmp_path / hostile / f"{hostile}.txt").write_text(f"{EXPR.header}\n0\n1\n")
    assert harness("inspect", hostile, hostile) == EXIT_DONE
    assert harness("inspect", hostile, "absent\x1b[2J") == EXIT_DATA
    printed = capsys.readouterr()
    error = "".join(line for line in printed.err.splitlines() if "known:" in line)  # the path stands there as the user wrote it
    assert "owned" in error
    assert not [c for c in printed.out + error if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_any_width_and_locale_will_do(locale: str, model: Run) -> None:
    environment = {**os.environ, "LC_ALL": locale, "COLUMNS": "0", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "harness", "inspect", "noisy", TRACK]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode("utf-8")
    assert printed.isascii() == (locale == "C")
    assert "predicted" in printed
