"""The dress rehearsal: what it writes, what it measures, what it says is missing, and that a slow recipe is cut short."""

from __future__ import annotations

import ctypes
import json
import mmap
import multiprocessing
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import f1_score

import harness.studies.rehearsal
import harness.training.loop
from harness.cli import harness as command_line
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import UsageError
from harness.recipes import recipe as recipes
from harness.runs.store import Run
from harness.studies import memory
from harness.studies.expectations import Expectations, describe
from harness.studies.rehearsal import rehearse
from harness.submission.checks import check
from harness.submission.expected import from_sample

RUN = "demo-rehearsal"


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal that took place: where, what it found, and what it said meanwhile."""

    place: Path
    found: Expectations
    said: list[str]


def hold(root: DataRoot, place: Path, tiny: dict[str, str], iterations: int = 3, **changes: str) -> Rehearsed:
    said: list[str] = []
    recipe = recipes.load("res18", {**tiny, **changes})
    found = rehearse(recipe, root, place, iterations=iterations, edition=5, from_scratch=False, workers=0, say=said.append)
    return Rehearsed(place, found, said)


@pytest.fixture(scope="module")
def rehearsed(drawn_root: Path, tmp_path_factory: pytest.TempPathFactory, tiny: dict[str, str]) -> Rehearsed:
    return hold(scan(drawn_root), tmp_path_factory.mktemp("rehearsal"), tiny)


def sample_of(root: Path) -> Path:
    return next(root.rglob("*_test_set_sample.txt"))


def test_the_full_size_file_has_every_row_of_the_sample_and_a_class_in_each(rehearsed: Rehearsed, drawn_root: Path) -> None:
    asked = [line.split(",")[0] for line in sample_of(drawn_root).read_text().splitlines()]
    written = [line.split(",") for line in (rehearsed.place / "submissions/test/predictions.txt").read_text().splitlines()]
    assert [cells[0] for cells in written] == asked
    assert {cells[1] for cells in written[1:]} <= set("01234567")
    assert rehearsed.found.rows == len(asked) - 1
    assert (rehearsed.found.errors, rehearsed.found.warnings) == (0, 0)
    findings = check(rehearsed.place / "submissions/test", from_sample(sample_of(drawn_root))).findings
    assert list(findings) == []


def test_the_two_shortest_test_tracks_with_faces_are_predicted_and_the_rows_of_the_others_filled(
    rehearsed: Rehearsed, drawn_root: Path
) -> None:
    tracks = scan(drawn_root).split("test")
    shortest = sorted((track for track in tracks if len(track.frames)), key=lambda track: track.rows)[:2]
    assert rehearsed.found.predicted == tuple(track.name for track in shortest)
    scored = {path.stem: len(np.load(path)["frame"]) for path in (rehearsed.place / "runs" / RUN / "scores/test").glob("*.npz")}
    assert scored == {track.name: len(track.frames) if track in shortest else 0 for track in tracks}
    assert rehearsed.found.imputed == sum(track.rows for track in tracks) - sum(len(track.frames) for track in shortest)


def test_the_text_of_the_validation_split_is_read_back_and_scored(rehearsed: Rehearsed, drawn_root: Path) -> None:
    answers, labels = [], []
    for track in scan(drawn_root).split("val"):
        text = (rehearsed.place / f"submissions/val/tracks/{track.name}.txt").read_text()
        assert track.labels is not None
        answers.append(np.array(text.split()[1:], int))
        labels.append(track.labels)
    known = np.concatenate(labels) >= 0
    expected = f1_score(np.concatenate(labels)[known], np.concatenate(answers)[known], labels=range(8), average="macro")
    assert rehearsed.found.validation_f1 == pytest.approx(expected)


def test_hours_and_disk_follow_from_what_was_measured(rehearsed: Rehearsed, drawn_root: Path, tiny: dict[str, str]) -> None:
    found = rehearsed.found
    timings = (rehearsed.place / "runs" / RUN / "timings.jsonl").read_text().splitlines()
    assert found.seconds_per_step == pytest.approx(8 / json.loads(timings[-1])["images_per_second"])
    assert (found.steps, found.iterations, found.validations) == (3, 12, 2)
    assert found.training_hours == pytest.approx(12 * found.seconds_per_step / 3600)
    root = scan(drawn_root)
    assert found.test_frames == sum(len(track.frames) for track in root.split("test"))
    assert found.frames_per_second is not None
    assert found.test_hours == pytest.approx(found.test_frames / found.frames_per_second / 3600)
    checkpoint = next((rehearsed.place / "runs" / RUN / "checkpoints").iterdir())
    assert found.checkpoint_bytes == sum(path.stat().st_size for path in checkpoint.rglob("*"))
    assert found.disk_bytes > 3 * found.checkpoint_bytes
    assert found.peak_memory > 50e6


def test_nothing_is_missing_but_a_gpu_and_the_crops_of_one_track(rehearsed: Rehearsed) -> None:
    subjects = [text.split(":")[0] for text in rehearsed.found.missing]
    assert subjects == (["crops"] if torch.cuda.is_available() else ["GPU", "crops"])
    assert not any("missing" in line for line in rehearsed.said)


def test_the_page_names_every_figure(rehearsed: Rehearsed) -> None:
    text = "\n".join(describe(rehearsed.found))
    for words in (
        f"{rehearsed.found.rows:,} rows written, validated with 0 errors and 0 warnings",
        f"{rehearsed.found.imputed:,} rows filled",
        "for 12 steps",
        "2 validations",
        "memory",
        "are free",
        "missing for the real thing",
        *rehearsed.found.predicted,
        *rehearsed.found.missing,
    ):
        assert words in text


def with_slow_steps(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A clock on which each look of the training, one at its start and one at its end, is so many seconds after the last."""
    looks = iter(range(10**6))
    monkeypatch.setattr(harness.training.loop, "time", SimpleNamespace(monotonic=lambda: next(looks) * seconds))


def test_a_slow_recipe_takes_only_the_steps_that_fit_into_the_time(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_slow_steps(monkeypatch, 40)
    held = hold(scan(drawn_root), tmp_path, tiny, iterations=20)
    assert [line for line in held.said if line.startswith("training") and "step" in line] == [
        "training 1 step of 8 images",
        "training 2 steps of 8 images",
    ]
    # Both together took the clock 40 s.
    assert held.found.steps == 2
    assert held.found.seconds_per_step == pytest.approx(20)
    assert held.found.training_hours == pytest.approx(12 * 20 / 3600)


@pytest.mark.slow
def test_of_a_very_slow_recipe_the_first_step_is_the_bound_and_few_frames_are_scored(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_slow_steps(monkeypatch, 64)
    root = scan(drawn_root)
    held = hold(root, tmp_path, tiny, iterations=20)
    assert [line for line in held.said if line.startswith("training") and "step" in line] == ["training 1 step of 8 images"]
    assert held.found.steps == 0
    assert held.found.seconds_per_step == pytest.approx(64)
    assert "an upper bound from the first step alone" in "\n".join(describe(held.found))
    # Ten frames fit into 40 s at twice an eighth of an image a second; every n-th frame of each chosen track is taken.
    for split, most in (("test", 12), ("val", 11)):
        scored = sum(len(np.load(path)["frame"]) for path in (tmp_path / "runs" / RUN / f"scores/{split}").glob("*.npz"))
        assert 0 < scored <= most
    assert held.found.rows == sum(track.rows for track in root.split("test"))
    assert held.found.errors == 0


def changed(root: DataRoot, change: Callable[[Any], Any]) -> DataRoot:
    """The root with each of its tracks changed, or left out where `change` gives None."""
    tracks = tuple(track for track in map(change, root.tracks) if track is not None)
    return replace(root, tracks=tracks)


NOTHING = np.zeros(0, np.int32)
MISSING: dict[str, tuple[Callable[[DataRoot], DataRoot], str]] = {
    "no training tracks": (
        lambda root: changed(root, lambda track: None if track.split == "train" else track),
        "train split: there are no tracks of it",
    ),
    "no test tracks": (
        lambda root: changed(root, lambda track: None if track.split == "test" else track),
        "test split: there are no tracks of it",
    ),
    "no crops": (
        lambda root: changed(root, lambda track: replace(track, frames=NOTHING) if track.split == "val" else track),
        "crops: 4 of 4 val tracks have no image: 10-30-640x360, video2_left, video2_right and 1 more",
    ),
    "no sample": (lambda root: replace(root, sample=None), "sample file: there is none of the test split"),
    "no frame rates": (
        lambda root: changed(root, lambda track: replace(track, frame_rate=None)),
        "frame rates: 4 of 4 test recordings have none and are not smoothed; `harness doctor",
    ),
    "no labels": (
        lambda root: changed(root, lambda track: replace(track, labels=None) if track.split == "val" else track),
        "labels: the validation split has none",
    ),
    "no validation split": (
        lambda root: changed(root, lambda track: None if track.split == "val" else track),
        "val split: there are no tracks of it",
    ),
    "only labels to ignore": (
        lambda root: changed(
            root,
            lambda track: replace(track, labels=np.full(track.rows, -1, np.int8)) if track.split == "val" else track,
        ),
        "labels: the validation split has none",
    ),
}


@pytest.mark.parametrize("fault", MISSING)
def test_what_the_data_lacks_is_said(drawn_root: Path, fault: str) -> None:
    change, words = MISSING[fault]
    whole = harness.studies.rehearsal._missing_data(scan(drawn_root))
    lacking = [text for text in harness.studies.rehearsal._missing_data(change(scan(drawn_root))) if text not in whole]
    assert len(lacking) == 1
    assert lacking[0].startswith(words)


@pytest.mark.slow
def test_missing_weights_splits_and_room_on_the_disk_are_said(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    root = scan(drawn_root)
    root = changed(root, lambda track: None if track.split in ("val", "test") else track)
    held = hold(root, tmp_path, tiny, iterations=2, weights=str(tmp_path / "absent.pth"))
    assert [text.split(":")[0] for text in held.found.missing if not text.startswith("GPU")] == [
        "weights",
        "val split",
        "test split",
        "disk",
    ]
    assert held.found.missing[-1] == f"disk: {held.found.disk_bytes:,} bytes are needed where 1,000 are free"
    assert "absent.pth" in next(text for text in held.found.missing if text.startswith("weights"))
    assert (held.found.errors, held.found.validation_f1, held.found.frames_per_second) == (None, None, None)
    text = "\n".join(describe(held.found))
    assert "none, there is no test split" in text
    assert "not scored, there are no labels" in text
    assert "unknown time" in text


def test_a_machine_without_a_gpu_is_said_and_one_with_it_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert harness.studies.rehearsal._missing_machine() == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        harness.studies.rehearsal, "make_accelerator", lambda precision: SimpleNamespace(device=torch.device("cpu"))
    )
    assert [text.split(":")[0] for text in harness.studies.rehearsal._missing_machine()] == ["GPU"]


def test_hours_on_several_gpus_are_a_division_and_said_to_be_one(rehearsed: Rehearsed) -> None:
    assert not any("all GPUs" in line for line in describe(rehearsed.found))
    of_four = replace(rehearsed.found, gpus=4, iterations=8000, seconds_per_step=1.8)
    line = next(line for line in describe(of_four) if "all GPUs" in line)
    assert "at best 1.0 h for the steps" in line
    assert "measured on one and divided" in line


def test_memory_counts_processes_that_were_started_and_shared_pages_once() -> None:
    size = 64 * 1024 * 1024
    before = memory.of_process_tree(os.getpid())
    if not before:
        pytest.skip("this system does not say what processes share")
    shared = mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    shared[:] = b"\1" * size
    context = multiprocessing.get_context("fork")
    ready, done = [context.Event() for _ in range(2)], context.Event()
    workers = [context.Process(target=_hold_memory, args=(shared, size, event, done)) for event in ready]
    try:
        for worker in workers:
            worker.start()
        for event in ready:
            assert event.wait(60)
        grown = memory.of_process_tree(os.getpid()) - before
    finally:
        done.set()
        for worker in workers:
            worker.join()
    # The mapping once, though three processes hold it, and what the two workers have of their own.
    assert 3 * size * 0.95 < grown < 3 * size * 1.4
    assert memory.of_process_tree(os.getpid()) - before < 2 * size


def _hold_memory(shared: mmap.mmap, size: int, ready: Event, done: Event) -> None:
    own = ctypes.create_string_buffer(size)
    ctypes.memset(own, 1, size)
    assert shared[size - 1] == 1
    assert sum(shared[::4096]) == size // 4096
    ready.set()
    done.wait(60)


def test_the_peak_is_kept_when_the_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([10**12, 5])
    looked = multiprocessing.Event()

    def measure(process: int) -> int:
        value = next(seen, None)
        if value is None:
            looked.set()
        return value or 0

    monkeypatch.setattr(memory, "SECONDS", 0.001)
    monkeypatch.setattr(memory, "of_process_tree", measure)
    with memory.PeakMemory() as peak:
        assert looked.wait(60)
    assert peak.bytes == 10**12


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(command_line, ["rehearse", "--workers", "0", *arguments])


@pytest.mark.slow
def test_the_command_prints_json_and_keeps_what_it_made(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = [part for key, value in tiny.items() for part in ("--set", f"{key}={value}")]
    arguments = ["--recipe", "res18", "--data", str(drawn_root), "--iterations", "2", "--keep", str(tmp_path / "kept"), *changes]
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["errors"], report["steps"]) == (0, 2)
    assert {"training_hours", "test_hours", "disk_bytes", "peak_memory", "missing"} <= report.keys()
    assert Run(tmp_path / "kept/runs" / RUN).path.is_dir()
    assert not (tmp_path / "runs").exists()
    again = invoke(*arguments)
    assert isinstance(again.exception, UsageError)
    assert "is not empty" in str(again.exception)


@pytest.mark.slow
def test_the_training_it_names_next_is_the_one_that_was_rehearsed(
    drawn_root: Path, tmp_path: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = [part for key, value in tiny.items() for part in ("--set", f"{key}={value}")]
    options = ["--recipe", "res18", "--data", str(drawn_root), *changes, "--seed", "3", "--from-scratch"]
    result = invoke(*options, "--iterations", "2")
    assert result.exit_code == 0, result.output
    last = result.stdout.splitlines()[-1]
    assert shlex.split(last.removeprefix("next: harness train ")) == options


def test_several_processes_are_refused_with_the_way_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = invoke()
    assert isinstance(result.exception, UsageError)
    assert "without `accelerate launch`" in str(result.exception)
