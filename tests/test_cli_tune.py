"""harness tune: what is printed, stored, used afterwards and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.runs.scores import index_digest
from harness.runs.store import Run
from harness.selection.stored import stored_settings
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data root and a noisy run."""
    place = tmp_path_factory.mktemp("tune")
    noisy_run(labelled_root(place / "root", recordings=16), place / "runs" / "noisy", 3.0)
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_the_choice_is_printed_stored_and_used(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("evaluate", "noisy", "--json", "--smooth", "0") == EXIT_DONE
    before = json.loads(capsys.readouterr().out)["all_labelled"]["macro_f1"]["value"]
    assert harness("tune", "noisy") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "smoothing" in printed
    assert "held-out gain" in printed
    assert "optimism" in printed
    assert printed.splitlines()[-1].startswith("next: harness evaluate noisy --split val")
    stored = json.loads((here / "runs" / "noisy" / "tuned.json").read_text())
    assert stored["split"] == "val"
    assert harness("evaluate", "noisy", "--json") == EXIT_DONE
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert value["postprocessing"] == stored["postprocessing"]
    assert value["all_labelled"]["macro_f1"]["value"] > before + 0.1
    assert value["expectation"]["chosen_without_the_recording"] == ["the post-processing of noisy"]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("noisy", "--split", "test"), EXIT_USAGE, "test split"),
        (("noisy", "--split", "train"), EXIT_DATA, "no complete scores of split 'train'"),
        (("noisy", "--fps", "-1"), EXIT_USAGE, "positive"),
        (("noisy", "--fps", "many"), EXIT_USAGE, "positive"),
        (("noisier",), EXIT_DATA, "did you mean 'noisy'"),
    ],
)
def test_what_cannot_be_tuned_ends_with_one_message(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, part: str
) -> None:
    assert harness("tune", *arguments) == code
    captured = capsys.readouterr().err
    assert part in captured
    assert "Traceback" not in captured


def tuned_evaluation(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert harness("evaluate", *arguments, "--json") == EXIT_DONE
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_the_frame_rate_it_was_tuned_with_is_used_afterwards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = labelled_root(tmp_path / "rateless", recordings=16, rate=None)
    noisy_run(root, Path("runs/rateless"), 3.0, splits=("val", "test"))
    assert harness("tune", "rateless", "--fps", "30") == EXIT_DONE
    stored = json.loads(Path("runs/rateless/tuned.json").read_text())
    assert stored["frame_rate"] == 30.0
    assert stored["postprocessing"]["viterbi"] or stored["postprocessing"]["seconds"] > 0
    tuned = tuned_evaluation(capsys, "rateless")["all_labelled"]["macro_f1"]["value"]
    assert tuned == tuned_evaluation(capsys, "rateless", "--fps", "30")["all_labelled"]["macro_f1"]["value"]
    assert harness("predict", "rateless", "--from-scores") == EXIT_DONE
    assert "no smoothing" not in capsys.readouterr().err
    assert json.loads(Path("submissions/rateless/submission.json").read_text())["frame_rate"] == 30.0


def test_a_decoder_that_cannot_be_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = labelled_root(tmp_path / "root", recordings=4, rate=None)
    noisy_run(root, Path("runs/sequences"), 3.0, splits=("val", "test"))
    rates = [[0.0 if row == column else 0.1 for column in range(8)] for row in range(8)]
    settings = {"seconds": 0.0, "viterbi": {"rates": rates, "minimum_seconds": 0.0, "evidence": 0.1}}
    Path("runs/sequences/tuned.json").write_text(json.dumps({"postprocessing": settings, "split": "oof"}))
    for arguments in (("predict", "sequences", "--from-scores"), ("evaluate", "sequences")):
        assert harness(*arguments) == EXIT_DONE
        assert "nor Viterbi decoding: the frame rates are unknown" in capsys.readouterr().err


def test_what_was_tuned_can_be_left_aside(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"postprocessing": {"seconds": 0.0, "bias": [9.0] + [0.0] * 7}, "split": "val"}
    noisy_run(labelled_root(here / "another", recordings=4), here / "runs" / "biased", 1.0)
    (here / "runs" / "biased" / "tuned.json").write_text(json.dumps({**content, "inside": 0.1, "outside": {"value": 0.1}}))
    assert tuned_evaluation(capsys, "biased")["postprocessing"]["bias"][0] == 9.0
    plain = tuned_evaluation(capsys, "biased", "--untuned")
    assert (plain["postprocessing"]["bias"], plain["postprocessing"]["seconds"]) == ([], 1.67)
    assert tuned_evaluation(capsys, "biased", "--untuned", "--smooth", "0.5")["postprocessing"]["seconds"] == 0.5


@pytest.mark.parametrize("content", ["[]", "{}", '{"postprocessing": 3}'])
def test_damaged_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    noisy_run(labelled_root(tmp_path / "root", recordings=4), tmp_path / "damaged", 1.0)
    (tmp_path / "damaged" / "tuned.json").write_text(content)
    assert harness("evaluate", tmp_path / "damaged") == EXIT_DATA
    assert "tuned.json" in capsys.readouterr().err


def test_settings_are_stale_once_the_scores_are_others_than_they_were_tuned_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=8)
    runs = [noisy_run(root, Path("runs") / name, 3.0, seed) for seed, name in enumerate("ab")]
    assert harness("tune", "a", "b") == EXIT_DONE
    assert harness("ensemble", "a", "b", "--run", "both") == EXIT_DONE
    assert harness("tune", "both") == EXIT_DONE
    tuned = [*runs, Run(Path("runs/both"))]
    for one in tuned:
        assert json.loads((one.path / "tuned.json").read_text())["scores"] == index_digest(one, "val")
    assert not any(stored_settings(one).stale for one in tuned)
    other = noisy_run(root, Path("elsewhere/b"), 3.0, seed=7)
    shutil.rmtree(runs[1].path / "scores")
    shutil.copytree(other.path / "scores", runs[1].path / "scores")
    assert [stored_settings(one).stale for one in tuned] == [False, True, False]
    assert not stored_settings(runs[1], untuned=True).stale
    content = json.loads((runs[1].path / "tuned.json").read_text())
    del content["scores"]
    (runs[1].path / "tuned.json").write_text(json.dumps(content))
    assert not stored_settings(runs[1]).stale


def test_a_fit_is_stale_if_the_ensemble_is_of_other_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=8)
    for seed, name in enumerate("ab"):
        noisy_run(root, Path("runs") / name, 3.0, seed)
    assert harness("ensemble", "a", "b", "--run", "both", "--fit", "val") == EXIT_DONE
    both = Run(Path("runs/both"))
    tuned = json.loads((both.path / "tuned.json").read_text())
    assert tuned["scores"] == {member["run"]: member["scores"]["val"] for member in both.manifest["members"]}
    assert not stored_settings(both).stale
    (both.path / "tuned.json").write_text(json.dumps({**tuned, "scores": {**tuned["scores"], "a": "others"}}))
    assert stored_settings(both).stale


@pytest.mark.parametrize("command", [("evaluate", "other"), ("predict", "other", "--from-scores")])
def test_settings_that_were_tuned_on_other_scores_are_warned_of(
    tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    noisy_run(labelled_root(tmp_path / "root", recordings=4), Path("runs/other"), 3.0, splits=("val", "test"))
    content = {"postprocessing": {}, "split": "val", "inside": 0.0, "outside": {"value": 0.0}, "scores": "others"}
    Path("runs/other/tuned.json").write_text(json.dumps(content))
    warning = "warning: the post-processing was tuned on other scores than these; `harness tune other` again"
    assert harness(*command) == EXIT_DONE
    assert capsys.readouterr().err.count(warning) == 1
    assert harness(*command, "--untuned") == EXIT_DONE
    assert warning not in capsys.readouterr().err
