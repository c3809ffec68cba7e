"""harness best: submissions made of all runs, the commands that make them again, and what is refused."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness import files
from harness.data.scan import scan
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.runs import scores
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from harness.selection.history import past_choices
from harness.words import number
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs that err in different ways."""
    place = tmp_path_factory.mktemp("best")
    root = labelled_root(place / "root", recordings=16, rate=None)
    noisy_run(root, place / "runs" / "one", 2.0, seed=1, confused=[(1, 7)], splits=("val", "test"))
    noisy_run(root, place / "runs" / "two", 2.5, seed=2, confused=[(4, 0)], splits=("val", "test"))
    noisy_run(root, place / "runs" / "three", 4.0, seed=3, splits=("val", "test"))
    noisy_run(root, place / "runs" / "unfinished", 1.0, seed=4, splits=("val",))
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_two_choices_at_once_do_not_write_into_one_another(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files.lock(here / "runs" / ".best.lock", "it"):
        assert harness("best") == EXIT_DATA
    assert "is being written by another process" in capsys.readouterr().err
    assert not list(here.glob("runs/best-*"))


def test_the_commands_that_are_printed_write_the_same_submissions(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("best", "--json", "--most", "3") == EXIT_DONE
    choices = json.loads(capsys.readouterr().out)["submissions"]
    assert 2 <= len(choices) <= 3
    assert "unfinished" not in str(choices)
    written = {choice["name"]: _text(here, choice["name"]) for choice in choices}
    picked = {choice["name"]: _picked(here, choice["name"]) for choice in choices}
    # Which run is the best, and which is the worst, the labels said.
    assert set(picked.values()) == {True, False}
    assert all(is_picked for name, is_picked in picked.items() if name.startswith("best-single"))
    for choice in choices:
        (here / "submissions" / choice["name"] / "predictions.txt").unlink()
        for line in choice["commands"]:
            program, *arguments = shlex.split(line)
            assert program == "harness"
            assert harness(*arguments) == EXIT_DONE
        assert _text(here, choice["name"]) == written[choice["name"]]
        # What the labels picked is picked still, so that nobody calls its score on them a measurement.
        assert _picked(here, choice["name"]) == picked[choice["name"]]


def _picked(here: Path, name: str) -> bool:
    return f"the members of {name}" in past_choices(Run(here / "runs" / name), "val", {})


def test_labels_of_a_test_split_choose_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("ensemble", "one", "two", "--run", "chosen", "--chosen-on", "test") == EXIT_USAGE
    assert "test split" in capsys.readouterr().err
    assert not (here / "runs" / "chosen").exists()


def test_what_labels_of_one_split_chose_is_noted_beside_those_of_another(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = scan(here / "root")
    for seed, name in enumerate(("first", "second")):
        noisy_run(root, here / "runs" / name, 2.0, seed=seed, splits=("val", "test", "oof"))
    for split in ("val", "oof", "val"):
        assert harness("ensemble", "first", "second", "--run", "twice", "--chosen-on", split) == EXIT_DONE
    run = Run(here / "runs" / "twice")
    assert [past_choices(run, split, {}) for split in ("val", "oof")] == 2 * [["the members of twice"]]
    assert len(files.read_json(run.path / "chosen.json")) == 2
    capsys.readouterr()
    assert harness("ensemble", "first", "second", "--run", "chosen", "--chosen-on", "vall") == EXIT_USAGE
    said = capsys.readouterr().err
    assert "--chosen-on names no split of these runs: 'vall'" in said
    assert "'val'" in said
    assert not (here / "runs" / "chosen").exists()
    for name in ("first", "second", "twice"):
        shutil.rmtree(here / "runs" / name)


def _text(here: Path, name: str) -> bytes:
    return (here / "submissions" / name / "predictions.txt").read_bytes()


def test_what_is_not_chosen_leaves_nothing_behind(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("best", "--most", "1") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "expected" in printed
    assert "held-out [95 %]" in printed
    chosen = printed.splitlines()[-1].rsplit("/", 1)[1]
    assert sorted(entry.name for entry in (here / "runs").glob("best-*")) == [chosen]
    # Nor of an earlier choice, whose submission nobody could tell from those of this one.
    assert sorted(entry.name for entry in (here / "submissions").glob("best-*")) == [chosen]


def test_runs_that_saw_different_frames_are_refused_before_anything_is_made_or_replaced(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness("best", "three") == EXIT_DONE
    root = scan(here / "root", use_cache=False)
    other = noisy_run(root, here / "runs" / "strided", 2.0, seed=7, splits=("val", "test"))
    tracks = root.split("test")
    half = {track.name: TrackScores(track.frames[::2], np.zeros((len(track.frames[::2]), 8), np.float32)) for track in tracks}
    scores.write_split(other, "test", half, {track.name: (track.rows, track.rows_from) for track in tracks}, "logits", {})
    before = {path: files.sha256(path) for path in here.rglob("*") if path.is_file() and "best-" in str(path)}
    assert before
    try:
        for arguments in (("best", "one", "strided"), ("ensemble", "one", "strided", "--fit", "val", "--run", "fitted-of-two")):
            capsys.readouterr()
            assert harness(*arguments) == EXIT_DATA
            captured = capsys.readouterr()
            assert "--union" in captured.err
            assert captured.out == ""
        assert not (here / "runs" / "fitted-of-two").exists()
        assert {path: files.sha256(path) for path in here.rglob("*") if path.is_file() and "best-" in str(path)} == before
    finally:
        files.remove(other.path)


def test_a_single_run_is_offered_as_it_is_and_tuned(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("best", "three", "--json") == EXIT_DONE
    names = [choice["name"] for choice in json.loads(capsys.readouterr().out)["submissions"]]
    assert set(names) <= {"best-single", "best-single-tuned"}


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("--split", "test"), EXIT_USAGE, "test split"),
        (("--split", "train"), EXIT_DATA, "both train and test"),
        (("onee",), EXIT_DATA, "did you mean 'one'"),
        (("unfinished", "one"), EXIT_DATA, "test"),
    ],
)
def test_what_cannot_be_chosen_from_ends_with_one_message(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, part: str
) -> None:
    assert harness("best", *arguments) == code
    captured = capsys.readouterr().err
    assert part in captured
    assert "Traceback" not in captured


def test_runs_that_learned_from_the_split_are_left_out_by_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = scan(here / "root", use_cache=False)
    leaky = noisy_run(root, here / "runs" / "leaky", 0.1, seed=5, splits=("val", "test"))
    leaky.manifest_path.write_text(json.dumps({**leaky.manifest, "kind": "training", "data": {"splits": ["train", "val"]}}))
    try:
        assert harness("best", "leaky") == EXIT_DATA
        assert "every run learned from tracks of val" in capsys.readouterr().err
        assert harness("best", "leaky", "three", "--json") == EXIT_DONE
        captured = capsys.readouterr()
        assert "left out: leaky, because leaky learned from tracks of val" in captured.err
        assert "leaky" not in captured.out
        assert harness("tune", "leaky") == EXIT_USAGE
        assert harness("ensemble", "leaky", "three", "--fit", "val") == EXIT_USAGE
    finally:
        files.remove(leaky.path)


def test_a_run_of_the_user_is_never_taken_for_one_of_the_candidates(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = noisy_run(scan(here / "root", use_cache=False), here / "runs" / "best-mean", 2.0, seed=6, splits=("val", "test"))
    try:
        for arguments in (("best-mean", "three"), ("one", "three")):
            assert harness("best", *arguments) == EXIT_USAGE
            assert "best-mean" in capsys.readouterr().err
            assert own.manifest["kind"] == "imported"
            assert own.splits() == ("val", "test")
    finally:
        files.remove(own.path)


def cross_validated(here: Path, name: str, noise: float, seed: int) -> Path:
    """A run with out-of-fold scores, as `harness crossval` leaves it."""
    root = scan(here / "root", use_cache=False)
    run = noisy_run(root, here / "runs" / name, noise, seed=seed, splits=("oof", "test"))
    run.manifest_path.write_text(
        json.dumps({**run.manifest, "kind": "crossval", "members": [], "data": {"splits": ["train", "val"]}})
    )
    return run.path


def test_scores_out_of_fold_are_what_is_chosen_by_where_they_are_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [cross_validated(here, f"cv-{seed}", 2.5, 20 + seed) for seed in range(3)]
    try:
        assert harness("best", "--json", "--most", "1") == EXIT_DONE
        captured = capsys.readouterr()
        (chosen,) = json.loads(captured.out)["submissions"]
        assert (chosen["expectation"]["split"], chosen["expectation"]["recordings"]) == ("oof", 16)
        assert "cv-0, cv-1, cv-2" in captured.err
        assert harness("best", "cv-0", "cv-1", "--most", "1") == EXIT_DONE
        printed = capsys.readouterr().out
        assert "judged out of fold, by all 16 labelled recordings" in printed
        folder = printed.splitlines()[-1].removeprefix("next: harness pack ")
        assert harness("pack", folder, "--data", str(here / "root")) == EXIT_DONE
        packed = capsys.readouterr().out
        expected = json.loads((here / "runs" / Path(folder).name / "expectation.json").read_text())["expected"]["score"]["value"]
        assert f"expected macro-F1 {number(expected)}" in packed
        # Where more runs are judged by val alone, it is that; it is said where there is more to judge by.
        assert harness("best", "one", "two", "three", "--most", "1", "--json") == EXIT_DONE
        (chosen,) = json.loads(capsys.readouterr().out)["submissions"]
        assert (chosen["expectation"]["split"], chosen["expectation"]["recordings"]) == ("val", 8)
        assert harness("best", "--split", "val", "--most", "1") == EXIT_DONE
        assert "by the 8 recordings of val; `harness crossval` and --split oof judge by all" in capsys.readouterr().out
    finally:
        for path in paths:
            files.remove(path)
