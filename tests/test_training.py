"""The one loop: exact resuming, processes, signals, damage."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from harness import files
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.errors import DataError, LockedError, MismatchError, UsageError
from harness.recipes import recipe as recipes
from harness.runs import checkpoints, store
from harness.runs.store import Run
from harness.training import loop, metrics, session, state
from harness.training.network import build_network
from harness.training.optimization import learning_rate
from harness.training.session import Training
from harness.training.start import train
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import class_prior, on_splits
from tests.interruption import dies_after, result

TrainTiny = Callable[..., Training]


@pytest.fixture
def train_tiny(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> TrainTiny:
    """Trains the tiny recipe with changes into a run of this test."""

    def call(name: str = "a", workers: int = 0, fresh: bool = False, lines: list[str] | None = None, **changes: str) -> Training:
        recipe = recipes.load("res18", {**tiny, **changes})
        said = [] if lines is None else lines
        return train(
            recipe, scan(drawn_root), tmp_path / "runs" / name, fresh=fresh, workers=workers, from_scratch=True, say=said.append
        )

    return call


def test_the_learning_rate_is_the_published_formula() -> None:
    def published(step: int) -> float:
        rate = 1e-5 + 0.5 * (5e-3 - 1e-5) * (1 + math.cos(math.pi * step / 8000))
        return rate * (1 - (1 - step / 100) * 0.9) if step < 100 else rate

    for step in (0, 1, 50, 99, 100, 101, 4000, 7999):
        found = learning_rate(step, iterations=8000, highest=5e-3, lowest=1e-5, warmup=100, warmup_from=0.1)
        assert found == pytest.approx(published(step), rel=1e-12)
    assert learning_rate(0, iterations=8000, highest=5e-3, lowest=1e-5, warmup=100, warmup_from=0.1) == pytest.approx(5e-4)


def test_a_training_learns_the_drawn_faces_and_notes_every_step(train_tiny: TrainTiny) -> None:
    done = train_tiny(iterations="60", evaluate_every="30", checkpoint_every="30", learning_rate="0.01")
    noted = metrics.read(done.run)
    losses = [line["loss"] for line in noted if "loss" in line]
    assert [line["step"] for line in noted if "loss" in line] == list(range(1, 61))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.3
    assert [line["step"] for line in noted if "macro_f1" in line] == [30, 60]
    assert done.outcome.metric == noted[-1]["macro_f1"]


def test_without_a_terminal_progress_is_a_line_at_a_steady_pace(train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FLUSH_EVERY", 2)
    monkeypatch.setattr(loop, "PROGRESS_EVERY", 0.0)
    lines: list[str] = []
    run = train_tiny(lines=lines).run
    told = [line for line in lines if "images per second" in line]
    assert [int(line.split()[1]) for line in told] == [2, 4, 6, 8, 10, 12]
    assert re.fullmatch(r"step 4 of 12: loss \d\.\d{4}, \d+ images per second, \d+:\d\d:\d\d left", told[1])
    assert told[-1].endswith("0:00:00 left")
    losses = [line["loss"] for line in metrics.read(run) if "loss" in line]
    assert f"loss {np.mean(losses[2:4]):.4f}," in told[1]
    monkeypatch.setattr(loop, "PROGRESS_EVERY", 3600.0)
    seldom: list[str] = []
    train_tiny("b", lines=seldom)
    assert sum("images per second" in line for line in seldom) == 1


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(train_tiny: TrainTiny) -> None:
    first, second, third = train_tiny("a"), train_tiny("b"), train_tiny("c", seed="1")
    assert result(first.run) == result(second.run)
    name = "checkpoints/step-00000012/model.safetensors"
    assert result(first.run)[name] != result(third.run)[name]


@pytest.mark.parametrize("average", [pytest.param("0", marks=pytest.mark.slow), "0.9"])
def test_a_training_interrupted_at_any_step_ends_with_the_same_bytes(train_tiny: TrainTiny, average: str) -> None:
    whole = train_tiny("whole", average=average, optimizer="adamw", learning_rate="1e-3")
    for died_after, workers in [(1, 0), (5, 2), (7, 0), (11, 1)]:
        with dies_after(died_after):
            train_tiny("parts", workers=workers, average=average, optimizer="adamw", learning_rate="1e-3")
    lines: list[str] = []
    parts = train_tiny("parts", workers=1, lines=lines, average=average, optimizer="adamw", learning_rate="1e-3")
    assert any("resumed at step 8" in line for line in lines)
    assert result(parts.run) == result(whole.run)


def test_a_finished_run_is_left_alone_and_fresh_starts_anew(train_tiny: TrainTiny) -> None:
    before = result(train_tiny().run)
    again = train_tiny()
    assert again.was_done
    assert result(again.run) == before
    anew = train_tiny(fresh=True)
    assert not anew.was_done
    assert result(anew.run) == before


@pytest.mark.parametrize("change", [{"backbone": "res81"}, {"freeze_stages": "9"}, {"head": "spatial", "image_size": "16"}])
def test_a_network_that_cannot_be_built_leaves_nothing_behind_and_replaces_nothing(
    train_tiny: TrainTiny, tmp_path: Path, change: dict[str, str]
) -> None:
    with pytest.raises(UsageError):
        train_tiny(**change)
    assert not (tmp_path / "runs" / "a").exists()
    before = result(train_tiny().run)
    with pytest.raises(UsageError):
        train_tiny(fresh=True, **change)
    assert result(Run(tmp_path / "runs" / "a")) == before


def test_other_settings_do_not_resume(train_tiny: TrainTiny) -> None:
    train_tiny()
    with pytest.raises(MismatchError, match=r"recipe\.momentum: 0\.9 there, 0\.5 now"):
        train_tiny(momentum="0.5")


def patch_this_machine(monkeypatch: pytest.MonkeyPatch, best: str) -> None:
    """Makes `auto` mean `best`, as on other hardware."""
    monkeypatch.setattr(session, "resolve_precision", lambda precision: best if precision == "auto" else precision)


def test_a_training_goes_on_in_the_precision_it_began_in_on_other_hardware(
    train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_this_machine(monkeypatch, "fp32")
    whole = result(train_tiny("whole", precision="auto").run)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "_stop_agreed", lambda self: 143)
        assert train_tiny("a", precision="auto").outcome.step == 1
    patch_this_machine(monkeypatch, "bf16")
    lines: list[str] = []
    again = train_tiny("a", lines=lines, precision="auto")
    assert result(again.run) == whole
    assert "going on in fp32, as this run began; a new run would use bf16 here" in lines


@pytest.mark.parametrize(
    ("asked", "fresh", "expected"), [("auto", True, "bf16"), ("bf16", False, "bf16"), ("auto", False, "fp32")]
)
def test_only_auto_takes_the_precision_of_the_run_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, fresh: bool, expected: str
) -> None:
    store.open_or_create(tmp_path / "a", {"class_names": [], "recipe": {"precision": "fp32"}})
    patch_this_machine(monkeypatch, "bf16")
    assert session.settled_precision(asked, tmp_path / "a", fresh, lambda line: None) == expected
    assert session.settled_precision("auto", tmp_path / "none", fresh, lambda line: None) == "bf16"


def test_frozen_stages_keep_their_weights_and_statistics_bit_for_bit(train_tiny: TrainTiny) -> None:
    done = train_tiny(freeze_stages="2", iterations="4")
    start = train_tiny("start", freeze_stages="2", iterations="1", learning_rate="1e-30", weight_decay="0")
    after = load_file(checkpoints.folders(done.run)[-1] / state.MODEL)
    before = load_file(checkpoints.folders(start.run)[-1] / state.MODEL)
    frozen = [name for name in after if any(f".{stage}" in name for stage in ("conv1", "maxpool", "stage2"))]
    moving = [name for name in after if name not in frozen and after[name].is_floating_point()]
    assert frozen
    assert all(torch.equal(after[name], before[name]) for name in frozen)
    assert any(not torch.equal(after[name], before[name]) for name in moving)


def test_the_averaged_weights_are_the_running_mean_of_a_slow_loop(train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    expected: dict[str, torch.Tensor] = {}
    plain = SupervisedObjective.after_step

    def follow(self: SupervisedObjective, network: torch.nn.Module, step: int) -> None:
        if not expected:
            assert self.averaged is not None
            expected.update({name: value.double() for name, value in self.averaged.items() if value.is_floating_point()})
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            if name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * value.double()
        plain(self, network, step)

    monkeypatch.setattr(SupervisedObjective, "after_step", follow)
    done = train_tiny(average="0.9")
    stored = load_file(checkpoints.folders(done.run)[-1] / state.MODEL)
    for name, value in expected.items():
        torch.testing.assert_close(stored[name].double(), value, atol=1e-5, rtol=1e-5)


def test_two_processes_see_the_same_images_at_the_same_rate_as_one(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str]
) -> None:
    arguments = ["train", "--recipe", "res18", "--data", str(drawn_root), "--run", "a", "--from-scratch", "--workers", "0"]
    # Batch statistics differ between one and two processes on a CPU, so all stages with BatchNorm are frozen here.
    changes = {**tiny, "freeze_stages": "4", "iterations": "6", "evaluate_every": "3"}
    for key, value in changes.items():
        arguments += ["--set", f"{key}={value}"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    commands = {
        1: [sys.executable, "-m", "harness"],
        2: [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"],
    }
    runs = {}
    for processes, command in commands.items():
        place = tmp_path / str(processes)
        place.mkdir()
        done = subprocess.run([*command, *arguments], cwd=place, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        runs[processes] = Run(place / "runs" / "a")
        assert f"training on {processes} process" in done.stderr
    one, two = (metrics.read(runs[processes]) for processes in (1, 2))
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for left, right in zip(one, two, strict=True):
        assert left.get("learning_rate") == right.get("learning_rate")
        assert left.get("loss", 0) == pytest.approx(right.get("loss", 0), abs=1e-5)
        assert left.get("macro_f1", 0) == pytest.approx(right.get("macro_f1", 0), abs=1e-6)
    weights = [load_file(checkpoints.folders(runs[processes])[-1] / state.MODEL) for processes in (1, 2)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("average", [pytest.param("0", marks=pytest.mark.slow), "0.9"])
def test_two_processes_note_the_score_of_the_weights_they_save_and_list_what_either_could_not_read(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch, average: str
) -> None:
    from click.testing import CliRunner

    from harness.cli import harness

    shutil.copytree(drawn_root, tmp_path / "data")
    broken = [track.image_path(int(track.frames[3])) for track in scan(tmp_path / "data").split("val")[:2]]
    for path in broken:
        path.write_bytes(b"broken")
    arguments = ["train", "--recipe", "res18", "--data", "data", "--run", "a", "--from-scratch", "--workers", "0"]
    # All BatchNorm moves, and on a CPU each process has statistics of its own.
    for key, value in {**tiny, "freeze_stages": "0", "average": average, "iterations": "40", "evaluate_every": "40"}.items():
        arguments += ["--set", f"{key}={value}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "warning: 2 images could not be read" in done.stderr
    assert all(f"missing in validation: {path}" in done.stderr for path in broken)
    monkeypatch.chdir(tmp_path)
    for words in (["predict", "a", "--split", "val"], ["evaluate", "a", "--split", "val", "--smooth", "0", "--json"]):
        shown = CliRunner().invoke(harness, [*words, "--data", "data", *(["--workers", "0"] if words[0] == "predict" else [])])
        assert shown.exception is None, shown.output
    noted = metrics.read(Run(tmp_path / "runs" / "a"))[-1]
    evaluated = json.loads(shown.stdout)["all_labelled"]
    assert noted["macro_f1"] == pytest.approx(evaluated["macro_f1"]["value"], abs=1e-12)
    assert noted["accuracy"] == pytest.approx(evaluated["accuracy"]["value"], abs=1e-12)


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def has_ended(process: int) -> bool:
    """Whether a process is gone, or was and nobody asked for its exit code."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("when", ["they have begun to train", "they are still starting"])
def test_processes_whose_launcher_is_killed_save_and_end(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str], when: str
) -> None:
    arguments = ["train", "--recipe", "res18", "--data", str(drawn_root), "--run", "a", "--from-scratch", "--workers", "0"]
    for key, value in {**tiny, "iterations": "100000", "evaluate_every": "100000", "checkpoint_every": "4000"}.items():
        arguments += ["--set", f"{key}={value}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "--", "harness"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "said", "w+") as said:
        launcher = subprocess.Popen([*command, *arguments], cwd=tmp_path, env=environment, stderr=said)
        log = tmp_path / "runs" / "a" / "metrics.jsonl"
        while not (log.exists() and log.read_text() if when == "they have begun to train" else log.parent.exists()):
            assert launcher.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.01)
        ranks = children_of(launcher.pid)
        assert len(ranks) == 2
        launcher.kill()
        launcher.wait()
        for _ in range(600):
            if all(map(has_ended, ranks)):
                break
            time.sleep(0.1)
        left = [rank for rank in ranks if not has_ended(rank)]
        for rank in left:
            os.kill(rank, signal.SIGKILL)
    assert not left, "a process trains on without its launcher"
    saved = checkpoints.last(Run(tmp_path / "runs" / "a"), lambda error: None)
    if when == "they have begun to train":
        assert saved is not None
    assert f"stopped after step {saved.step if saved else 0} of 100000" in (tmp_path / "said").read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)])
def test_a_signal_finishes_the_step_saves_and_ends_with_its_code(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str], number: signal.Signals, code: int
) -> None:
    arguments = [
        sys.executable,
        "-m",
        "harness",
        "train",
        "--recipe",
        "res18",
        "--data",
        str(drawn_root),
        "--run",
        "a",
        "--from-scratch",
    ]
    for key, value in {**tiny, "iterations": "100000", "checkpoint_every": "100000", "evaluate_every": "100000"}.items():
        arguments += ["--set", f"{key}={value}"]
    # To the whole group, as a terminal and a batch system send it: the workers must not die of it.
    process = subprocess.Popen(
        [*arguments, "--workers", "2"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    timings = tmp_path / "runs" / "a" / "metrics.jsonl"
    for _ in range(1200):
        if timings.exists() and timings.stat().st_size:
            break
        time.sleep(0.1)
    os.killpg(process.pid, number)
    _, output = process.communicate(timeout=60)
    assert process.returncode == code, output
    assert "a worker was lost" not in output
    assert "Traceback" not in output
    assert "the same command goes on from here" in output
    saved = checkpoints.last(Run(tmp_path / "runs" / "a"), lambda error: None)
    assert saved is not None
    assert saved.step == metrics.read(Run(tmp_path / "runs" / "a"))[-1]["step"]


@pytest.fixture
def large_crops(tmp_path: Path, drawn_root: Path) -> DataRoot:
    """The drawn root with crops of 48 pixels, all but one."""
    place = tmp_path / "large"
    shutil.copytree(drawn_root, place)
    for number, path in enumerate(sorted(place.rglob("*.jpg"))):
        Image.open(path).resize((48, 48) if number else (16, 16)).save(path)
    return scan(place)


def test_images_are_decoded_as_large_as_the_crops_are_of_use(
    tmp_path: Path, large_crops: DataRoot, tiny: dict[str, str], train_tiny: TrainTiny
) -> None:
    def of(name: str, lines: list[str], **changes: str) -> int:
        recipe = recipes.load("res18", {**tiny, "iterations": "1", **changes})
        path = tmp_path / "runs" / name
        trained = train(recipe, large_crops, path, fresh=False, workers=0, from_scratch=True, say=lines.append)
        return int(trained.run.manifest["recipe"]["decode_size"])

    assert recipes.load("res18", {}).decode_size == 0
    lines: list[str] = []
    assert of("whole", lines, decode_size="0", test_resize="56") == 48
    assert of("enough", lines, decode_size="0", test_resize="40") == 40
    assert not [line for line in lines if "shrunk" in line]
    assert of("fixed", lines, decode_size="32", test_resize="56") == 32
    assert [line.split(" (")[0] for line in lines if "shrunk" in line] == ["crops of 48 pixels are shrunk to 32"]
    # A run that began with another size goes on with it.
    assert of("fixed", lines, decode_size="0", test_resize="56") == 32
    assert train_tiny("official", decode_size="0", test_resize="256").run.manifest["recipe"]["decode_size"] == 112


def test_a_damaged_newest_checkpoint_is_passed_over_aloud(train_tiny: TrainTiny, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = result(train_tiny("whole").run)
    done = train_tiny("a", iterations="12")
    newest = checkpoints.folders(done.run)[-1]
    (newest / state.MODEL).write_bytes(b"<html>")
    lines: list[str] = []
    if len(checkpoints.folders(done.run)) == 1:
        with pytest.raises(DataError, match="no checkpoint of this run is whole"):
            train_tiny("a", lines=lines)
        return
    again = train_tiny("a", lines=lines)
    assert any("skipped a damaged checkpoint" in line and str(newest) in line for line in lines)
    # A damaged checkpoint that was the best is put aside; which step is the best differs from processor to processor.
    assert {name: digest for name, digest in result(again.run).items() if ".damaged/" not in name} == whole


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoints(train_tiny: TrainTiny) -> None:
    with pytest.raises(DataError, match=r"the loss at step \d+ is not finite"):
        train_tiny(learning_rate="1e30", warmup="0", checkpoint_every="1", iterations="40", clip_gradient="0")


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    with pytest.raises(DataError, match=r"the weight 'head\.fc\.weight' is not finite"):
        state.save(tmp_path, {"head.fc.weight": torch.tensor([float("nan")])}, {}, optimizer, None, {})


def test_an_optimizer_s_state_comes_back_as_it_was(tmp_path: Path) -> None:
    def stepped(count: int) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        parameter = torch.nn.Parameter(torch.arange(4.0))
        optimizer = torch.optim.AdamW([parameter], lr=0.1)
        for _ in range(count):
            parameter.grad = parameter.detach() * 0.5 + 1
            optimizer.step()
        return parameter, optimizer

    _, optimizer = stepped(3)
    state.save(tmp_path, {"w": torch.zeros(1)}, {}, optimizer, None, {})
    _, other = stepped(0)
    state.load_optimizer(tmp_path, other, None)
    for left, right in zip(optimizer.state_dict()["state"].values(), other.state_dict()["state"].values(), strict=True):
        assert all(torch.equal(left[key], right[key]) for key in left)


def test_a_gradient_scaler_s_state_comes_back_as_it_was(tmp_path: Path) -> None:
    def scaled(steps: int, bad: int) -> torch.amp.GradScaler:
        """A scaler after `steps` steps, the one numbered `bad` with a gradient that is not finite."""
        parameter = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.SGD([parameter], lr=0.1)
        scaler = torch.amp.GradScaler("cpu", growth_interval=3)
        for step in range(steps):
            optimizer.zero_grad()
            loss = (parameter * (float("inf") if step == bad else 1.0)).sum()
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
        return scaler

    before = scaled(6, bad=1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1)
    state.save(tmp_path, {"w": torch.zeros(1)}, {}, optimizer, before, {})
    fresh = scaled(0, bad=-1)
    assert fresh.state_dict() != before.state_dict()
    state.load_optimizer(tmp_path, optimizer, fresh)
    assert fresh.state_dict() == before.state_dict()
    assert fresh.get_scale() == before.get_scale()


@pytest.mark.parametrize("kind", ["run.json", "MANIFEST.json"])
def test_a_run_or_checkpoint_of_another_format_is_refused_and_left_as_it_is(train_tiny: TrainTiny, kind: str) -> None:
    done = train_tiny(iterations="4")
    path = done.run.manifest_path if kind == "run.json" else checkpoints.folders(done.run)[-1] / kind
    files.write_json(path, {**files.read_json(path), "format": 0})
    before = result(done.run)
    with pytest.raises(DataError, match="of another format") as refused:
        train_tiny(iterations="4")
    assert str(path) in str(refused.value)
    assert "format 1" in str(refused.value)
    assert result(done.run) == before


def test_an_unreadable_training_image_is_left_out_and_listed(tmp_path: Path, drawn_root: Path, tiny: dict[str, str]) -> None:
    root = tmp_path / "data"
    shutil.copytree(drawn_root, root)
    broken = sorted((root / "cropped_aligned" / "video6").glob("*.jpg"))
    for path in broken:
        path.write_bytes(b"broken")
    lines: list[str] = []
    recipe = recipes.load("res18", tiny)
    train(recipe, scan(root), tmp_path / "runs" / "a", fresh=False, workers=0, from_scratch=True, say=lines.append)
    # Each image once, however many passes have met it.
    assert sum("left out of training" in line for line in lines) == 10
    total = next(int(line.split()[1]) for line in lines if line.startswith("warning: "))
    assert 10 < total <= len(broken)
    assert lines[-1] == f"... and {total - 10} more"


@pytest.mark.parametrize("split", ["train", "val"])
def test_strict_refuses_a_training_or_validation_image_that_cannot_be_read(
    tmp_path: Path, drawn_root: Path, tiny: dict[str, str], split: str
) -> None:
    from click.testing import CliRunner

    from harness.cli import harness

    shutil.copytree(drawn_root, tmp_path / "data")
    track = scan(tmp_path / "data").split(split)[0]
    for frame in track.frames.tolist():
        track.image_path(frame).write_bytes(b"broken")
    changes = [part for key, value in tiny.items() for part in ("--set", f"{key}={value}")]
    words = ["train", "--recipe", "res18", "--from-scratch", "--workers", "0", "--data", str(tmp_path / "data"), "--strict"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(harness, [*words, *changes])
    assert isinstance(done.exception, DataError)
    assert str(track.directory) in str(done.exception)
    assert "an image cannot be read" in str(done.exception)


def test_a_validation_track_without_a_face_counts_as_a_submission_would_have_it(drawn_root: Path, tiny: dict[str, str]) -> None:
    root = scan(drawn_root)
    splits = on_splits(root)
    surprised = [
        replace(track, labels=np.where(np.asarray(track.labels) < 0, -1, 6).astype(np.int8)) for track in splits.training
    ]
    data = replace(splits, training=tuple(surprised))
    recipe = recipes.load("res18", tiny)
    objective = SupervisedObjective(build_network(recipe, 8), recipe, data)
    labelled = root.split("val")[0]
    faceless = replace(labelled, frames=np.empty(0, np.int32))
    found = objective._track_sums(faceless, faceless.frames, np.empty((0, 8), np.float32)).reshape(8, 8)
    assert labelled.labels is not None
    expected = np.zeros((8, 8), dtype=int)
    for label in labelled.labels[labelled.labels >= 0]:
        expected[label, 6] += 1
    np.testing.assert_array_equal(found, expected)


def test_training_images_are_augmented_as_each_key_of_the_recipe_says(drawn_root: Path, tiny: dict[str, str]) -> None:
    wanted = {
        "crop_area": (0.5, 0.7), "flip": 0.1, "rotate": 7.0, "grayscale": 0.2, "colour_jitter": 0.3, "blur": 0.4, "erase": 0.6,
        "published_augmentation": True,
    }  # fmt: skip
    changes = {key: str(list(value) if isinstance(value, tuple) else value) for key, value in wanted.items()}
    recipe = recipes.load("res18", {**tiny, **changes})
    found = SupervisedObjective(build_network(recipe, 8), recipe, on_splits(scan(drawn_root))).augmentation
    own = {key.removesuffix("_augmentation"): value for key, value in wanted.items()}
    assert asdict(found) == {"image_size": recipe.image_size, **own}


def test_a_second_process_is_refused_with_the_first_one_s_number(train_tiny: TrainTiny, tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    with files.lock(tmp_path / "runs" / "a" / ".lock", "the run"), pytest.raises(LockedError, match=f"process {os.getpid()} on"):
        train_tiny()


def test_a_batch_that_does_not_divide_is_refused() -> None:
    from types import SimpleNamespace

    from harness.training.session import refuse_uneven

    with pytest.raises(UsageError, match="batch 9, 2 processes"):
        refuse_uneven(9, SimpleNamespace(num_processes=2))


def test_the_prior_is_the_share_of_each_class(drawn_root: Path) -> None:
    tracks = scan(drawn_root).split("train")
    labels = np.concatenate([track.labels for track in tracks if track.labels is not None])
    expected = [float((labels == label).sum() / (labels >= 0).sum()) for label in range(8)]
    assert class_prior(tracks) == pytest.approx(expected, abs=1e-8)


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    log = metrics.MetricsLog(run)
    for step in range(1, 6):
        log.note(step, {"loss": 1.0 / step})
    (tmp_path / "metrics.jsonl").write_bytes((tmp_path / "metrics.jsonl").read_bytes() + b'{"loss": 0.1, "st')
    log.cut_back(3)
    assert [line["step"] for line in metrics.read(run)] == [1, 2, 3]
    assert all(json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())


def test_recipes_without_their_weights_say_what_they_want(drawn_root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ContraWarping") as refusal:
        train(recipes.load("res50"), scan(drawn_root), tmp_path / "a", fresh=False, workers=0, from_scratch=False, say=print)
    assert "--from-scratch" in str(refusal.value)
    assert refusal.value.exit_code == 3
