"""Trackers of Accelerate beside a training: what they are told, and that a run never depends on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate import tracking

from harness.cli import main
from harness.data.scan import scan
from harness.errors import UsageError
from harness.recipes import recipe as recipes
from harness.runs.store import Run
from harness.training import metrics
from harness.training.start import train
from tests.interruption import result
from tests.simulated_features import TINY_TEMPORAL, feature_run
from tests.simulated_runs import labelled_root


class Told(tracking.GeneralTracker):  # type: ignore[misc]
    """Remembers what it is told; told to fail in one of its methods, it does."""

    name = "tensorboard"
    requires_logging_directory = True
    fails_in = ""
    error: BaseException = RuntimeError("the server is gone\nand more")
    made: ClassVar[list[Told]] = []

    def __init__(self, run_name: str, logging_dir: str) -> None:
        super().__init__()
        self.run_name, self.logging_dir = run_name, logging_dir
        self.settings: dict[str, Any] = {}
        self.lines: list[tuple[int | None, dict[str, Any]]] = []
        self.finished = False
        self._maybe_fail("init")
        Told.made.append(self)

    @property
    def tracker(self) -> Told:
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._maybe_fail("settings")
        self.settings = values

    def log(self, values: dict[str, Any], step: int | None, **kwargs: Any) -> None:
        if len(self.lines) >= 3:
            self._maybe_fail("log")
        self.lines.append((step, values))

    def finish(self) -> None:
        self._maybe_fail("finish")
        self.finished = True

    def _maybe_fail(self, method: str) -> None:
        if self.fails_in == method:
            raise self.error


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> type[Told]:
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "tensorboard", Told)
    monkeypatch.setattr(tracking, "_available_trackers", ["tensorboard"])
    monkeypatch.setattr(Told, "made", [])
    return Told


Train = Callable[..., tuple[Run, list[str]]]


@pytest.fixture
def train_tiny(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> Train:
    def call(name: str, *trackers: str) -> tuple[Run, list[str]]:
        lines: list[str] = []
        place = tmp_path / "runs" / name
        train(
            recipes.load("res18", tiny),
            scan(drawn_root),
            place,
            fresh=False,
            workers=0,
            from_scratch=True,
            say=lines.append,
            trackers=trackers,
        )
        return Run(place), [line for line in lines if "tracker" in line]

    return call


def test_a_tracker_is_told_the_settings_and_what_is_noted_and_changes_no_byte(train_tiny: Train, told: type[Told]) -> None:
    plain, _ = train_tiny("plain")
    tracked, warnings = train_tiny("tracked", "tensorboard")
    assert warnings == []
    assert result(tracked) == result(plain)
    (tracker,) = told.made
    assert tracker.finished
    assert (tracker.run_name, tracker.logging_dir) == ("tracked", str(tracked.path / "trackers"))
    assert (tracker.settings["image_size"], tracker.settings["batch"], tracker.settings["iterations"]) == (32, 8, 12)
    assert all(isinstance(value, int | float | str | bool) for value in tracker.settings.values())
    noted = [{"step": step, **values} for step, values in tracker.lines if "images_per_second" not in values]
    assert noted == metrics.read(tracked)
    assert any("macro_f1" in line for line in noted)


@pytest.mark.parametrize("method", ["init", "settings", "log", "finish"])
@pytest.mark.parametrize("error", [RuntimeError("the server is gone\nand more"), SystemExit("the server is gone")])
def test_a_tracker_that_breaks_gives_one_warning_and_training_goes_on(
    train_tiny: Train, told: type[Told], monkeypatch: pytest.MonkeyPatch, method: str, error: BaseException
) -> None:
    monkeypatch.setattr(told, "fails_in", method)
    monkeypatch.setattr(told, "error", error)
    run, warnings = train_tiny("tracked", "tensorboard")
    assert len(warnings) == 1
    assert "the tracker tensorboard was given up" in warnings[0]
    assert "the server is gone" in warnings[0]
    assert "\n" not in warnings[0]
    assert [line["step"] for line in metrics.read(run) if "loss" in line] == list(range(1, 13))


def test_a_missing_package_is_one_line(train_tiny: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_available_trackers", [])
    run, warnings = train_tiny("tracked", "wandb")
    assert len(warnings) == 1
    assert "pip install wandb" in warnings[0]
    assert len(metrics.read(run)) >= 12


def test_an_unknown_tracker_is_refused_before_anything_is_made(train_tiny: Train, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tensorboard"):
        train_tiny("tracked", "tensorbord")
    assert not (tmp_path / "runs").exists()


def test_the_option_reaches_the_training(
    told: type[Told], tiny: dict[str, str], drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = [part for key, value in {**tiny, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    common = ["--recipe", "res18", "--from-scratch", "--workers", "0", "--data", str(drawn_root), *changes]
    with pytest.raises(SystemExit) as caught:
        main(["train", *common, "--run", "told", "--tracker", "tensorboard"])
    assert (caught.value.code or 0) == 0
    assert [tracker.run_name for tracker in told.made] == ["told"]


def test_the_option_reaches_a_training_on_features(told: type[Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    feature_run(labelled_root(tmp_path / "data", recordings=8), tmp_path)
    changes = [part for key, value in {**TINY_TEMPORAL, "iterations": "2"}.items() for part in ("--set", f"{key}={value}")]
    with pytest.raises(SystemExit) as caught:
        main(["train", "--features", "f", "--workers", "0", *changes, "--run", "told", "--tracker", "tensorboard"])
    assert (caught.value.code or 0) == 0
    assert [tracker.run_name for tracker in told.made] == ["told"]
