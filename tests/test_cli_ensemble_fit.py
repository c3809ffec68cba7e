"""harness ensemble --fit: weights from labels, the bias beside the new run, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import EXIT_DONE, EXIT_USAGE
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=16, rate=None)
    noisy_run(root, tmp_path / "runs" / "good", 2.0, seed=1, splits=("val", "test"))
    noisy_run(root, tmp_path / "runs" / "bad", 30.0, seed=2, splits=("val", "test"))
    return tmp_path


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    return int(caught.value.code or 0)


def test_the_fitted_ensemble_is_written_reported_and_submitted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ensemble", "good", "bad", "--run", "both", "--fit", "val") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "plain mean" in printed
    assert "gain outside" in printed
    members = json.loads((here / "runs" / "both" / "run.json").read_text())["members"]
    assert members[0]["weight"] > members[1]["weight"]
    tuned = json.loads((here / "runs" / "both" / "tuned.json").read_text())
    assert tuned["split"] == "val"
    assert (here / "submissions" / "both" / "predictions.txt").is_file()
    assert run("evaluate", "both") == EXIT_DONE
    assert "outside the choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--fit", "test"), "test split"),
        (("--fit", "val", "--weights", "1,2"), "either given or fitted"),
        (("--fit", "vall"), "did you mean 'val'"),
    ],
)
def test_a_fit_that_makes_no_sense_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], part: str
) -> None:
    assert run("ensemble", "good", "bad", *arguments) == EXIT_USAGE
    assert part in capsys.readouterr().err
    assert not (here / "runs" / "good+bad").exists()
