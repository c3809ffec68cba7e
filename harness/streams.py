"""The standard streams: what is said on the way is worth less than the work, so a stream that fails is left alone."""

from __future__ import annotations

import os
import sys
from typing import IO

import click


def occupy() -> None:
    """Lets standard streams that were closed before the start lead nowhere.

    Their descriptors would otherwise be given to the next files that are opened, and what libraries print would be in them.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            _point_nowhere(descriptor)
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:
        sys.stderr = _nowhere()


def tell(line: str) -> None:
    """Prints a line to standard error; if that is closed, full or gone, it and all that follows go nowhere."""
    try:
        click.echo(line, err=True)
    except (OSError, ValueError):  # ValueError: the stream object was closed
        leave(sys.stderr)


def leave(stream: IO[str]) -> None:
    """Lets what is still to be printed to a stream go nowhere, for Python would fail again when it flushes at exit."""
    try:
        _point_nowhere(stream.fileno())
    except (OSError, ValueError):  # a stream without a descriptor cannot fail at exit
        return


def _point_nowhere(descriptor: int) -> None:
    from harness import files

    nowhere = files.open_nowhere()
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _nowhere() -> IO[str]:
    from harness import files

    return os.fdopen(files.open_nowhere(), "w")
