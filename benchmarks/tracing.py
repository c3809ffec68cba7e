"""Which lines of some files are executed, by `sys.settrace`, also in the processes that a test starts."""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER, OWNER, WATCHED = "MUTANTS_REACH", "MUTANTS_OWNER", "MUTANTS_WATCHED"
"""Environment of the processes that tests start: where they write what they reached, for whom, and which folder is watched."""
SITE = "from benchmarks import tracing\ntracing.note_this_process()\n"
"""A sitecustomize.py, which Python imports when it starts."""


class Lines:
    """Notes the lines executed in the watched files, by who is at work."""

    def __init__(self, root: Path, watched: Iterable[str]) -> None:
        self._names = {str(root / name): name for name in watched}
        self.by_owner: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self._current: set[tuple[str, int]] = set()

    def start(self) -> None:
        """From here on, in this thread and in those that are started."""
        threading.settrace(self._called)
        sys.settrace(self._called)

    def switch(self, owner: str) -> None:
        """What follows is done for `owner`."""
        self._current = self.by_owner[owner]
        os.environ[OWNER] = owner

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._stepped if frame.f_code.co_filename in self._names else None

    def _stepped(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._current.add((self._names[frame.f_code.co_filename], frame.f_lineno))
        return self._stepped


def note_this_process() -> None:
    """In a process that a test started: what it executes is written down when it ends, unless it is killed."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return
    root, names = json.loads(os.environ[WATCHED])
    owner = os.environ[OWNER]
    lines = Lines(Path(root), names)
    lines.switch(owner)
    atexit.register(
        lambda: Path(folder, f"{os.getpid()}-{time.time_ns()}.json").write_text(
            json.dumps([owner, sorted(lines.by_owner[owner])])
        )
    )
    lines.start()
