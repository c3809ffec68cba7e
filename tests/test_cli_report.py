"""harness report: one file for one run or several, with or without labels, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from tests.command_line import harness
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    root = labelled_root(tmp_path / "root")
    noisy_run(root, Path("runs/good"), 1.5, splits=("val", "test"))
    noisy_run(root, Path("runs/poor"), 2.5, seed=1)
    return root


def test_several_runs_become_one_page(root: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("report", "good", "poor", "--timelines", "1") == EXIT_DONE
    page = Path("reports/good+poor-val.html").read_text()
    assert "Comparison with" in page
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("report: reports/good+poor-val.html (0.")
    assert lines[-1].startswith("next: ")
    assert harness("report", "good", "poor", "--timelines", "1", "--out", "again.html") == EXIT_DONE
    assert Path("again.html").read_text() == page


def test_labels_of_a_test_split_may_lie_elsewhere(root: DataRoot) -> None:
    assert harness("report", "good", "--split", "test", "--timelines", "1", "--out", "without.html") == EXIT_DONE
    Path("labels").mkdir()
    rows = root.split("test")[0].rows
    Path("labels/video99.txt").write_text(f"{EXPR.header}\n" + "0\n" * rows)
    assert (
        harness("report", "good", "--split", "test", "--timelines", "1", "--labels", "labels", "--out", "with.html") == EXIT_DONE
    )
    assert 'id="scores"' not in Path("without.html").read_text()
    assert 'id="scores"' in Path("with.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], EXIT_USAGE, "RUN"),
        (["god"], EXIT_DATA, "did you mean 'good'"),
        (["good", "--split", "train"], EXIT_DATA, "harness predict good --split train"),
        (["good", "--kernel", "man"], EXIT_USAGE, "mean"),
        (["good", "--edition", "9"], EXIT_USAGE, "9th"),
        (["good", "--timelines", "0"], EXIT_USAGE, "timelines"),
        (["good", "--out", "root/cropped_aligned"], EXIT_DATA, "cannot write"),
    ],
)
def test_faults_are_named_in_a_few_lines(
    root: DataRoot, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert harness("report", *arguments) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_package_is_named_with_its_extra(
    root: DataRoot, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert harness("report", "good") == EXIT_DATA
    error = capsys.readouterr().err
    assert repr(package) in error
    assert "abaw-harness[report]" in error
    assert not Path("reports").exists()
