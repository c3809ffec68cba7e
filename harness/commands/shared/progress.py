"""The progress bar of commands that choose by labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.progress import TaskProgress


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str], None]]:
    """A bar that moves on, and says what is being done, whenever it is called."""
    with TaskProgress(title) as progress:
        yield lambda line: progress.update(words=line)
