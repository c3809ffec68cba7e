"""harness tune, submission, ensemble --fit and best on runs of values, units and all three tasks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import challenge_named
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.errors import EXIT_DONE, EXIT_USAGE
from harness.kinds.parts import parts_of
from harness.runs.store import Run
from harness.selection.stored import stored_settings
from tests.command_line import harness
from tests.simulated_challenges import run_of, seen


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All challenges in one root."""
    place = tmp_path_factory.mktemp("choices") / "root"
    return write_drawn_root(place, tracks=(1, 6, 2), rows=40, other_challenges=True)


@pytest.fixture
def name(request: pytest.FixtureRequest, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A challenge, and a working folder with two runs of it."""
    monkeypatch.chdir(tmp_path)
    for module, constant in (("part_settings", "GAUSSIAN_SECONDS"), ("part_settings", "MEDIAN_SECONDS"), ("tune", "STRIDES")):
        monkeypatch.setattr(f"harness.selection.{module}.{constant}", ())
    monkeypatch.setattr("harness.selection.part_settings.MEAN_SECONDS", (0.0, 0.33))
    root = scan(data, challenge=challenge_named(request.param))
    for seed, noise in enumerate((1.0, 2.0)):
        run_of(root, Path("runs") / "ab"[seed], seen(noise), seed, ("val", "test"))
    return str(request.param)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert harness(*arguments) == EXIT_DONE
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["MTL"], indirect=True)
def test_what_is_tuned_is_stored_and_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stored = json.loads(printed(capsys, "tune", "a", "--json"))
    assert stored["postprocessing"] == stored_settings(Run(Path("runs/a"))).values
    out = printed(capsys, "predict", "a", "--from-scores")
    record = json.loads(Path("submissions/a/submission.json").read_text())
    assert record["postprocessing"] == stored["postprocessing"]
    assert "next: harness pack submissions/a" in out
    first = parts_of(challenge_named(name)).names[0]
    printed(
        capsys,
        "predict",
        "a",
        "--from-scores",
        "--untuned",
        "--smooth",
        f"{first}=0.5",
        "--kernel",
        "gaussian",
        "--out",
        "submissions/other",
    )
    written = json.loads(Path("submissions/other/submission.json").read_text())["postprocessing"]
    assert written["seconds"] == [0.5, 1.67, 1.67, 1.67]
    assert written["kernel"] == "gaussian"
    assert harness("predict", "a", "--from-scores", "--smooth", "joy=1") == EXIT_USAGE
    assert first in capsys.readouterr().err
    assert harness("predict", "a", "--from-scores", "--smooth", "much") == EXIT_USAGE


@pytest.mark.parametrize("name", ["VA"], indirect=True)
def test_runs_are_averaged_fitted_and_the_best_is_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    fitted = printed(capsys, "ensemble", "a", "b", "--fit", "val", "--run", "both", "--untuned")
    assert "plain mean" in fitted
    weights = np.array(json.loads(Path("runs/both/tuned.json").read_text())["mixture"]["weights"])
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-5)
    chosen = json.loads(printed(capsys, "best", "a", "b", "--json", "--most", "2"))["submissions"]
    assert {choice["name"] for choice in chosen} < {path.name for path in Path("submissions").iterdir()}
    assert chosen[0]["low"] <= chosen[0]["expected"] <= chosen[0]["high"]
