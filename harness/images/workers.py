"""The processes that make batches ahead: what each one is reading, how they end, and how one that died is named.

They are forked. Signals to the whole process group are the main process's to answer: its workers let SIGTERM and Ctrl-C pass and
end when it ends, even if it is killed.
"""

from __future__ import annotations

import dataclasses
import functools
import mmap
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from harness import starter
from harness.errors import DataError

NOTE = 4096
"""Bytes in which a worker notes what it is reading: the longest path the kernel takes (PATH_MAX)."""

AGAIN = "run the same command again, it goes on where it was; with fewer --workers if memory was short"

_note: memoryview | None = None


def note_reading(path: str) -> None:
    """Notes in a worker which file it is about to read, so that it can be named if the worker dies of it."""
    if _note is not None:
        _note[:] = path.encode("utf-8", "surrogateescape")[:NOTE].ljust(NOTE, b"\0")


def loader(make: Callable[[int], Any], numbers: Sequence[int], workers: int, pin_memory: bool) -> Iterator[Any]:
    """The batches `make(number)` for each of `numbers`, in order, made ahead by `workers` processes (0: made here).

    Raises DataError if a worker dies, naming the file that it read last, and where the system has no room for workers or for what
    they hand over.
    """
    notes = memoryview(mmap.mmap(-1, max(workers, 1) * NOTE))
    iterator = _start(
        DataLoader(
            _Batches(make),
            batch_size=None,
            sampler=list(numbers),
            num_workers=workers,
            pin_memory=pin_memory,
            prefetch_factor=2 if workers else None,
            worker_init_fn=functools.partial(_begin_worker, os.getpid(), notes),
            # Its own generator: making a loader must not touch the global one.
            generator=torch.Generator().manual_seed(0),
        )
    )
    processes = iterator._workers if workers else []
    try:
        for made in iterator:
            yield made.batch
    except NoSharedMemoryError as error:
        remedy = "fewer --workers, 0 for none; or more of it, as with docker's --shm-size"
        raise DataError("the memory shared with workers is full", path="/dev/shm", remedy=remedy) from error
    except (RuntimeError, OSError, EOFError) as error:
        ended = wait([process.sentinel for process in processes], 1)
        dead = next((place for place, process in enumerate(processes) if process.sentinel in ended), None)
        if dead is None:
            raise
        processes[dead].join()
        path = bytes(notes[dead * NOTE : (dead + 1) * NOTE]).rstrip(b"\0").decode("utf-8", "surrogateescape")
        problem = "a worker died; this is the last file it began to read" if path else "a worker died"
        raise DataError(problem, path=path or None, found=f"exit code {processes[dead].exitcode}", remedy=AGAIN) from error
    finally:
        if workers:
            iterator._shutdown_workers()
        for process in processes:
            process.kill()  # who has not ended by now, for it does not hear SIGTERM; workers only read, so nothing is lost


def _start(loader: DataLoader[Any]) -> Any:
    """The loader's iterator, without the handler of SIGCHLD that torch installs with it.

    That handler raises in the main thread wherever it is when a worker dies: inside a step, a save, a backward pass.
    """
    earlier = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    except (OSError, RuntimeError) as error:
        remedy = "fewer --workers, 0 for none"
        raise DataError(f"{loader.num_workers} workers cannot be started: {error}", remedy=remedy) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if earlier is None else earlier)


def _begin_worker(parent: int, notes: memoryview, worker: int) -> None:
    """Lets signals to the group pass, and the system kill this process when its parent ends, however it ends."""
    global _note
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    starter.ask_for_a_signal_at_its_end(signal.SIGKILL)  # where there is none torch's own watch takes some seconds
    if os.getppid() != parent:
        os._exit(1)
    _note = notes[worker * NOTE : (worker + 1) * NOTE]


class NoSharedMemoryError(RuntimeError):
    """A worker found no room for its batch in the memory it shares with the main process."""


@dataclasses.dataclass(frozen=True)
class _Made:
    """What torch's loader hands over; for a GPU it asks for the same in memory that the GPU fetches by itself."""

    batch: Any

    def pin_memory(self) -> _Made:
        return _Made(map_tensors(self.batch, Tensor.pin_memory))


class _Batches(Dataset[_Made]):
    """Batches by number, each made in a worker and laid into shared memory there, where a failure can be told."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> _Made:
        batch = self.make(number)
        try:
            return _Made(batch if _note is None else map_tensors(batch, _shared))
        except (RuntimeError, OSError) as error:
            raise NoSharedMemoryError(str(error)) from error


def _shared(tensor: Tensor) -> Tensor:
    return tensor.share_memory_() if tensor.numel() else tensor  # type: ignore[no-untyped-call]


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor in it changed: those in the fields of dataclasses, in lists, tuples and mappings."""
    if isinstance(value, Tensor):
        return change(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return dataclasses.replace(value, **{name: map_tensors(getattr(value, name), change) for name in names})
    if isinstance(value, list | tuple):
        return type(value)(map_tensors(item, change) for item in value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, change) for key, item in value.items()}
    return value
