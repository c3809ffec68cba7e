"""Workers that die, find no room or lose their parent: said with the file, and nothing changes but the time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data._utils.pin_memory import pin_memory
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from harness.data.crops import image_bytes
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images import batches
from harness.images.batches import ImageBatch, ImageRequest, read_batch
from harness.images.mixing import Mix
from harness.images.workers import _Batches, loader
from harness.training.pretraining import PretrainingBatch
from harness.training.supervised_batch import Pairs, SupervisedBatch
from harness.training.temporal import TemporalBatch


@pytest.fixture(autouse=True)
def _deaths_are_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch looks every five seconds whether its workers are alive."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))


def put_to_death() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def faces(tmp_path: Path, drawn_root: Path) -> Track:
    """Nine images of a drawn face."""
    source = sorted(drawn_root.rglob("*.jpg"))[0]
    directory = tmp_path / "faces"
    directory.mkdir()
    for number in range(1, 10):
        shutil.copy(source, directory / f"{number:05d}.jpg")
    return Track("t", "t", "train", 9, "annotation", np.arange(1, 10, dtype=np.int32), None, directory)


def of(track: Track) -> Callable[[int], torch.Tensor]:
    return lambda number: read_batch([ImageRequest(track, number * 3 + k) for k in (1, 2, 3)], 24).images


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_workers_hands_over_what_none_does(faces: Track, count: int) -> None:
    plain, made = (torch.stack(list(loader(of(faces), range(3), workers, False))) for workers in (0, count))
    assert torch.equal(plain, made)


def test_the_file_at_which_a_worker_died_is_named(faces: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    parent, plain = os.getpid(), image_bytes

    def reading(track: Track, number: int) -> bytes:
        if number == 5 and os.getpid() != parent:
            put_to_death()
        return plain(track, number)

    monkeypatch.setattr(batches, "image_bytes", reading)
    with pytest.raises(DataError, match="a worker died") as caught:
        list(loader(of(faces), range(3), 2, False))
    assert caught.value.path == str(faces.image_path(5))
    assert caught.value.found == "exit code -9"
    assert "the same command again" in str(caught.value.remedy)


def compute_between(made: Iterator[torch.Tensor]) -> None:
    for _ in made:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            torch.ones(64, 64) @ torch.ones(64, 64)


def test_a_worker_that_dies_while_the_main_process_computes_is_said_when_its_batch_is_asked_for() -> None:
    def make(number: int) -> torch.Tensor:
        if number == 3:
            put_to_death()
        return torch.tensor(number)

    # Torch's own handler would raise a RuntimeError out of the middle of the computation.
    with pytest.raises(DataError, match="a worker died") as caught:
        compute_between(loader(make, range(5), 2, False))
    assert caught.value.path is None


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "Connection reset by peer"), EOFError(), FileNotFoundError(2, "gone")]
)
def test_a_worker_that_dies_while_its_tensor_is_fetched_is_named_too(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(self: _MultiProcessingDataLoaderIter) -> None:
        self._workers[0].kill()
        raise error

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_next_data", broken_off)
    with pytest.raises(DataError, match="a worker died"):
        list(loader(torch.tensor, range(4), 2, False))


@pytest.mark.parametrize("error", [RuntimeError, ConnectionResetError])
@pytest.mark.parametrize("count", [0, 1])
def test_a_fault_of_the_work_itself_is_not_taken_for_a_dead_worker(error: type[Exception], count: int) -> None:
    def make(number: int) -> torch.Tensor:
        raise error("the disk of frame 1 is gone")

    with pytest.raises(error, match="the disk of frame 1 is gone"):
        list(loader(make, range(3), count, False))


def test_workers_that_cannot_be_started_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(DataError, match="2 workers cannot be started"):
        list(loader(torch.tensor, range(3), 2, False))


def test_full_shared_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    with pytest.raises(DataError, match="/dev/shm: the memory shared with workers is full"):
        list(loader(torch.tensor, range(3), 2, False))


IMAGES = ImageBatch(torch.zeros(2, 3, 4, 4), torch.ones(2), torch.zeros(0, 32), [(1, "a/00001.jpg: cut off")])
BATCHES = [
    IMAGES,
    SupervisedBatch(
        IMAGES,
        torch.zeros(2),
        torch.zeros(2, 16),
        torch.ones(2, 8),
        torch.zeros(2, 1, 2),
        torch.zeros(2, 3),
        torch.zeros(2, 16),
        Pairs(Mix(0.3, (0, 1, 0, 2)), torch.zeros(2), torch.ones(2)),
    ),
    PretrainingBatch(IMAGES, torch.zeros(2, 16), torch.zeros(2, 68, 2), IMAGES, torch.zeros(2, 68, 2)),
    TemporalBatch(torch.zeros(2, 5, 7), torch.ones(2, 5), torch.zeros(2, 5, 1), torch.zeros(2, 16), (0.5,)),
]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: type(batch).__name__)
def test_a_batch_for_a_gpu_loses_no_field_and_has_every_tensor_pinned(batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pinning asks for a GPU: what was asked for is two more.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 2)
    assert_pinned(batch, pin_memory(_Batches(lambda number: batch)[0]).batch)  # type: ignore[no-untyped-call]


def assert_pinned(plain: Any, pinned: Any) -> None:
    assert type(pinned) is type(plain)
    for name in [field.name for field in fields(plain)]:
        value, found = getattr(plain, name), getattr(pinned, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(found, value + 2), name
        elif is_dataclass(value):
            assert_pinned(value, found)
        else:
            assert found == value, name


LOADER = """
import os, sys, time, torch
from harness.images.workers import loader
def make(number):
    return torch.full((300_000,), number % 256, dtype=torch.uint8)
"""


def test_a_small_dev_shm_is_said() -> None:
    program = f"{LOADER}\nlist(loader(make, range(4), 2, False))"
    small = "mount -t tmpfs -o size=200k tmpfs /dev/shm && exec "
    unshare = ["unshare", "-m", "bash", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, f"{small} true"], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    command = [*unshare, f'{small} "$0" -c "$1"', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "DataError: /dev/shm: the memory shared with workers is full" in done.stderr


def test_workers_end_when_their_parent_is_killed_and_let_go_of_its_lock(tmp_path: Path) -> None:
    from harness import files

    program = f"""{LOADER}
from harness import files
from pathlib import Path
def slow(number):
    Path({str(tmp_path)!r}, f"worker-{{os.getpid()}}").touch()
    time.sleep(60 if number else 0)
    return make(number)
with files.lock({str(tmp_path / "lock")!r}, "the run"):
    for batch in loader(slow, range(9), 2, False):
        print("reading", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    while len(pids := [int(path.name.partition("-")[2]) for path in tmp_path.glob("worker-*")]) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdout.close()
    with files.lock(tmp_path / "lock", "the run"):
        pass
    for _ in range(200):
        if not any(_running(pid) for pid in pids):
            break
        time.sleep(0.05)
    assert not any(_running(pid) for pid in pids)


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_forked_process_does_not_hold_the_lock_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    from harness import files

    program = f"""
import os, signal, time
from harness import files
with files.lock({str(tmp_path / "lock")!r}, "the run"):
    if not os.fork():
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        with files.lock(tmp_path / "lock", "the run"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
