"""harness tune: what is printed, stored, used afterwards and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main
from harness.errors import EXIT_DATA, EXIT_DONE, EXIT_USAGE
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


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    return int(caught.value.code or 0)


def test_the_choice_is_printed_stored_and_used(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "noisy", "--json", "--smooth", "0") == EXIT_DONE
    before = json.loads(capsys.readouterr().out)["all_labelled"]["macro_f1"]["value"]
    assert run("tune", "noisy") == EXIT_DONE
    printed = capsys.readouterr().out
    assert "smoothing" in printed
    assert "gain outside" in printed
    assert "flatters by" in printed
    assert printed.splitlines()[-1].startswith("next: harness predict noisy")
    stored = json.loads((here / "runs" / "noisy" / "tuned.json").read_text())
    assert stored["split"] == "val"
    assert run("evaluate", "noisy", "--json") == EXIT_DONE
    captured = capsys.readouterr()
    value = json.loads(captured.out)
    assert value["postprocessing"] == stored["postprocessing"]
    assert value["all_labelled"]["macro_f1"]["value"] > before + 0.1
    assert "was chosen on this split" in captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("noisy", "--split", "test"), EXIT_USAGE, "test split"),
        (("noisy", "--split", "train"), EXIT_DATA, "harness predict noisy --split train"),
        (("noisier",), EXIT_DATA, "did you mean 'noisy'"),
    ],
)
def test_what_cannot_be_tuned_ends_with_one_message(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, part: str
) -> None:
    assert run("tune", *arguments) == code
    captured = capsys.readouterr().err
    assert part in captured
    assert "Traceback" not in captured
