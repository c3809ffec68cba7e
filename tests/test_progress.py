"""How far a long command is, where no terminal shows a bar: a line now and then, in every verb that may take long."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import progress
from harness.cli import harness
from harness.progress import TaskProgress, tracked
from tests.films import write_film


def test_a_line_says_how_far_at_what_pace_and_how_long_it_will_take() -> None:
    with TaskProgress("predict test", 9000, "frame") as task:
        task.update(1200)
        assert task.line(20.0) == "predict test: 1,200 of 9,000 frames, 60 per second, 0:02:10 left"
    with TaskProgress("crop", unit="film") as task:
        task.update(2, "clip.mp4")
        assert task.line(60.0) == "crop: 2 films, 30 s each, clip.mp4"


def test_a_line_comes_at_a_steady_pace_and_never_of_what_is_soon_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("harness.progress.time.monotonic", lambda: now)
    for _ in tracked(range(100), "slow", 100):
        now += 1.0
    told = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert told == [30, 60, 90]
    assert list(tracked("abc", "quick", 3)) == ["a", "b", "c"]
    monkeypatch.setenv("RANK", "1")
    for _ in tracked(range(100), "another process", 100):
        now += 1.0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("predict a --split val --workers 0 --batch 4", r"predict val: [\d,]+ of [\d,]+ frames"),
        ("features a --split val --workers 0 --batch 4", r"features val: [\d,]+ of [\d,]+ frames"),
        ("doctor {data} --no-decode", r"[\d,]+ of [\d,]+ tracks"),
        ("tune a", r"tune a: [\d,]+ steps"),
        ("audio {data} --videos films", r"audio: [\d,]+ of [\d,]+ tracks"),
    ],
)
def test_a_verb_that_may_take_long_says_how_far_it_is(
    trained: Path, drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, says: str
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setenv("HARNESS_DATA", str(drawn_root))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "runs", "runs")
    shutil.rmtree("runs/a/scores/test")
    if command.startswith("predict"):
        shutil.rmtree("runs/a/scores/val")
    if "films" in command:
        Path("films").mkdir()
        write_film(Path("films/video1.mkv"), [frame / 30 for frame in range(12)])
    result = CliRunner().invoke(harness, command.replace("{data}", str(drawn_root)).split())
    assert re.search(says, result.stderr), result.output
