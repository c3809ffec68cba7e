"""harness folds: the table, the stored file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.demo.drawn import write_drawn_root
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
from tests.command_line import harness
from tests.data_roots import Made, make_root

TRACKS = [Made(f"v{k}", "train" if k % 3 else "val", [k % 8] * 5, [1, 2]) for k in range(12)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_root(tmp_path / "root", TRACKS)


def test_folds_are_stored_and_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("folds", "--data", root, "--folds", "3") == EXIT_DONE
    stored = json.loads(Path("folds.json").read_text())
    assert stored["folds"] == 3
    assert sorted(stored["recordings"]) == sorted(track.name for track in TRACKS)
    printed = capsys.readouterr().out
    assert "recordings" in printed
    assert "folds.json" in printed.splitlines()[-1]


def test_a_root_of_several_challenges_is_asked_about_and_each_has_folds_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_drawn_root(tmp_path / "root", tracks=(4, 2, 1), rows=30, other_challenges=True)
    assert harness("folds", "--data", root, "--folds", "2") == EXIT_USAGE
    said = capsys.readouterr().err
    assert "holds AU, EXPR, MTL and VA" in said
    assert "--challenge AU or EXPR or MTL or VA" in said
    assert not Path("folds.json").exists()
    assert harness("folds", "--data", root, "--folds", "2", "--challenge", "fear") == EXIT_USAGE
    shown = {"VA": "arousal 0.6 to 1", "AU": "AU26", "MTL": "Surprise"}
    for challenge, stratum in shown.items():
        assert harness("folds", "--data", root, "--folds", "2", "--challenge", challenge.lower(), "--fresh") == EXIT_DONE
        printed = capsys.readouterr().out
        assert f"\n{stratum} " in printed
        assert ("valence -1 to -0.6" in printed) == (challenge != "AU")


def test_the_only_challenge_of_a_root_is_meant_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "root" / "VA_Estimation_Challenge" / "Train_Set"
    place.mkdir(parents=True)
    for name in "abc":
        (place / f"{name}.txt").write_text("valence,arousal\n0.5,-0.1\n-5,-5\n")
    assert harness("folds", "--data", "root", "--folds", "3") == EXIT_DONE
    assert "valence 0.2 to 0.6" in capsys.readouterr().out


def test_the_same_folds_again_are_no_change_and_others_need_fresh(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness("folds", "--data", root, "--folds", "3") == EXIT_DONE
    before = Path("folds.json").read_bytes()
    assert harness("folds", "--data", root, "--folds", "3") == EXIT_DONE
    assert harness("folds", "--data", root, "--folds", "4") == EXIT_DATA
    assert "--fresh" in capsys.readouterr().err
    assert Path("folds.json").read_bytes() == before
    assert harness("folds", "--data", root, "--folds", "4", "--fresh") == EXIT_DONE
    assert Path("folds.json").read_bytes() != before


def test_a_teams_own_folds_are_checked_and_stored(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.csv").write_text("recording,fold\n" + "".join(f"v{k},{1 + k % 2}\n" for k in range(12)))
    assert harness("folds", "--data", root, "--from", "own.csv", "--json") == EXIT_DONE
    table = json.loads(capsys.readouterr().out)
    assert [row["recordings"] for row in table["folds"]] == [6, 6]
    assert json.loads(Path("folds.json").read_text())["recordings"]["v1"] == 1


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--folds", "1"], EXIT_USAGE), (["--folds", "13"], EXIT_DATA), (["--from", "no.csv"], EXIT_DATA)]
)
def test_what_cannot_be_done_ends_with_its_exit_code(root: Path, arguments: list[str], code: int) -> None:
    assert harness("folds", "--data", root, *arguments) == code
    assert not Path("folds.json").exists()
