"""Reads a CSV table that a person or another program wrote: any line ends, and what is no table named with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from harness.errors import DataError


def read_cells(data: bytes, path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that has any, header included, with the 1-based line on which the row ends.

    A byte-order mark and blanks after a comma are read over; LF, CRLF and CR all end a line. Raises DataError naming file and
    line where the text is no CSV table, as at a quote that is never closed.
    """
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "replace", newline=None)  # decoded piece by piece
    reader = csv.reader(text, skipinitialspace=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f"not a CSV table: {error}",
            path=path,
            line=reader.line_num,
            expected="short cells with commas between them",
            remedy="look for a quote without its partner",
        ) from error


def read_columns(data: bytes, path: str | Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The names of the columns, and each further row by these names, "" where it has no such cell. Raises as read_cells does."""
    rows = read_cells(data, path)
    columns = [name.strip() for name in next(rows, (1, []))[1]]
    empty = dict.fromkeys(columns, "")
    return columns, ((line, {**empty, **dict(zip(columns, cells, strict=False))}) for line, cells in rows)
