"""Answers as bytes: the one way to write a row, a track's file, and the single file merged along the rows of a sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import Challenge, Field
from harness.data.sample import FRAME, Rows

REAL = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
# Rows joined at a time.
BLOCK = 1 << 16


def field_pattern(field: Field) -> str:
    """A regular expression of the one way to write a value of `field`; of real numbers the range remains to be checked."""
    return f"[{field.low}-{field.high}]" if field.integral else REAL


def read_row(line: bytes, challenge: Challenge, with_image: bool) -> list[str] | None:
    """The texts of a row that is written in the one way it may be: track and frame if it names an image, then the fields."""
    match = _row_pattern(challenge, with_image).fullmatch(line)
    texts = [group.decode("utf-8", "replace") for group in match.groups()] if match else []
    return texts if match and not (with_image and not files.is_track_name(texts[0])) else None


@lru_cache
def _row_pattern(challenge: Challenge, with_image: bool) -> re.Pattern[bytes]:
    fields = ",".join(f"({field_pattern(field)})" for field in challenge.fields)
    image = rf"([^/]+)/({FRAME})\.jpg," if with_image else ""
    return re.compile((image + fields).encode())


def real_text(value: float) -> str:
    """The shortest decimal that reads back as `value`, without an exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def value_lines(values: NDArray[Any], challenge: Challenge) -> list[bytes]:
    """The value part of each row with its line end.

    `values` is (rows,) or (rows, fields): int8 where the challenge is integral, else float64. Raises ValueError for a shape or a
    value the challenge does not allow, naming the first row (1-based).
    """
    table = _checked(values, challenge)
    if challenge.integral:
        width = 2 * table.shape[1]
        data = _digits(table).tobytes()
        return [data[start : start + width] for start in range(0, len(data), width)]
    whole = [field.integral for field in challenge.fields]
    return [
        ",".join(str(int(value)) if integer else real_text(value) for value, integer in zip(row, whole, strict=True)).encode()
        + b"\n"
        for row in table.tolist()
    ]


def value_bytes(values: NDArray[Any], challenge: Challenge) -> bytes:
    """All value lines after one another: a track's file without its header. See value_lines."""
    if challenge.integral:
        return _digits(_checked(values, challenge)).tobytes()
    return b"".join(value_lines(values, challenge))


def _digits(table: NDArray[Any]) -> NDArray[np.uint8]:
    """(rows, 2 * fields) characters: a digit and a comma for each field, the last comma a line end."""
    characters = np.full((len(table), 2 * table.shape[1]), ord(","), np.uint8)
    characters[:, 0::2] = table + ord("0")
    characters[:, -1:] = ord("\n")
    return characters


def _checked(values: NDArray[Any], challenge: Challenge) -> NDArray[Any]:
    fields = challenge.fields
    table = values.reshape(-1, 1) if values.ndim == 1 else values
    if table.ndim != 2 or table.shape[1] != len(fields):
        raise ValueError(f"{challenge.name} has {len(fields)} numbers in a row, the values have the shape {values.shape}")
    low = np.array([field.low for field in fields])
    high = np.array([field.high for field in fields])
    whole = np.array([field.integral for field in fields])
    allowed = (table >= low) & (table <= high) & (~whole | (table == np.floor(table)))
    if not allowed.all():
        row, column = np.argwhere(~allowed)[0].tolist()
        field, value = fields[column], table[row, column].item()
        raise ValueError(f"row {row + 1} has {field.name} {value!r}, but {challenge.name} allows {field.low} to {field.high}")
    return table


def image_prefixes(rows: Rows) -> list[bytes]:
    """`<track>/<frame>.jpg,` for each row."""
    names = [name.encode() for name in rows.names]
    return [
        b"%s/%05d.jpg," % (names[track], frame) for track, frame in zip(rows.track.tolist(), rows.frame.tolist(), strict=True)
    ]


def track_file(values: NDArray[Any], challenge: Challenge) -> bytes:
    """A track's text: the annotation header, then a line for each row of `values` (rows,) or (rows, fields).

    Raises ValueError for values the challenge does not allow.
    """
    return challenge.header.encode() + b"\n" + value_bytes(values, challenge)


def merged_file(rows: Rows, header: bytes, values: Mapping[str, NDArray[Any]], challenge: Challenge) -> Iterator[bytes]:
    """The single file in pieces: `header` as it is, then each of `rows` with the next value of its track.

    Raises ValueError if a track's values are not as many as its rows, or not allowed.
    """
    per_track = []
    for name, count in rows.counts.items():
        if len(values[name]) != count:
            raise ValueError(f"{name} has {len(values[name])} values for {count} rows")
        per_track.append(values[name].reshape(count, -1))
    in_order = np.concatenate(per_track)[_positions(rows)]
    yield header + b"\n"
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        images = image_prefixes(Rows(rows.names, rows.track[part], rows.frame[part]))
        yield b"".join([image + text for image, text in zip(images, value_lines(in_order[part], challenge), strict=True)])


def _positions(rows: Rows) -> NDArray[np.int64]:
    """Of each row the place it would have if the rows of each track stood together, in the order of the names."""
    positions = np.empty(len(rows), np.int64)
    positions[np.argsort(rows.track, kind="stable")] = np.arange(len(rows))
    return positions
