"""How far a long command is: a bar at a terminal, a line now and then where there is none, as in a log of a cluster."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

from harness.streams import tell

EVERY = 30.0
"""Seconds from one line to the next; whatever ends before the first is done says nothing."""

Item = TypeVar("Item")


class TaskProgress:
    """A task of `total` units, or of an unknown number; used as a context.

    Only the main process of a launch speaks.
    """

    def __init__(self, task: str, total: int | None = None, unit: str = "step") -> None:
        self.task, self.total, self.unit = task, total, unit
        self.done, self.words = 0, ""
        self._bar = tqdm(total=total, desc=task, unit=unit, disable=None)
        self._begun = self._told = time.monotonic()
        self._silent = not self._bar.disable or os.environ.get("RANK", "0") != "0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def update(self, count: int = 1, words: str = "") -> None:
        """`count` more units are done; `words` say what comes next."""
        self.done, self.words = self.done + count, words
        if not self._bar.disable:
            if words:
                self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(count)
        now = time.monotonic()
        if not self._silent and now - self._told >= EVERY:
            self._told = now
            tell(self.line(now - self._begun))

    def line(self, seconds: float) -> str:
        """How far the task is after so many seconds: `predict test: 1,200 of 9,000 frames, 52 per second, 0:02:30 left`."""
        pace = self.done / max(seconds, 1e-9)
        of = "" if self.total is None else f" of {self.total:,}"
        speed = f"{pace:,.0f} per second" if pace >= 1 else f"{1 / max(pace, 1e-9):,.0f} s each"
        parts = [f"{self.task}: {self.done:,}{of} {self.unit}s", speed]
        if self.total is not None and self.done:
            parts.append(f"{datetime.timedelta(seconds=round(max(self.total - self.done, 0) / pace))} left")
        return ", ".join([*parts, *([self.words] if self.words else [])])


def tracked(items: Iterable[Item], task: str, total: int | None = None, unit: str = "step") -> Iterator[Item]:
    """The items, one unit of the task each."""
    with TaskProgress(task, total, unit) as progress:
        for item in items:
            yield item
            progress.update()
