"""Sweeps: every training once and on a device of its own, failures told, and no setting chosen by the top line of a table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from harness import starter
from harness.challenge import EXPR, MACRO_F1
from harness.data.scan import scan
from harness.errors import EXIT_TERMINATED, DataError
from harness.evaluation.intervals import jackknife, score_interval
from harness.kinds.f1 import class_f1
from harness.kinds.parts import parts_of
from harness.selection.scorer import ValidationSet
from harness.selection.sweeping import compare_settings
from harness.selection.yardstick import Yardstick
from harness.studies import sweep as sweeps
from harness.studies.sweep import SweepOutcome, devices, planned
from harness.training import signals
from harness.training.signals import StopRequest

CLASSES = len(EXPR.class_names)
MEASURE = Yardstick(parts_of(EXPR), MACRO_F1, (True,) * CLASSES)


def test_a_training_is_told_which_sweep_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "started by $HARNESS_STARTED_BY"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    process = sweeps._Process([], {})
    assert (process.exit_code, process.last_words) == (0, f"started by {os.getpid()}")


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize("who", ["sweep", "launcher"])
def test_a_training_whose_starter_was_killed_saves_and_ends(monkeypatch: pytest.MonkeyPatch, who: str, gone: bool) -> None:
    asked: list[int] = []
    monkeypatch.setattr(starter, "ask_for_a_signal_at_its_end", asked.append)
    # Whoever lost what started it belongs to another process from then on.
    if who == "sweep":
        monkeypatch.setenv("HARNESS_STARTED_BY", str(os.getppid() + gone))
    else:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
        monkeypatch.setattr(starter, "FIRST_PARENT", os.getppid() + gone)
    with signals.stop_request() as stop:
        assert stop.exit_code == (EXIT_TERMINATED if gone else None)
    assert asked == [signal.SIGTERM]


def test_who_started_the_program_is_noted_before_a_verb_is_imported() -> None:
    program = "import sys, harness.cli; print([name for name in sys.modules if name in ('harness.starter', 'harness.commands')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "['harness.starter']\n"


def recordings(root: Path) -> ValidationSet:
    return ValidationSet("val", scan(root))


def answers(validation: ValidationSet, accuracy: float, seed: int) -> NDArray:
    """Confusion matrices (R, C * C) of answers that are right with this probability, else any class."""
    random = np.random.default_rng(seed)
    counts = np.zeros((len(validation.recordings), CLASSES, CLASSES), dtype=np.int64)
    for matrix in counts:
        labels = random.integers(CLASSES, size=60)
        given = np.where(random.random(60) < accuracy, labels, random.integers(CLASSES, size=60))
        np.add.at(matrix, (labels, given), 1)
    return counts.reshape(len(counts), -1)


def macro_f1(counts: NDArray) -> float:
    """By scikit-learn, of frames made of the matrices again."""
    cells = [
        (label, given)
        for (label, given), count in np.ndenumerate(counts.sum(axis=0).reshape(CLASSES, CLASSES))
        for _ in range(count)
    ]
    labels, given = zip(*cells, strict=True)
    return float(f1_score(labels, given, average="macro"))


def test_a_table_holds_the_mean_over_seeds_the_best_first(drawn_root: Path) -> None:
    validation = recordings(drawn_root)
    counts = {
        "bad": [answers(validation, 0.2, seed) for seed in range(3)],
        "good": [answers(validation, 0.8, seed) for seed in range(3)],
    }
    found = compare_settings(counts, validation, MEASURE)
    assert [one.setting for one in found.scores] == ["good", "bad"]
    for one in found.scores:
        expected = [macro_f1(seed) for seed in counts[one.setting]]
        assert one.seeds == pytest.approx(expected)
        assert one.mean == pytest.approx(np.mean(expected))
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.mean < one.high
    assert (found.top, found.chosen) == ("good", "good")
    assert found.held_out == pytest.approx(found.top_mean)


def test_one_seed_has_the_interval_of_its_recordings_and_seeds_that_differ_a_wider_one(drawn_root: Path) -> None:
    validation = recordings(drawn_root)
    one = answers(validation, 0.5, 0)
    (alone,) = compare_settings({"a": [one]}, validation, MEASURE).scores
    usual = score_interval(jackknife(one.reshape(-1, CLASSES, CLASSES), lambda counts: class_f1(counts).mean(axis=-1)))
    assert (alone.low, alone.high) == pytest.approx((float(usual.low), float(usual.high)))
    (same,) = compare_settings({"a": [one, one]}, validation, MEASURE).scores
    assert (same.low, same.high) == pytest.approx((alone.low, alone.high))
    (differing,) = compare_settings({"a": [one, answers(validation, 0.9, 1)]}, validation, MEASURE).scores
    assert None not in (differing.low, differing.high, same.low, same.high)
    assert np.subtract(differing.high, differing.low) > 1.5 * np.subtract(same.high, same.low)  # type: ignore[arg-type]


def test_the_interval_over_seeds_has_the_freedom_of_both_by_satterthwaite(drawn_root: Path) -> None:
    validation = recordings(drawn_root)
    counts = [answers(validation, accuracy, seed) for seed, accuracy in enumerate((0.3, 0.5, 0.7))]
    (found,) = compare_settings({"a": counts}, validation, MEASURE).scores
    count, score = len(validation.recordings), np.mean([macro_f1(one) for one in counts])
    without = np.array([np.mean([macro_f1(np.delete(one, r, axis=0)) for one in counts]) for r in range(count)])
    deviations = without - without.mean()
    of_recordings = (count - 1) / count * float((deviations**2).sum())
    rests_on = float((deviations**2).sum() ** 2 / (deviations**4).sum())
    of_seeds = float(np.var([macro_f1(one) for one in counts], ddof=1)) / 3
    freedom = (of_recordings + of_seeds) ** 2 / (of_recordings**2 / max(rests_on, 1.0) + of_seeds**2 / 2)
    corrected = count * score - (count - 1) * without.mean()
    # Student's interval on the logit scale, on which an error e of a score s is e / (s (1 - s)).
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(of_recordings + of_seeds) / (corrected * (1 - corrected))
    ends = scipy.special.expit(scipy.special.logit(corrected) + np.array([-half, half]))
    assert (found.low, found.high) == pytest.approx(ends.tolist(), abs=1e-6)


def test_the_best_of_many_alike_is_not_chosen_and_judged_lower_than_its_line(drawn_root: Path) -> None:
    validation = recordings(drawn_root)
    flattered = []
    for repeat in range(5):
        counts = {f"s{number}": [answers(validation, 0.4, 100 * repeat + number)] for number in range(12)}
        found = compare_settings(counts, validation, MEASURE)
        flattered.append(found.top_mean - found.held_out)
    assert np.mean(flattered) > 0


def test_settings_of_other_seeds_are_not_compared(drawn_root: Path) -> None:
    validation = recordings(drawn_root)
    one = answers(validation, 0.5, 0)
    with pytest.raises(DataError, match="the same seeds"):
        compare_settings({"a": [one], "b": [one, one]}, validation, MEASURE)


def test_a_run_keeps_its_name_when_settings_are_added() -> None:
    first = planned("s", [["batch=64", "head=pooled"]], [0, 1], ["--data", "d"], None)
    more = planned("s", [[], ["head=pooled", "batch=64"]], [1], ["--data", "d"], "folds.json")
    assert [one.run for one in first if one.seed == 1] == [one.run for one in more if one.setting != sweeps.PLAIN]
    assert first[0].arguments[:1] == ("train",)
    assert more[0].arguments[:3] == ("crossval", "--folds", "folds.json")
    assert first[1].arguments[-8:] == ("--set", "batch=64", "--set", "head=pooled", "--seed", "1", "--run", first[1].run)
    assert len({one.run for one in (*first, *more)}) == 3


def test_each_visible_device_has_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert devices() == [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "7"}]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert devices() == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices() == [{}]


class Standing:
    """Stands for a process: it lives for two looks; those of seed 1 fail."""

    alive: ClassVar[list[str]] = []
    most: ClassVar[int] = 0
    stopped: ClassVar[int] = 0

    def __init__(self, arguments: Sequence[str], place: Mapping[str, str]) -> None:
        self.place, self.looks, self.seed = place["CUDA_VISIBLE_DEVICES"], 0, arguments[arguments.index("--seed") + 1]
        assert self.place not in Standing.alive
        Standing.alive.append(self.place)
        Standing.most = max(Standing.most, len(Standing.alive))

    @property
    def ended(self) -> bool:
        self.looks += 1
        if self.looks == 2:
            Standing.alive.remove(self.place)
        return self.looks >= 2

    @property
    def exit_code(self) -> int:
        return 3 if self.seed == "1" else 0

    last_words = "harness: no such file"

    def stop(self) -> None:
        Standing.stopped += 1


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> type[Standing]:
    Standing.alive, Standing.most, Standing.stopped = [], 0, 0
    monkeypatch.setattr(sweeps, "_Process", Standing)
    monkeypatch.setattr(sweeps, "PAUSE", 0)
    return Standing


PLACES = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def test_devices_are_never_shared_and_a_failure_stops_nothing(standing: type[Standing]) -> None:
    runs, outcome = planned("s", [[], ["batch=64"]], [0, 1, 2], [], None), SweepOutcome()
    lines: list[str] = []
    sweeps._train_all(runs, PLACES, outcome, StopRequest(), lines.append)
    assert standing.most == 2
    assert sum("failed" not in line for line in lines) == 6
    assert set(outcome.failed) == {one.run for one in runs if one.seed == 1}
    assert set(outcome.failed.values()) == {"harness: no such file"}


def test_a_signal_lets_those_that_run_save_and_begins_no_more(standing: type[Standing]) -> None:
    runs, outcome, stop = planned("s", [[]], [0, 2, 3, 4], [], None), SweepOutcome(), StopRequest()
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            stop.exit_code = 143

    sweeps._train_all(runs, PLACES, outcome, stop, say)
    assert len(lines) == 2
    assert standing.stopped == 2
    assert outcome.failed == {}


@pytest.mark.slow
def test_a_sweep_trains_scores_compares_and_resumes(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    changes = {**tiny, "iterations": "2", "evaluate_every": "2", "checkpoint_every": "2"}
    shared = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    settings = ["--setting", "", "--setting", "learning_rate=0.01 flip=0", "--setting", "backbone=res81", "--seeds", "0"]
    command = [
        "sweep",
        "--recipe",
        "res18",
        "--from-scratch",
        "--data",
        str(drawn_root),
        "--workers",
        "0",
        "--run",
        "s",
        *shared,
        *settings,
    ]

    def call() -> subprocess.CompletedProcess[str]:
        place = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-m", "harness", *command], cwd=tmp_path, env=place, capture_output=True, text=True
        )

    done = call()
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    stored = json.loads((tmp_path / "runs" / "s.json").read_text())
    assert len(stored["failed"]) == 1
    assert all("res81" in reason for reason in stored["failed"].values())
    assert len(stored["compared"]["scores"]) == 2
    assert "chosen: " in done.stdout
    noted = list((tmp_path / "runs").glob("*/chosen.json"))
    assert len(noted) == 1
    assert json.loads(noted[0].read_text()) == [{"what": "recipe", "split": "val", "among": 2}]
    again = call()
    assert again.stdout == done.stdout
