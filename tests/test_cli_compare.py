"""harness compare: verdicts in words, the correction for several runs, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from harness.evaluation.compare import holm
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import RunPredictions
from harness.submission.build import build
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root", recordings=40)
    noisy_run(root, tmp_path / "runs" / "good", 1.0, seed=1)
    noisy_run(root, tmp_path / "runs" / "as-good", 1.0, seed=2)
    noisy_run(root, tmp_path / "runs" / "bad", 3.0, seed=3, confused=[(1, 7)])
    return root


def test_a_worse_run_is_called_worse_and_an_equal_one_is_not(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "as-good", "bad", "--smooth", "0") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "no evidence that as-good is" in printed
    assert "bad is worse than good" in printed
    assert "corrected for 2 comparisons" in printed
    assert printed.splitlines()[-1] == "next: harness ensemble good as-good bad"


def test_several_comparisons_are_corrected(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "as-good", "bad", "--json") == EXIT_DONE
    others = json.loads(capsys.readouterr().out)["others"]
    expected = holm([other["comparison"]["p_value"] for other in others])
    assert [other["p_value"] for other in others] == pytest.approx(expected.tolist())


def test_a_class_that_the_labels_hardly_have_gets_no_p_value(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "bad", "--json") == EXIT_DONE
    p_values = json.loads(capsys.readouterr().out)["others"][0]["comparison"]["class_p_value"]
    assert [p_value is None for p_value in p_values] == [False, False, True, True, False, True, True, False]


def test_a_submission_is_no_better_than_the_run_it_was_written_from(
    root: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.runs import store

    predictions = RunPredictions(store.find("good"), "val", PostProcessing(), root)
    build(tmp_path / "sent", [(one.track, one.classes) for one in predictions], EXPR, 5, None, {})
    assert harness("compare", "good", "sent", "--data", root.path, "--json") == EXIT_DONE
    other = json.loads(capsys.readouterr().out)["others"][0]
    assert (other["comparison"]["difference"], other["p_value"]) == (0.0, 1.0)
    assert harness("compare", "good", "sent", "--data", root.path) == EXIT_DONE
    assert "harness ensemble" not in capsys.readouterr().out


def test_a_run_is_not_compared_with_itself(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("compare", "good", "good") == EXIT_USAGE
    assert "compared with itself" in capsys.readouterr().err


def test_runs_on_other_labels_are_not_compared(root: DataRoot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = labelled_root(tmp_path / "elsewhere", recordings=40, seed=9)
    noisy_run(elsewhere, tmp_path / "runs" / "stranger", 1.0)
    assert harness("compare", "good", "stranger") == EXIT_DATA
    captured = capsys.readouterr().err
    assert "other tracks or labels" in captured
    assert "--data" in captured


def test_the_seed_decides_the_swaps(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    values = []
    for seed in ("1", "1", "2"):
        assert harness("compare", "good", "as-good", "--seed", seed, "--json") == EXIT_DONE
        values.append(json.loads(capsys.readouterr().out)["others"][0]["p_value"])
    assert values[0] == values[1]
    assert values[0] == pytest.approx(values[2], abs=4 * np.sqrt(0.25 / 10_000))
