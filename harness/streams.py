"""The standard streams, and the only functions that print to them.

Parts of what is printed come from names that others gave: nothing in it is obeyed by a terminal. What is said on the way is worth
less than the work, so a stream of that which fails is left alone.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import IO

import click

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_DOUBTFUL = re.compile(r"[^\n -~]")


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


def harmless(text: str, styled: bool = False) -> str:
    """`text` with all but its line ends written out that a terminal would obey; colours stay in `styled` text."""
    if styled:
        return "".join(part if number % 2 else harmless(part) for number, part in enumerate(_COLOUR.split(text)))
    return _DOUBTFUL.sub(lambda found: found[0] if found[0].isprintable() else ascii(found[0])[1:-1], text)


def show(text: str, styled: bool = False, err: bool = False, color: bool | None = None) -> None:
    """Prints what a command has to say, to standard output or error. See `harmless` for `styled`, whose makers see to names."""
    click.echo(harmless(text, styled), err=err, color=color)


def show_json(text: str) -> None:
    """Prints JSON text, the same value in characters that no terminal obeys."""
    click.echo(_DOUBTFUL.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text), nl=False)


def tell(line: str, styled: bool = False) -> None:
    """Prints a line to standard error; if that is closed, full or gone, it and all that follows go nowhere."""
    try:
        show(line, styled, err=True)
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
