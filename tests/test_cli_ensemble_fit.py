"""harness ensemble --fit: weights from labels, the bias beside the new run, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import files
from harness.data.scan import scan
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE, DataError
from harness.runs import store
from harness.runs.store import Run
from harness.selection import ensemble as selection
from harness.selection.history import EXPECTATION
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=16, rate=None)
    noisy_run(root, tmp_path / "runs" / "good", 2.0, seed=1, splits=("val", "test"))
    noisy_run(root, tmp_path / "runs" / "bad", 30.0, seed=2, splits=("val", "test"))
    return tmp_path


def test_the_fitted_ensemble_is_written_reported_and_submitted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("ensemble", "good", "bad", "--run", "both", "--fit", "val") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "plain mean" in printed
    assert "held-out gain" in printed
    members = json.loads((here / "runs" / "both" / "run.json").read_text())["members"]
    assert members[0]["weight"] > members[1]["weight"]
    tuned = json.loads((here / "runs" / "both" / "tuned.json").read_text())
    assert tuned["split"] == "val"
    assert (here / "submissions" / "both" / "predictions.txt").is_file()
    assert harness("evaluate", "both") == EXIT_DONE
    assert "each recording is judged without its part in the weights and temperatures of both" in capsys.readouterr().out


def test_a_fitted_ensemble_appears_with_its_fit_or_not_at_all(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.write_json

    def full(path: Path, value: object) -> None:
        if Path(path).name == EXPECTATION:
            raise DataError("no room to write", path=path)
        write(path, value)

    monkeypatch.setattr(files, "write_json", full)
    assert harness("ensemble", "good", "bad", "--run", "both", "--fit", "val") == EXIT_DATA
    assert sorted(path.name for path in (here / "runs").iterdir()) == ["bad", "good"]
    assert not (here / "submissions").exists()


def test_a_training_that_took_the_place_while_an_ensemble_was_fitted_is_not_thrown_away(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = selection.comparable

    def slow(*arguments: Any) -> Any:
        store.open_or_create(here / "runs" / "both", {"kind": "training", "class_names": []})
        return known(*arguments)

    monkeypatch.setattr(selection, "comparable", slow)
    assert harness("ensemble", "good", "bad", "--run", "both", "--fresh") == EXIT_USAGE
    assert "never thrown away" in capsys.readouterr().err
    assert Run(here / "runs" / "both").manifest["kind"] == "training"


def stored(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((Path("runs") / name / "tuned.json").read_text())
    return value


def test_post_processing_that_is_asked_for_is_fitted_with_and_kept(here: Path) -> None:
    noisy = [noisy_run(scan(here / "root", use_cache=False), here / "runs" / name, 4.0, seed=k) for k, name in enumerate("cd")]
    assert len(noisy) == 2
    options = ("--fit", "val", "--fps", "30", "--fill", "nearest")
    assert harness("ensemble", "c", "d", "--run", "smooth", *options, "--smooth", "0.2", "--kernel", "gaussian") == EXIT_DONE
    assert harness("ensemble", "c", "d", "--run", "rough", *options, "--smooth", "0") == EXIT_DONE
    smooth, rough = stored("smooth"), stored("rough")
    assert (smooth["postprocessing"]["seconds"], smooth["postprocessing"]["kernel"]) == (0.2, "gaussian")
    assert (rough["postprocessing"]["seconds"], rough["postprocessing"]["fill"]) == (0.0, "nearest")
    assert (smooth["frame_rate"], rough["frame_rate"]) == (30.0, 30.0)
    assert smooth["plain_mean"] > rough["plain_mean"] + 0.05


def test_what_was_tuned_for_the_members_is_taken_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, settings in {"good": {"temperature": 2.0, "seconds": 0.5}, "bad": {"seconds": 0.8, "kernel": "gaussian"}}.items():
        content = {"postprocessing": settings, "split": "val", "frame_rate": 25.0, "inside": 0.0, "outside": {"value": 0.0}}
        (here / "runs" / name / "tuned.json").write_text(json.dumps(content))
    assert harness("ensemble", "good", "bad", "--run", "both") == EXIT_DONE
    said = capsys.readouterr().err
    assert "using the settings tuned for good, bad" in said
    assert "warning: " not in said
    manifest = json.loads((here / "runs" / "both" / "run.json").read_text())
    assert [member["temperature"] for member in manifest["members"]] == [2.0, 1.0]
    assert manifest["postprocessing"] == {"seconds": 0.5}
    record = json.loads((here / "submissions" / "both" / "submission.json").read_text())
    assert (record["postprocessing"]["seconds"], record["frame_rate"]) == (0.5, 25.0)
    assert harness("ensemble", "good", "bad", "--run", "plain", "--untuned") == EXIT_DONE
    manifest = json.loads((here / "runs" / "plain" / "run.json").read_text())
    assert [member["temperature"] for member in manifest["members"]] == [1.0, 1.0]
    assert "postprocessing" not in manifest
    assert harness("ensemble", "good", "bad", "--run", "fitted", "--fit", "val", "--no-bias") == EXIT_DONE
    assert "so the expected score is optimistic" in capsys.readouterr().err
    assert stored("fitted")["postprocessing"]["seconds"] == 0.5


def test_a_fitted_ensemble_is_packed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("ensemble", "good", "bad", "--run", "both", "--fit", "val") == EXIT_DONE
    capsys.readouterr()
    assert harness("pack", "submissions/both") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "expected score: measured on recordings of the validation split that had no part" in printed
    assert (here / "submissions" / "both.zip").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--fit", "test"), "test split"),
        (("--fit", "val", "--weights", "1,2"), "either given or fitted"),
        (("--fit", "val", "--temperature", "2"), "either given or fitted"),
        (("--fit", "val", "--fps", "-1"), "positive"),
        (("--fit", "val", "--run", "good", "--fresh"), "run it is made of"),
        (("--fit", "vall"), "did you mean 'val'"),
    ],
)
def test_a_fit_that_makes_no_sense_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], part: str
) -> None:
    assert harness("ensemble", "good", "bad", *arguments) == EXIT_USAGE
    assert part in capsys.readouterr().err
    assert not (here / "runs" / "good+bad").exists()


def test_what_comes_after_tuning_an_ensemble_is_to_write_its_submission(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("ensemble", "good", "bad", "--run", "both") == EXIT_DONE
    assert harness("tune", "both") == EXIT_DONE
    assert capsys.readouterr().out.splitlines()[-1] == "next: harness predict both --from-scores"
    assert harness("predict", "both", "--from-scores") == EXIT_DONE
