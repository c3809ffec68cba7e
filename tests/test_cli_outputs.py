"""Where a command is to write is looked at before it works, and what lies there is never taken for something to replace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.data import scan as scanning
from harness.errors import EXIT_DATA, EXIT_DONE


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the run `a`, its submission, and a file where folders are wanted."""
    shutil.copytree(trained / "runs", tmp_path / "runs")
    (tmp_path / "file").write_bytes(b"kept")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        "predict a --out {out}",
        "predict a --video clip.mp4 --out {out}",
        "predict a --from-scores --out {out}",
        "ensemble a a --run b --out {out}",
        "report a --split val --out {out}.html",
        "inspect a video1 --out {out}.png",
        "probe random --backbone res18 --out {out}.json",
        "weights x.pth --convert {out}.safetensors",
        "folds --output {out}.json",
        "rehearse --keep {out}",
        "demo-data --out {out}",
        "crop clip.mp4 --out {out}",
        "pack runs --out {out}.zip",
        "pack runs --ledger {out}.csv",
    ],
)
@pytest.mark.parametrize("out", ["file/sub", "/proc/nowhere/sub"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(
    here: Path, drawn_root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: str, out: str
) -> None:
    def too_early(*_: Any, **__: Any) -> None:
        raise AssertionError("the data was scanned before the place to write was looked at")

    monkeypatch.setattr(scanning, "scan", too_early)
    (here / "clip.mp4").write_bytes(b"no video")
    before = snapshot(here)
    given = arguments.replace("{out}", out).split()
    if given[0] in ("predict", "ensemble", "report", "inspect", "probe", "folds", "rehearse"):
        given += ["--data", str(drawn_root)]
    assert run(given) == EXIT_DATA
    printed = capfd.readouterr().err
    assert "cannot write here" in printed
    assert out in printed
    assert snapshot(here) == before


def test_a_folder_that_is_no_submission_is_not_replaced_by_one(
    here: Path, drawn_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "thesis.tex").write_text("years of work")
    for _ in range(2):
        assert run(["predict", "a", "--from-scores", "--data", str(drawn_root), "--out", "mine"]) == EXIT_DATA
        assert "something else is here already" in capfd.readouterr().err
    assert (here / "mine" / "thesis.tex").read_text() == "years of work"
    for _ in range(2):  # an older submission is replaced
        assert run(["predict", "a", "--from-scores", "--data", str(drawn_root), "--out", "new"]) == EXIT_DONE


def test_a_folder_in_the_place_of_a_file_is_refused(here: Path, drawn_root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["folds", "--data", str(drawn_root), "--output", "runs"]) == EXIT_DATA
    assert "there is a folder" in capfd.readouterr().err
