"""Workers that die, hang, find no room or lose their parent: said with the file, and nothing changes but the time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.crops import image_bytes
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images import batches, workers
from harness.images.batches import ImageRequest, loader, read_batch


def put_to_death() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def once(marker: Path, act: Callable[[], None]) -> None:
    """Acts in the first worker that comes by."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    act()


@pytest.fixture
def faces(tmp_path: Path, drawn_root: Path) -> Track:
    """Nine images of a drawn face."""
    source = sorted(drawn_root.rglob("*.jpg"))[0]
    directory = tmp_path / "faces"
    directory.mkdir()
    for number in range(1, 10):
        shutil.copy(source, directory / f"{number:05d}.jpg")
    return Track("t", "t", "train", 9, "annotation", np.arange(1, 10, dtype=np.int32), None, directory)


def bad_at(frame: int, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a worker that reads this frame act instead of reading; the main process reads it as ever."""
    parent, plain = os.getpid(), image_bytes

    def reading(track: Track, number: int) -> bytes:
        if number == frame and os.getpid() != parent:
            act()
        return plain(track, number)

    monkeypatch.setattr(batches, "image_bytes", reading)


def of(track: Track) -> Callable[[int], torch.Tensor]:
    return lambda number: read_batch([ImageRequest(track, number * 3 + k) for k in (1, 2, 3)], 24).images


@pytest.mark.parametrize("count", [1, 2, 4])
def test_any_number_of_workers_hands_over_what_none_does(faces: Track, count: int) -> None:
    plain, made = (torch.stack(list(loader(of(faces), range(3), workers, False, str, print))) for workers in (0, count))
    assert torch.equal(plain, made)


def test_the_file_at_which_a_worker_died_is_named(faces: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    bad_at(5, put_to_death, monkeypatch)
    lines: list[str] = []
    made = list(loader(of(faces), range(3), 2, False, lambda number: f"batch {number}", lines.append))
    assert len(made) == 3
    assert [str(faces.image_path(5)) in line for line in lines] == [True, True]
    assert "1 workers" in lines[0]
    assert "no workers" in lines[1]


def test_the_file_at_which_a_worker_hangs_is_named(faces: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "WORKER_TIMEOUT", 1)
    bad_at(5, lambda: time.sleep(60), monkeypatch)
    lines: list[str] = []
    with pytest.raises(DataError, match="reading images hangs") as caught:
        list(loader(of(faces), range(3), 2, False, lambda number: f"batch {number}", lines.append))
    assert caught.value.path == str(faces.image_path(5))
    assert [str(faces.image_path(5)) in line for line in lines] == [True]


def test_a_worker_that_dies_between_two_images_is_reported_by_its_batch(tmp_path: Path) -> None:
    def make(number: int) -> torch.Tensor:
        if number == 2:
            once(tmp_path / "died", put_to_death)
        return torch.tensor(number)

    lines: list[str] = []
    made = [int(batch) for batch in loader(make, range(5), 2, False, lambda number: f"file {number}", lines.append)]
    assert made == [0, 1, 2, 3, 4]
    assert len(lines) == 1
    assert "near file" in lines[0]
    assert "1 workers" in lines[0]


def test_a_worker_that_dies_while_the_main_process_computes_disturbs_nothing(tmp_path: Path) -> None:
    def make(number: int) -> torch.Tensor:
        once(tmp_path / "died", put_to_death) if number == 1 else None
        return torch.tensor(number)

    lines: list[str] = []
    made = []
    for batch in loader(make, range(6), 2, False, str, lines.append):
        # An exception out of the middle of this would be the fault.
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            torch.ones(64, 64) @ torch.ones(64, 64)
        made.append(int(batch))
    assert made == list(range(6))
    assert len(lines) == 1


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "Connection reset by peer"), EOFError(), FileNotFoundError(2, "gone")]
)
def test_a_worker_that_dies_while_its_tensor_is_fetched_is_named_too(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = workers.Crew._start
    calls: list[int] = []

    class Dying:
        """Hands over one batch and then breaks off."""

        def __init__(self) -> None:
            self.count = 0

        def __next__(self) -> int:
            self.count += 1
            if self.count == 2:
                raise error
            return 0

        def _shutdown_workers(self) -> None:
            """There are none."""

    def start(self: workers.Crew, make: Any, numbers: Any, pin_memory: bool) -> Iterator[Any]:
        calls.append(self.workers)
        return Dying() if len(calls) == 1 else plain(self, make, numbers, pin_memory)  # type: ignore[return-value]

    monkeypatch.setattr(workers.Crew, "_start", start)
    lines: list[str] = []
    assert list(loader(lambda number: number, range(4), 2, False, lambda number: f"file {number}", lines.append)) == [0, 1, 2, 3]
    assert calls == [2, 1]
    assert "near file 1" in lines[0]


def test_workers_that_cannot_be_started_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    lines: list[str] = []
    assert list(loader(lambda number: number, range(3), 2, False, str, lines.append)) == [0, 1, 2]
    assert ["1 workers" in lines[0], "no workers" in lines[1]] == [True, True]


def test_where_shared_memory_is_full_the_main_process_reads_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    monkeypatch.setattr(workers, "_shared_memory_free", lambda: "204,800 bytes free in /dev/shm")
    lines: list[str] = []
    assert [int(batch) for batch in loader(torch.tensor, range(3), 2, False, str, lines.append)] == [0, 1, 2]
    (line,) = lines
    assert "shared with workers is full (204,800 bytes free in /dev/shm)" in line
    assert "no workers" in line


LOADER = """
import os, sys, time, torch
from harness.images.batches import loader
def make(number):
    return torch.full((300_000,), number % 256, dtype=torch.uint8)
"""


def test_a_small_dev_shm_is_lived_with() -> None:
    program = f"{LOADER}\nprint([int(batch[0]) for batch in loader(make, range(4), 2, False, str, print)])"
    small = "mount -t tmpfs -o size=200k tmpfs /dev/shm && exec "
    unshare = ["unshare", "-m", "bash", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, f"{small} true"], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    command = [*unshare, f'{small} "$0" -c "$1"', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    said, made = done.stdout.splitlines()
    assert "the memory shared with workers is full (" in said
    assert made == "[0, 1, 2, 3]"


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
    for batch in loader(slow, range(9), 2, False, str, print):
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
