"""The progress bar of commands that choose by labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[str], None]]:
    """A bar that moves on, and says what is being done, whenever it is called."""
    from tqdm import tqdm

    with tqdm(desc=title, disable=None, unit="step") as bar:

        def show(line: str) -> None:
            bar.set_postfix_str(line)
            bar.update()

        yield show
