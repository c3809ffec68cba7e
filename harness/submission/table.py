"""A file of predictions as arrays, read in bounded memory, with every fault on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge
from harness.data.sample import MOST_ROWS, MOST_TRACKS
from harness.findings import FindingKind, Findings
from harness.submission import catalogue
from harness.submission.blocks import RowBlock, read_block
from harness.submission.faults import LONGEST_LINE, LineReader, Row, RowForm
from harness.submission.header import check_header, is_header
from harness.submission.shared_faults import read_shared

BLOCK = 1 << 20
# The largest answer known has 1,022,655 rows; two real values of 20 characters each would make it 65 MB.
LARGEST_FILE = 256 * 1024 * 1024
# Lines among which faults were met, which are read one by one: about 100,000 in a second.
MOST_LINES_ONE_BY_ONE = 1_500_000
# So few lines are read one by one rather than halved again.
_FEW_LINES = 256
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file in its order.

    Attributes
    ----------
    names : tracks by name; empty where rows have no image names.
    track : (R,) int32, index into `names`, -1 where the image name could not be read.
    frame : (R,) int32, number of the image.
    values : (R, fields) int8 or float64; 0 where not `known`.
    known : (R,) bool, whether the values could be read.
    line : (R,) int32, 1-based line of each row.
    last_line : number of the file's last line.
    complete : whether the file was read to its end.
    """

    names: tuple[str, ...]
    track: NDArray[np.int32]
    frame: NDArray[np.int32]
    values: NDArray[Any]
    known: NDArray[np.bool_]
    line: NDArray[np.int32]
    last_line: int
    complete: bool

    @classmethod
    def empty(cls, challenge: Challenge, last_line: int = 0, complete: bool = False) -> Table:
        """A table without rows."""
        values = np.zeros((0, len(challenge.fields)), np.int8 if challenge.integral else np.float64)
        nothing = np.zeros(0, np.int32)
        return cls((), nothing, nothing, values, np.zeros(0, np.bool_), nothing, last_line, complete)

    def __len__(self) -> int:
        return len(self.track)


def read_table(handle: BinaryIO, form: RowForm, file: str, findings: Findings) -> Table:
    """Reads a file whose rows have the form `form`; `file` is its name in the findings."""
    return _TableReader(form, file, findings).read(handle)


class _StopError(Exception):
    """A limit was met; the finding that says so was added."""


class _TableReader:
    def __init__(self, form: RowForm, file: str, findings: Findings) -> None:
        self._form = form
        self._file = file
        self._findings = findings
        self._lines = LineReader(form, file, findings)
        self._known: dict[str, int] = {}
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._rows = 0
        self._one_by_one = 0
        self._last_line = 0

    def read(self, handle: BinaryIO) -> Table:
        complete = True
        try:
            for block in self._blocks(handle):
                self._read_block(block)
        except _StopError:
            complete = False
        if complete and not self._rows:
            self._findings.add(catalogue.FILE_EMPTY, self._file, expected="a header and rows")
        if not self._parts:
            return Table.empty(self._form.challenge, self._last_line, complete)
        track, frame, values, known, line = (np.concatenate(arrays) for arrays in zip(*self._parts, strict=True))
        return Table(tuple(self._known), track, frame, values, known, line, self._last_line, complete)

    def _blocks(self, handle: BinaryIO) -> Iterator[bytes]:
        """The file in blocks of whole lines that end in LF, without byte-order mark and carriage returns, which are said."""
        self._refuse_large(handle)
        carry, size, line_of_carry, first_return, returns = b"", 0, 1, 0, 0
        ended = False
        while not ended:
            chunk = self._chunk(handle)
            ended = not chunk
            if not size:
                chunk = self._without_mark(chunk)
            size += len(chunk)
            data = carry + chunk
            if ended and data and data[-1:] not in (b"\n", b"\r"):
                data += b"\n"
                self._findings.add(catalogue.FINAL_NEWLINE, self._file, line_of_carry + data[:-1].count(b"\n"))
            # A carriage return at the very end may be the first half of a line end.
            cut = len(data) if ended else max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
            block, carry = data[:cut], data[cut:]
            if (at := block.find(b"\r")) >= 0:
                first_return = first_return or line_of_carry + block.count(b"\n", 0, at)
                returns += block.count(b"\r")
                block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            line_of_carry += block.count(b"\n")
            if block:
                yield block
            if len(carry) > LONGEST_LINE:
                self._stop(catalogue.LINE_TOO_LONG, line_of_carry, f"more than {LONGEST_LINE:,} bytes")
        if returns:
            self._findings.add(catalogue.CARRIAGE_RETURN, self._file, first_return, "CR LF or CR", "LF")
            self._findings.count_more(catalogue.CARRIAGE_RETURN, self._file, returns - 1)

    def _refuse_large(self, handle: BinaryIO) -> None:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        if size > LARGEST_FILE:
            self._stop(catalogue.FILE_TOO_LARGE, None, f"{size:,} bytes", f"at most {LARGEST_FILE:,}")

    def _chunk(self, handle: BinaryIO) -> bytes:
        try:
            return handle.read(BLOCK)
        except OSError as error:
            self._stop(catalogue.FILE_UNREADABLE, None, error.strerror or str(error))

    def _without_mark(self, data: bytes) -> bytes:
        if data.startswith(_UTF16_MARKS):
            self._stop(catalogue.ENCODING, 1, "UTF-16")
        if data.startswith(b"\xef\xbb\xbf"):
            self._findings.add(catalogue.BYTE_ORDER_MARK, self._file, 1)
            return data[3:]
        return data

    def _stop(self, kind: FindingKind, line: int | None, found: str, expected: str = "") -> NoReturn:
        self._findings.add(kind, self._file, line, found, expected)
        raise _StopError

    def _read_block(self, block: bytes) -> None:
        if self._last_line == 0:
            block = self._without_header(block)
        if block:
            self._read_lines(block, block.count(b"\n"))

    def _without_header(self, block: bytes) -> bytes:
        """Checks the first line and takes it away, unless it is a row."""
        header, _, rest = block.partition(b"\n")
        if not is_header(header):
            self._findings.add(
                catalogue.HEADER_MISSING,
                self._file,
                1,
                header.decode("utf-8", "replace"),
                self._form.header.decode("utf-8", "replace"),
            )
            return block
        check_header(header, self._form, self._file, self._findings)
        self._last_line = 1
        return rest

    def _read_lines(self, block: bytes, count: int) -> None:
        """Many lines at a time, also where they share a fault; where that fails in halves, and the last few one by one."""
        rows = read_block(block, self._form.challenge, self._form.with_image)
        if rows is not None:
            self._take(rows)
        elif count <= _FEW_LINES:
            self._read_one_by_one(block)
        elif (shared := read_shared(block, self._form, self._lines)) is not None:
            self._report_shared(block, shared.faults)
            self._take(shared.rows, shared.known)
        else:
            middle = block.find(b"\n", len(block) // 2) + 1
            if middle in (0, len(block)):
                self._read_one_by_one(block)
            else:
                first = block.count(b"\n", 0, middle)
                self._read_lines(block[:middle], first)
                self._read_lines(block[middle:], count - first)

    def _report_shared(self, block: bytes, faults: Mapping[FindingKind, NDArray[np.int64]]) -> None:
        """Adds a finding for each line that has a fault; only those that are kept are read one by one to say what was found."""
        kept = [lines[: self._findings.room(kind, self._file)] for kind, lines in faults.items()]
        read = np.unique(np.concatenate(kept))
        text = block.split(b"\n")
        for line in read.tolist():
            self._lines.read(text[line], self._last_line + 1 + line, self._rows + line)
        for kind, lines in faults.items():
            self._findings.count_more(kind, self._file, len(lines) - int(np.isin(lines, read).sum()))

    def _take(self, block: RowBlock, known: NDArray[np.bool_] | None = None) -> None:
        """Adds a row for each line; `known` says of which the values could be read, by default of all."""
        count = len(block.values)
        if block.images is None:
            track, frame = np.zeros(count, np.int32), np.arange(self._rows + 1, self._rows + count + 1, dtype=np.int32)
        else:
            index = np.array([self._index(name) for name in block.images.names], np.int32)
            track, frame = index[block.images.track], block.images.frame
        line = np.arange(self._last_line + 1, self._last_line + count + 1, dtype=np.int32)
        self._add(track, frame, block.values, np.ones(count, np.bool_) if known is None else known, line)
        self._last_line += count

    def _read_one_by_one(self, block: bytes) -> None:
        lines = block.removesuffix(b"\n").split(b"\n")
        self._one_by_one += len(lines)
        if self._one_by_one > MOST_LINES_ONE_BY_ONE:
            self._stop(catalogue.TOO_MANY_FAULTS, self._last_line + 1, "")
        rows: list[Row] = []
        numbers: list[int] = []
        for line in lines:
            self._last_line += 1
            row = self._lines.read(line, self._last_line, self._rows + len(rows))
            if row is not None:
                rows.append(row)
                numbers.append(self._last_line)
        if rows:
            self._take_one_by_one(rows, numbers)

    def _take_one_by_one(self, rows: list[Row], lines: list[int]) -> None:
        challenge = self._form.challenge
        if self._form.with_image:
            track = np.array([-1 if row.track is None else self._index(row.track) for row in rows], np.int32)
            frame = np.array([row.frame for row in rows], np.int32)
        else:
            track, frame = np.zeros(len(rows), np.int32), np.arange(self._rows + 1, self._rows + len(rows) + 1, dtype=np.int32)
        unknown = (0.0,) * len(challenge.fields)
        values = np.array([row.values or unknown for row in rows], np.float64)
        known = np.array([row.values is not None for row in rows])
        self._add(track, frame, values.astype(np.int8) if challenge.integral else values, known, np.array(lines, np.int32))

    def _index(self, name: str) -> int:
        index = self._known.setdefault(name, len(self._known))
        if index == MOST_TRACKS:
            self._stop(catalogue.FILE_TOO_LARGE, self._last_line + 1, f"more than {MOST_TRACKS:,} tracks")
        return index

    def _add(self, *arrays: NDArray[Any]) -> None:
        self._parts.append(arrays)
        self._rows += len(arrays[0])
        if self._rows > MOST_ROWS:
            self._stop(catalogue.FILE_TOO_LARGE, None, f"more than {MOST_ROWS:,} rows")
