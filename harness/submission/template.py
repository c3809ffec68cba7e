"""The official sample file: which rows a test set's answer has, in which order, and under which header."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError
from harness.submission.blocks import Images, read_images
from harness.submission.rows import FRAME, NAME, Rows

# The largest sample known has 1,022,655 rows and 29 MB.
LARGEST_SAMPLE = 256 * 1024 * 1024
BLOCK = 1 << 20
_IMAGE = re.compile(rf"({NAME})/({FRAME})\.jpg".encode())


@dataclass(frozen=True, eq=False)
class Template:
    """A sample file: its rows, and its header as bytes without the line end."""

    rows: Rows
    header: bytes


def read_template(path: str | Path) -> Template:
    """Reads a sample or example file; see parse_template. Raises DataError naming the file and the line."""
    return parse_template(files.read_bytes(path, LARGEST_SAMPLE), str(path))


def parse_template(data: bytes, path: str) -> Template:
    """Header, rows and their order. What stands behind a row's first comma (nothing, or a dummy value) is not looked at.

    A byte-order mark and carriage returns, which an editor may have added, are taken away. Raises DataError with the 1-based line
    for a row that is not `<track>/<5 digits>.jpg`, or that comes twice.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    header, _, body = data.partition(b"\n")
    if b"/" in header.partition(b",")[0] or not header.strip():
        raise DataError(
            "a sample file begins with a header", path=path, line=1, found=ascii(header[:80].decode("utf-8", "replace"))
        )
    body = body.rstrip(b"\n") + b"\n"
    if body == b"\n":
        raise DataError("a sample file without rows", path=path, remedy="name the sample file of the test set with --sample")
    known: dict[bytes, int] = {}
    tracks, frames, line = [], [], 2
    for block in _blocks(io.BytesIO(body)):
        images = _images(block, line, path)
        index = np.array([known.setdefault(name, len(known)) for name in images.names], np.int32)
        tracks.append(index[images.track])
        frames.append(images.frame)
        line += len(images.frame)
    rows = Rows(tuple(name.decode() for name in known), np.concatenate(tracks), np.concatenate(frames))
    _refuse_duplicates(rows, path)
    return Template(rows, header)


def _blocks(handle: BinaryIO) -> Iterator[bytes]:
    """Whole lines, about BLOCK bytes at a time."""
    while block := handle.read(BLOCK):
        yield block + handle.readline()


def _images(block: bytes, line: int, path: str) -> Images:
    buffer = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate(([0], ends[:-1] + 1))
    images = read_images(buffer, starts, _first_commas(buffer, starts, ends))
    return images or _images_one_by_one(block, line, path)


def _first_commas(buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each line the position of its first comma, or its end where there is none."""
    commas = np.append(np.flatnonzero(buffer == ord(",")), len(buffer))
    firsts: NDArray[np.int64] = np.minimum(commas[np.searchsorted(commas, starts)], ends)
    return firsts


def _images_one_by_one(block: bytes, line: int, path: str) -> Images:
    """The same, slowly: for numbers of more than five digits, and to name the line that is wrong."""
    known: dict[bytes, int] = {}
    tracks, frames = [], []
    for number, text in enumerate(block.removesuffix(b"\n").split(b"\n"), line):
        image = text.partition(b",")[0]
        match = _IMAGE.fullmatch(image)
        if match is None:
            raise DataError(
                "not a row of a sample file",
                path=path,
                line=number,
                found=ascii(image[:80].decode("utf-8", "replace")),
                expected="<track>/<5 digits>.jpg, then a comma",
            )
        tracks.append(known.setdefault(match[1], len(known)))
        frames.append(int(match[2]))
    return Images(list(known), np.array(tracks, np.int32), np.array(frames, np.int32))


def _refuse_duplicates(rows: Rows, path: str) -> None:
    codes = (rows.track.astype(np.int64) << 32) | rows.frame
    if (np.diff(codes) > 0).all():
        return
    _, firsts, counts = np.unique(codes, return_index=True, return_counts=True)
    if (counts > 1).any():
        repeated = set(codes[firsts[counts > 1]].tolist())
        seen: set[int] = set()
        for index in np.flatnonzero(np.isin(codes, list(repeated))).tolist():
            if int(codes[index]) in seen:
                name, frame = rows.names[rows.track[index]], int(rows.frame[index])
                raise DataError(
                    "a row of the sample file comes twice", path=path, line=index + 2, found=f"{name}/{frame:05d}.jpg"
                )
            seen.add(int(codes[index]))
