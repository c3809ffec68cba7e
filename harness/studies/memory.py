"""How much memory a piece of work takes, with all processes it starts."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

SECONDS = 0.5
"""Between two looks. A batch is decoded in less, but the same memory is used again for the next."""


def of_process_tree(process: int) -> int:
    """Bytes of a process and all that descend from it, a page that several share counted once in all; 0 if Linux does not say.

    The proportional set size (Pss) of /proc/PID/smaps_rollup, see proc(5): each page divided by the number of its users.
    """
    return sum(_proportional_set(one) for one in _with_descendants(process))


def _proportional_set(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _with_descendants(process: int) -> list[int]:
    found = [process]
    for one in found:
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                found += map(int, Path(f"/proc/{one}/task/{thread}/children").read_text().split())
        except OSError:
            continue
    return found


class PeakMemory:
    """Watches, for the length of a with block, what this process and all it starts take together."""

    def __init__(self) -> None:
        self._most = 0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._ended.set()
        self._watcher.join()

    @property
    def bytes(self) -> int:
        """The most that was seen; at least what the system noted as the peak of this process alone."""
        return max(self._most, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS):
            self._most = max(self._most, of_process_tree(os.getpid()))
