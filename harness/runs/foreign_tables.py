"""Tables of foreign scores: CSV and Parquet files with the columns track, frame, and one for each score or one of class ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.data.csv_table import read_columns
from harness.errors import DataError
from harness.findings import printable
from harness.runs.foreign_columns import NO_ANSWER, ForeignColumns, first_names
from harness.runs.foreign_rows import refuse_more
from harness.runs.parquet_pages import bytes_of_pages

LARGEST = 1024 * 1024 * 1024
"""Bytes of a CSV file, and of the columns of a Parquet file when they are unpacked."""
LONGEST_CELL = 64
"""Characters of a class name or a number, for the room that the rows of a Parquet file may take."""
LABEL = "label"
"""The column that holds class ids or class names in the place of a column for each class."""
MARGIN = 16 * 1024
"""Bytes of a chunk of a Parquet file's column for what is written beside its cells."""
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, eq=False)
class ForeignTable:
    """What a table says: `track` (N,) names, `frame` (N,) numbers, and `values`, scores (N, columns) or class ids (N,)."""

    track: NDArray[np.str_]
    frame: NDArray[Any]
    values: NDArray[Any]


def read_csv(path: Path, columns: ForeignColumns, most_rows: int | None, longest: int) -> ForeignTable:
    """A CSV table.

    Raises DataError naming the line of what is no table, no number or no class, and of a track's name of more than `longest`
    characters, as which all of them would be kept; and for more than `most_rows`.
    """
    found, table = read_columns(files.read_bytes(path, LARGEST), path)
    wanted = _columns_of_table(path, found, columns, line=1)
    tracks: list[str] = []
    frames: list[int] = []
    rows: list[list[float]] = []
    for line, cells in table:
        refuse_more(path, "track", len(rows) + 1, most_rows)
        _refuse_long_name(path, cells["track"].strip(), longest, line)
        if not _WHOLE.fullmatch(cells["frame"].strip()):
            raise DataError("a frame is a whole number", path=path, line=line, found=repr(cells["frame"][:40]))
        if wanted == (LABEL,):
            rows.append([columns.id_of(path, cells[LABEL].strip(), line)])
        else:
            try:
                rows.append([float(cells[name]) for name in wanted])
            except ValueError as error:
                raise DataError("a score is a number", path=path, line=line, found=str(error)[:80]) from error
        tracks.append(cells["track"].strip())
        frames.append(int(cells["frame"]))
    if not rows:
        raise DataError("the file has no rows", path=path, expected="a row for each track and frame")
    values = np.array(rows)
    return ForeignTable(np.array(tracks), np.array(frames), values[:, 0].astype(np.int64) if wanted == (LABEL,) else values)


def _columns_of_table(path: Path, found: Sequence[str], columns: ForeignColumns, line: int | None = None) -> tuple[str, ...]:
    """The columns of a table that hold what it says of a row: those of all scores, or `label` alone where ids may be given.

    Raises DataError, with the `line` of the names if they have one, where a column is absent.
    """
    wanted = (LABEL,) if columns.takes_ids and LABEL in found and not set(columns.names) <= set(found) else columns.names
    missing = [name for name in ("track", "frame", *wanted) if name not in found]
    if missing:
        expected = f"track,frame,{first_names(columns.names)}" + (f", or track,frame,{LABEL}" if columns.takes_ids else "")
        message = f"the column {missing[0]!r} is absent"
        raise DataError(message, path=path, line=line, found=",".join(found)[:80], expected=expected)
    return wanted


def read_parquet(path: Path, columns: ForeignColumns, most_rows: int | None, longest: int) -> ForeignTable:
    """A Parquet table, of which only the columns that are wanted are unpacked.

    Raises ModuleNotFoundError without pyarrow, DataError as `read_csv` and for a track's name of more than `longest` characters.
    """
    import pyarrow
    import pyarrow.parquet

    files.refuse_unreadable(path)
    try:
        # Texts stay in their dictionary: written out, one long text would be repeated for every row.
        schema = pyarrow.parquet.read_schema(path)
        texts = [field.name for field in schema if field.name in ("track", LABEL) and _is_text(field.type)]
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            wanted = _columns_of_table(path, file.schema_arrow.names, columns)
            if not file.metadata.num_rows:  # pandas cannot know what the columns would hold
                raise DataError("the file has no rows", path=path, expected="a row for each track and frame")
            _refuse_kinds(path, file.schema_arrow, wanted, columns)
            _refuse_large(path, file.metadata, ("track", "frame", *wanted), most_rows, longest)
            table = file.read(columns=["track", "frame", *wanted])
        # Texts that are not UTF-8 and places outside of their dictionary are met only when they are looked at.
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"not a Parquet file, or a damaged one: {str(error).splitlines()[0][:100]}", path=path) from error
    names, place = _texts_of_column(path, table, "track")
    _refuse_long_name(path, max(names, key=len), longest)
    if gap := _first_gap(table["frame"]):
        raise DataError("a frame is a whole number", path=path, found=f"nothing in row {gap}")
    track, frame = np.array([name.strip() for name in names])[place], table["frame"].to_numpy()
    if wanted == (LABEL,):
        return ForeignTable(track, frame, _ids_of_column(path, table, columns))
    return ForeignTable(track, frame, np.stack([table[name].to_numpy().astype(np.float64) for name in wanted], axis=1))


def _refuse_kinds(path: Path, schema: Any, wanted: Sequence[str], columns: ForeignColumns) -> None:
    """Raises DataError if a column of a Parquet file stands twice or holds something else than it must, which would be read.

    Labels may be numbers that are not whole, as pandas makes of whole ones with gaps, or nothing at all: `_ids_of_column` names
    the first gap.
    """
    from pyarrow import types

    for name in ("track", "frame", *wanted):
        if schema.names.count(name) > 1:
            raise DataError(f"two columns are called {name!r}", path=path, expected="a column of each name")
        kind = schema.field(name).type
        plain, text = _plain(kind), _is_text(kind)
        if name == "track" and not text:
            raise DataError("the column 'track' holds something else than texts", path=path, found=str(kind))
        if name == "frame" and not types.is_integer(kind):
            raise DataError("a frame is a whole number", path=path, found=f"a column of {kind}")
        if name == LABEL and not (text or types.is_integer(plain) or types.is_floating(kind) or types.is_null(kind)):
            raise columns.no_label(path, f"a column of {kind}")
        if name not in ("track", "frame", LABEL) and not (types.is_integer(kind) or types.is_floating(kind)):
            raise DataError("a score is a number", path=path, found=f"the column {name!r} of {kind}")


def _plain(kind: Any) -> Any:
    """The type of a column's cells, whether they are written out or stand in a dictionary."""
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(_plain(kind)) or types.is_large_string(_plain(kind)))


def _refuse_large(path: Path, metadata: Any, wanted: Sequence[str], most_rows: int | None, longest: int) -> None:
    """Raises DataError if the columns of a Parquet file, unpacked, would be larger than a table of its rows may be.

    What the foot says of sizes is compared with the heads of the pages; raises ValueError where the two do not fit.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    rows = sum(group.num_rows for group in groups)
    if rows != metadata.num_rows:
        raise ValueError("its groups have another number of rows than the table")
    refuse_more(path, "track", rows, most_rows)
    # Of no other column: where the foot is damaged, pyarrow may end the process that asks.
    numbers = [number for number in range(len(metadata.schema)) if metadata.schema.column(number).path in wanted]
    chunks = [(group, group.column(number)) for group in groups for number in numbers]
    row = 4 * (longest + len(wanted) * LONGEST_CELL)  # up to four bytes a character
    most = min(LARGEST, MARGIN * (1 + len(chunks)) + row * rows)

    def refuse_over(size: int) -> None:
        if size > most:
            raise DataError(
                "the columns are too large for what they should be",
                path=path,
                found=f"{size:,} bytes unpacked",
                expected=f"at most {most:,} bytes in {rows:,} rows",
            )

    refuse_over(sum(max(chunk.total_uncompressed_size, chunk.total_compressed_size) for _, chunk in chunks))
    unpacked = 0
    with open(path, "rb") as file:
        for group, chunk in chunks:
            if chunk.num_values != group.num_rows:
                raise ValueError("a column has another number of rows than the table")
            start = min(place for place in (chunk.data_page_offset, chunk.dictionary_page_offset or 0) if place > 0)
            for page in bytes_of_pages(file, start, chunk.num_values):
                unpacked += page
                refuse_over(unpacked)


def _texts_of_column(path: Path, table: Any, name: str) -> tuple[list[str], NDArray[np.int64]]:
    """The different texts of a column of a Parquet table, and which of them stands in each row (N,)."""
    column = table[name]
    if gap := _first_gap(column):
        raise DataError(f"the column {name!r} holds something else than texts", path=path, found=f"nothing in row {gap}")
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    chunk = encoded.chunk(0) if hasattr(encoded, "chunk") else encoded
    return chunk.dictionary.to_pylist(), chunk.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _ids_of_column(path: Path, table: Any, columns: ForeignColumns) -> NDArray[Any]:
    """The class ids (N,) that the labels of a Parquet table say, by their numbers or names."""
    from pyarrow import types

    column = table[LABEL]
    if gap := _first_gap(column):
        raise columns.no_label(path, f"nothing in row {gap}", remedy=NO_ANSWER)
    if types.is_floating(column.type):
        remedy = f"class ids are whole numbers: write table[{LABEL!r}].astype(int)"
        raise columns.no_label(path, f"a column of {column.type}", remedy=remedy)
    if types.is_dictionary(column.type) and types.is_integer(column.type.value_type):
        column = column.cast(column.type.value_type)
    if types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    words, place = _texts_of_column(path, table, LABEL)
    ids = np.zeros(len(words), dtype=np.int64)
    # A dictionary may hold words that stand in no row, as of categories that were filtered away.
    for number, first in zip(*np.unique(place, return_index=True), strict=True):
        ids[number] = columns.id_of(path, words[number].strip(), row=int(first) + 1)
    return ids[place]


def _first_gap(column: Any) -> int | None:
    """The first row, from 1, of a column of a Parquet table that holds nothing or no number; None if there is none."""
    gaps = column.is_null(nan_is_null=True).to_numpy()
    return int(np.argmax(gaps)) + 1 if gaps.any() else None


def _refuse_long_name(path: Path, name: str, longest: int, line: int | None = None) -> None:
    if len(name) > longest:
        found = f"{printable(name[:40])!r}, {len(name):,} characters"
        raise DataError("a name longer than any track's", path=path, line=line, found=found, expected=f"at most {longest}")
