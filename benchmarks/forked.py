"""Runs `harness` in forked processes that have torch loaded already, so that a try of a fault costs its work and not the imports.

The process that forks must not compute with torch before: its threads would not exist in the forked ones.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path

MOST_OUTPUT = 64 * 1024

TIMEOUT = 300
"""Seconds after which a command counts as hanging."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus the signal that killed it, and what it printed."""

    code: int
    output: str

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL

    def fault(self, code: int) -> str | None:
        """What is wrong if the command should have ended with `code` and without a traceback."""
        if self.code != code or "Traceback" in self.output:
            return f"ended with {self.code} instead of {code}: {self.output.strip()[-800:]}"
        return None


def preload() -> None:
    """Imports what the commands import, and keeps torch to one thread."""
    import torch

    import harness.commands.ensemble
    import harness.commands.import_
    import harness.commands.predict
    import harness.commands.pretrain
    import harness.commands.train
    import harness.data.scan
    import harness.inference.predict
    import harness.report.content
    import harness.report.page
    import harness.rows.predictions
    import harness.selection.tune
    import harness.sending.ledger
    import harness.submission.checks
    import harness.training.pretrain
    import harness.training.start
    import harness.training.start_temporal  # noqa: F401

    torch.set_num_threads(1)


def run(
    arguments: Sequence[str],
    place: Path,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Ended:
    """Runs `harness ARGUMENTS` in the folder `place` in a forked process; `prepare` is called there first."""
    return start(arguments, place, environment, prepare)()


def start(
    arguments: Sequence[str],
    place: Path,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Callable[[], Ended]:
    """Starts what `run` runs; what is returned waits for its end."""
    # A pipe and no file: a limit on the size of files must not cut what is printed. It holds more than any command prints.
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_command, args=(list(arguments), place, writing, environment or {}, prepare)
    )
    process.start()
    os.close(writing)
    return partial(_ended, process, reading)


def _ended(process: ForkProcess, reading: int) -> Ended:
    process.join(TIMEOUT)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    os.set_blocking(reading, False)
    output = os.read(reading, MOST_OUTPUT).decode(errors="replace") if _readable(reading) else ""
    os.close(reading)
    assert process.exitcode is not None
    return Ended(process.exitcode, f"hangs: still running after {TIMEOUT} s\n{output}" if hangs else output)


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _command(
    arguments: list[str], place: Path, output: int, environment: Mapping[str, str], prepare: Callable[[], None] | None
) -> None:
    from harness.cli import main

    for standard in (1, 2):
        os.dup2(output, standard)
    os.chdir(place)
    os.environ.update(environment)
    if prepare is not None:
        prepare()
    main(arguments)


def run_for_real(
    arguments: Sequence[str], place: Path, environment: Mapping[str, str] | None = None, launcher: Sequence[str] = ("-m",)
) -> Ended:
    """Runs `python -m harness ARGUMENTS`, nothing preloaded; `launcher` stands before `harness`."""
    done = subprocess.run(
        [sys.executable, *launcher, "harness", *arguments],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
        check=False,
    )
    return Ended(done.returncode, done.stdout + done.stderr)


def on_small_disk(place: Path, pages: int, work: Callable[[], str | None]) -> str | None:
    """What `work` returns in a forked process to which `place` is an empty disk of so many pages, in memory.

    No other process sees the disk, and it vanishes with the last that does. Raises PermissionError where none may be made.
    """
    receiving, sending = multiprocessing.get_context("fork").Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_work_on_disk, args=(place, pages, work, sending))
    process.start()
    sending.close()
    try:
        found: str | PermissionError | None = receiving.recv()
    except EOFError as error:
        raise SystemExit("a try on a small disk failed by itself") from error
    finally:
        process.join()
        receiving.close()
    if isinstance(found, PermissionError):
        raise found
    return found


def _work_on_disk(place: Path, pages: int, work: Callable[[], str | None], sending: Connection) -> None:
    try:
        _leave_mounts_of_others()
        _mount(os.fsencode(place), b"tmpfs", 0, f"nr_blocks={pages}".encode())
    except OSError as error:
        sending.send(PermissionError(errno.EPERM, f"a tmpfs cannot be mounted: {error.strerror}"))
        return
    sending.send(work())


def _leave_mounts_of_others() -> None:
    """From now on what this process mounts is seen by it and its children alone; it need not be root where users may do this."""
    own_mounts, own_users, recursive, private = 0x20000, 0x10000000, 0x4000, 0x40000  # of linux/sched.h and linux/mount.h
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    user, group = os.geteuid(), os.getegid()
    if unshare(own_mounts) != 0:
        _check(unshare(own_mounts | own_users))
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(text)
    _mount(b"/", None, recursive | private, None)


def _mount(place: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.mount(b"none", place, kind, ctypes.c_ulong(flags), options))


def _check(result: int) -> None:
    """Raises OSError if a call of the C library failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
