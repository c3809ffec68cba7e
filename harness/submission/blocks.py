"""Whole lines of text to arrays, many rows at a time; or nothing at all if any of them is not written exactly as it has to be.

What is refused here is looked at again line by line (harness.submission.faults), so this file never explains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge
from harness.data.sample import Images, read_images
from harness.submission.faults import LONGEST_LINE
from harness.submission.writer import REAL

_REALS = re.compile(rf"(?:{REAL}[,\n])*+".encode())


@dataclass(frozen=True, eq=False)
class RowBlock:
    """The rows of a block: image names (None where rows have none) and values (rows, fields) int8 or float64."""

    images: Images | None
    values: NDArray[Any]


def read_block(data: bytes, challenge: Challenge, with_image: bool) -> RowBlock | None:
    """The rows of `data`, which ends with a line end; None if any byte is other than it has to be."""
    buffer = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate(([0], ends[:-1] + 1))
    commas = np.flatnonzero(buffer == ord(","))
    per_row = len(challenge.fields) - (not with_image)
    if len(commas) != per_row * len(ends):
        return None
    separators = commas.reshape(len(ends), per_row)
    if not with_image:
        separators = np.column_stack([starts - 1, separators])
    if (separators[:, 0] < starts - 1).any() or (separators[:, -1] > ends).any():
        return None
    images = None
    if with_image:
        images = read_images(buffer, starts, separators[:, 0])
        if images is None:
            return None
    values = _integers(buffer, separators, ends, challenge) if challenge.integral else _reals(data, separators, ends, challenge)
    return None if values is None else RowBlock(images, values)


def _integers(
    buffer: NDArray[np.uint8], separators: NDArray[np.int64], ends: NDArray[np.int64], challenge: Challenge
) -> NDArray[np.int8] | None:
    """One digit between separators for every field."""
    if (np.diff(separators, axis=1, append=ends[:, None]) != 2).any():
        return None
    digits = buffer[separators + 1] - ord("0")
    highest = np.array([field.high for field in challenge.fields], np.uint8)
    return None if (digits > highest).any() else digits.view(np.int8)


def _reals(
    data: bytes, separators: NDArray[np.int64], ends: NDArray[np.int64], challenge: Challenge
) -> NDArray[np.float64] | None:
    """The text without image names, checked by one expression and converted at once; integer fields are one digit wide."""
    if np.diff(ends, prepend=-1).max(initial=0) > LONGEST_LINE + 1:
        return None
    places = zip((separators[:, 0] + 1).tolist(), (ends + 1).tolist(), strict=True)
    text = b"".join([data[start:end] for start, end in places])
    if not _REALS.fullmatch(text):
        return None
    values = np.fromstring(text.replace(b"\n", b",")[:-1], sep=",").reshape(len(ends), len(challenge.fields))
    widths = np.diff(separators, axis=1, append=ends[:, None]) - 1
    for column, field in enumerate(challenge.fields):
        if field.integral and (widths[:, column] != 1).any():
            return None
        if not ((values[:, column] >= field.low) & (values[:, column] <= field.high)).all():
            return None
    return values
