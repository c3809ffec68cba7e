"""Faults that many lines of a block share, found for all of them at once.

Reading lines one by one (harness.submission.faults) takes many times as long, and a writer that makes a mistake makes it in every
row. Here it is found which lines have which fault; what is said of a line is left to that reader, and where anything else is
wrong with a block, nothing is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.sample import read_images
from harness.findings import FindingKind
from harness.submission import catalogue
from harness.submission.blocks import RowBlock, read_block
from harness.submission.faults import LONGEST_LINE, MOST_TEXTS, SEPARATORS, LineReader, RowForm, header_names

_QUOTES = re.compile(rb"[\"']+")
# Behind a separator, at the very start, or before a separator; written so that the search begins at a blank.
_BLANKS = re.compile(rb"[ \t](?:(?<=[,\n].)[ \t]*|(?<=^.)[ \t]*|[ \t]*(?=[,\n]))")
_LAST_COMMAS = re.compile(rb",+(?=\n)")
_INDEX = re.compile(rb"(?m)^[0-9]*,(?=[^,\n]+/)")
_OTHER_EXTENSION = re.compile(rb"(?m)^([^,/\n]+/[0-9]{1,9})(?!\.jpg,)(?:\.[A-Za-z0-9]+)?(?=,)")
_OTHER_PADDING = re.compile(rb"(?m)^([^,/\n]+/)(?![0-9]{5}\.)([0-9]{1,9})(?=\.jpg,)")
# Texts of values in which nothing is to be looked for but numbers and names.
_PLAIN = re.compile(rb"[0-9A-Za-z.+,-]*")


@dataclass(frozen=True, eq=False)
class SharedRows:
    """The rows of a block, of each whether its values could be read (rows,), and by fault the places of its lines, from 0."""

    rows: RowBlock
    known: NDArray[np.bool_]
    faults: Mapping[FindingKind, NDArray[np.int64]]


def read_shared(block: bytes, form: RowForm, lines: LineReader) -> SharedRows | None:
    """The rows of `block`, which ends with a line end; None if it has no fault of this kind, or others as well."""
    ends = _line_ends(block)
    if np.diff(ends, prepend=-1).max() > LONGEST_LINE + 1:
        return None
    return _read_cleaned(block, len(ends), form) or _read_values(block, ends, form, lines)


def _read_cleaned(block: bytes, count: int, form: RowForm) -> SharedRows | None:
    """Rows that are well when something is taken away or put right."""
    faults: dict[FindingKind, NDArray[np.int64]] = {}
    clean = block
    for kind, pattern, replacement in _steps(block, count, form):
        found = [match.start() for match in pattern.finditer(clean)]
        if found:
            faults[kind] = np.unique(np.searchsorted(_line_ends(clean), np.array(found, np.int64)))
            clean = pattern.sub(replacement, clean)
    rows = read_block(clean, form.challenge, form.with_image) if faults else None
    return None if rows is None else SharedRows(rows, np.ones(count, np.bool_), faults)


Step = tuple[FindingKind, re.Pattern[bytes], bytes | Callable[[re.Match[bytes]], bytes]]


def _steps(block: bytes, count: int, form: RowForm) -> Iterator[Step]:
    """The steps in the order in which a line is read, without those that cannot change anything."""
    commas, wanted = block.count(b","), (form.fields - 1) * count
    if commas == 0 and wanted:
        separator = next((one.encode() for one in SEPARATORS if one and block.count(one.encode()) == wanted), None)
        if separator:
            yield catalogue.DELIMITER, re.compile(re.escape(separator)), b","
    if b'"' in block or b"'" in block:
        yield catalogue.QUOTED_FIELD, _QUOTES, b""
    if b" " in block or b"\t" in block:
        yield catalogue.SPACES, _BLANKS, b""
    if commas > wanted:
        yield catalogue.TRAILING_COMMA, _LAST_COMMAS, b""
        if form.with_image:
            yield catalogue.INDEX_COLUMN, _INDEX, b""
    if form.with_image:
        if block.count(b".jpg") < count:
            yield catalogue.IMAGE_EXTENSION, _OTHER_EXTENSION, rb"\1.jpg"
        yield catalogue.IMAGE_PADDING, _OTHER_PADDING, lambda match: b"%s%05d" % (match[1], int(match[2]))


def _read_values(block: bytes, ends: NDArray[np.int64], form: RowForm, reader: LineReader) -> SharedRows | None:
    """Rows whose values are faulty, in few different ways."""
    lines = block.removesuffix(b"\n").split(b"\n")
    images = None
    if form.with_image:
        starts = np.append(0, ends[:-1] + 1)
        commas = np.array([line.find(b",") for line in lines], np.int64)
        images = read_images(np.frombuffer(block, np.uint8), starts, starts + commas) if (commas >= 0).all() else None
        if images is None:
            return None
        lines = [line.partition(b",")[2] for line in lines]
    texts: dict[bytes, int] = {}
    which = np.array([texts.setdefault(line, len(texts)) for line in lines], np.int64)
    if len(texts) > MOST_TEXTS or not all(_is_plain(text, form) for text in texts):
        return None
    read = [reader.values(text.decode()) for text in texts]
    known = np.array([row is not None for _, row in read])
    if known.all():
        return None
    unknown = (0.0,) * len(form.challenge.fields)
    values = np.array([row or unknown for _, row in read], np.int8 if form.challenge.integral else np.float64)
    kinds = dict.fromkeys(kind for faults, _ in read for kind in faults)
    having = {kind: np.array([kind in faults for faults, _ in read]) for kind in kinds}
    return SharedRows(
        RowBlock(images, values[which]), known[which], {kind: np.flatnonzero(has[which]) for kind, has in having.items()}
    )


def _is_plain(text: bytes, form: RowForm) -> bool:
    """Whether nothing but the values themselves can be wrong with the values of a row."""
    return (
        _PLAIN.fullmatch(text) is not None
        and text.count(b",") == len(form.challenge.fields) - 1
        and (form.with_image or (text != b"" and header_names(text.decode()) != form.header_names))
    )


def _line_ends(block: bytes) -> NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
