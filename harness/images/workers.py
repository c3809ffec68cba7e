"""The processes that make batches ahead: what each one is reading, how they end, and how a lost one is found.

They are forked. Signals to the whole process group are the main process's to answer: its workers let SIGTERM and Ctrl-C pass and
end when it ends, even if it is killed.
"""

from __future__ import annotations

import ctypes
import dataclasses
import mmap
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

SLOT = 4096
"""Bytes in which a worker notes what it is reading: more than the longest path the kernel takes (PATH_MAX)."""

POLL = 1
"""Seconds after which the main process looks whether its workers are alive."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_slot: _Slot | None = None


def note_reading(what: str) -> None:
    """Notes in a worker which file it is about to read, so that it can be named if the worker never comes back."""
    if _slot is not None:
        _slot.write(what)


class LostWorkersError(Exception):
    """Workers that died, hang, or could not be started.

    Attributes
    ----------
    remaining : how many workers to go on with.
    reading : the files they were reading; empty if that is not known.
    hanging : whether they are alive and hand over nothing.
    started : whether they were there at all.
    """

    def __init__(
        self, reason: str, remaining: int, reading: Sequence[str] = (), hanging: bool = False, started: bool = True
    ) -> None:
        super().__init__(reason)
        self.remaining = remaining
        self.reading = tuple(reading)
        self.hanging = hanging
        self.started = started


class NoSharedMemoryError(RuntimeError):
    """A worker found no room for its batch in the memory it shares with the main process."""


class _Slot:
    """One worker's part of the memory in which workers note what they read: process, number of the batch, path."""

    def __init__(self, memory: mmap.mmap, worker: int) -> None:
        self.memory = memory
        self.start = worker * SLOT
        self.number = -1

    def begin(self, number: int) -> None:
        """Notes the number of the batch that is being made, -1 between two."""
        self.number = number
        self.write("")

    def write(self, what: str) -> None:
        text = f"{os.getpid()} {self.number} {what}".encode("utf-8", "surrogateescape")[:SLOT]
        self.memory[self.start : self.start + SLOT] = text.ljust(SLOT, b"\0")

    def read(self) -> tuple[int, int, str]:
        """Process, number of the batch and path; zeros and an empty path before the first note."""
        text = self.memory[self.start : self.start + SLOT].rstrip(b"\0").decode("utf-8", "surrogateescape")
        process, number, path = text.split(" ", 2) if text else ("0", "-1", "")
        return int(process), int(number), path


class _Batches(Dataset[Any]):
    """Batches by number, each made in a worker and laid into shared memory there, where a failure can be told."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> Any:
        if _slot is None:
            return self.make(number)
        _slot.begin(number)
        batch = self.make(number)
        _slot.begin(-1)
        try:
            _share(batch)
        except (RuntimeError, OSError) as error:
            raise NoSharedMemoryError(str(error)) from error
        return batch


def _share(value: Any) -> None:
    """Moves every tensor in a batch to shared memory."""
    if isinstance(value, Tensor):
        if value.numel():
            value.share_memory_()  # type: ignore[no-untyped-call]
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _share(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            _share(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            _share(item)


class Crew:
    """The workers of one loader; 0 workers is the main process itself."""

    def __init__(self, workers: int, timeout: int) -> None:
        self.workers = workers
        self.timeout = timeout
        self.memory = mmap.mmap(-1, max(workers, 1) * SLOT)
        self.parent = os.getpid()
        self.processes: list[Any] = []

    def batches(self, make: Callable[[int], Any], numbers: Sequence[int], pin_memory: bool) -> Iterator[Any]:
        """The batches `make(number)`, in order. Raises LostWorkersError when workers die, hang or cannot be started."""
        iterator = self._start(make, numbers, pin_memory)
        try:
            for number in numbers:
                yield self._next(iterator, number)
        finally:
            if self.workers:
                iterator._shutdown_workers()
            self._kill()  # who has not ended by now, for it does not hear SIGTERM

    def _start(self, make: Callable[[int], Any], numbers: Sequence[int], pin_memory: bool) -> Any:
        loader = DataLoader(
            _Batches(make),
            batch_size=None,
            sampler=list(numbers),
            num_workers=self.workers,
            pin_memory=pin_memory,
            timeout=POLL if self.workers else 0,
            prefetch_factor=2 if self.workers else None,
            worker_init_fn=self._begin_worker,
            # Its own generator: making a loader must not touch the global one.
            generator=torch.Generator().manual_seed(0),
        )
        before = multiprocessing.active_children()
        try:
            return _iterator_without_handler(loader)
        except (OSError, RuntimeError) as error:
            if not self.workers:
                raise
            reason = f"{self.workers} workers cannot be started: {_first_line(error)}"
            raise LostWorkersError(reason, self.workers // 2, started=False) from error
        finally:
            self.processes = [process for process in multiprocessing.active_children() if process not in before]

    def _next(self, iterator: Any, number: int) -> Any:
        waited = 0
        while True:
            try:
                return next(iterator)
            except NoSharedMemoryError as error:
                reason = f"the memory shared with workers is full ({_shared_memory_free()})"
                raise LostWorkersError(reason, 0, started=False) from error
            except (RuntimeError, OSError, EOFError) as error:
                if not _is_lost_worker(error, self.workers):
                    raise
                if not str(error).startswith("DataLoader timed out"):
                    raise self._died(error) from error
                waited += POLL
                if waited >= self.timeout:
                    raise self._hanging(number) from error

    def _died(self, error: Exception) -> LostWorkersError:
        wait([process.sentinel for process in self.processes], POLL)
        dead = {process.pid for process in self.processes if not process.is_alive()}
        reading = [path for pid, _, path in self._notes() if pid in dead and path]
        return LostWorkersError(_first_line(error), self.workers // 2, reading)

    def _hanging(self, number: int) -> LostWorkersError:
        making = [(pid, path) for pid, current, path in self._notes() if current == number]
        self._kill({pid for pid, _ in making})
        reading = [path for _, path in making if path]
        return LostWorkersError(f"nothing came for {self.timeout} s", self.workers // 2, reading, hanging=True)

    def _notes(self) -> list[tuple[int, int, str]]:
        return [_Slot(self.memory, worker).read() for worker in range(self.workers)]

    def _kill(self, pids: Collection[int] | None = None) -> None:
        """Ends these workers, by default all; they only read, so that nothing is lost."""
        for process in self.processes:
            if pids is None or process.pid in pids:
                process.kill()

    def _begin_worker(self, worker: int) -> None:
        global _slot
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _end_with(self.parent)
        _slot = _Slot(self.memory, worker)


def _end_with(parent: int) -> None:
    """Lets the system kill this process when its parent ends, however it ends."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux has it; elsewhere torch's own watch takes some seconds
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _iterator_without_handler(loader: DataLoader[Any]) -> Iterator[Any]:
    """The loader's iterator, without the handler of SIGCHLD that torch installs with it.

    That handler raises in the main thread wherever it is when a worker dies: inside a step, a save, a backward pass.
    """
    if threading.current_thread() is not threading.main_thread():
        return iter(loader)
    earlier = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if earlier is None else earlier)


def _is_lost_worker(error: Exception, workers: int) -> bool:
    """Whether a worker died or hangs, and not the work itself failed.

    The loader says so in a RuntimeError, unless it was just fetching a tensor from the worker: then the connection breaks off.
    """
    if workers == 0 or str(error).startswith("Caught "):
        return False
    if isinstance(error, RuntimeError):
        return str(error).startswith("DataLoader")
    return isinstance(error, ConnectionError | FileNotFoundError | EOFError)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _shared_memory_free() -> str:
    try:
        status = os.statvfs("/dev/shm")
    except OSError:
        return "no /dev/shm"
    return f"{status.f_bavail * status.f_frsize:,} bytes free in /dev/shm"
