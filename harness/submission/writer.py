"""Answers as bytes: a track's file, and the single file merged along the rows of a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge
from harness.submission.rows import Rows, image_prefixes, value_bytes, value_lines

# Rows joined at a time.
BLOCK = 1 << 16


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
