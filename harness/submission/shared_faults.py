"""Faults that many lines of a block share, found for all of them at once.

Reading lines one by one (harness.submission.faults) takes many times as long, and a writer that makes a mistake makes it in every
row. What is said of a line is what that reader would say; where anything else is wrong with a block, nothing is said here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.data.sample import read_images
from harness.findings import KEPT, FindingKind, Findings
from harness.submission import catalogue
from harness.submission.blocks import Block, read_block
from harness.submission.faults import LONGEST_LINE, SEPARATORS, Described, RowForm, header_names, value_faults

# More different texts of values than this are no mistake that is made over and over.
MOST_TEXTS = 1000
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
class SharedFault:
    """A fault of several lines.

    Attributes
    ----------
    lines : their places in the block, from 0, ascending.
    text : lines as they stood when it was found; `describe` gives what was found and expected in one of them.
    """

    kind: FindingKind
    lines: NDArray[np.int64]
    text: bytes
    describe: Callable[[bytes], Described]

    def say(self, first_line: int, file: str, findings: Findings) -> None:
        """Adds a finding for each of the lines, of which the block's first is `first_line` (1-based) in the file."""
        starts = np.append(0, _line_ends(self.text) + 1)
        for line in self.lines[:KEPT].tolist():
            text = self.text[starts[line] : starts[line + 1] - 1]
            findings.add(self.kind, file, first_line + line, *self.describe(text))
        findings.count_more(self.kind, file, len(self.lines) - KEPT)


@dataclass(frozen=True, eq=False)
class SharedRows:
    """The rows of a block, of each whether its values could be read (rows,), and their faults."""

    rows: Block
    known: NDArray[np.bool_]
    faults: tuple[SharedFault, ...]


def read_shared(block: bytes, form: RowForm) -> SharedRows | None:
    """The rows of `block`, which ends with a line end; None if it has no fault of this kind, or others as well."""
    ends = _line_ends(block)
    if np.diff(ends, prepend=-1).max() > LONGEST_LINE + 1:
        return None
    return _read_cleaned(block, len(ends), form) or _read_values(block, ends, form)


def _read_cleaned(block: bytes, lines: int, form: RowForm) -> SharedRows | None:
    """Rows that are well when something is taken away."""
    faults: list[SharedFault] = []
    clean, with_images = block, None
    for step in _steps(block, lines, form):
        if step.of_image and with_images is None:
            with_images = clean
        found = [match.start() for match in step.pattern.finditer(clean)]
        if found:
            where = np.unique(np.searchsorted(_line_ends(clean), np.array(found, np.int64)))
            faults.append(SharedFault(step.kind, where, with_images or block, step.describe))
            clean = step.pattern.sub(step.replacement, clean)
    rows = read_block(clean, form.challenge, form.with_image) if faults else None
    return None if rows is None else SharedRows(rows, np.ones(lines, np.bool_), tuple(faults))


@dataclass(frozen=True)
class _Step:
    """What may be taken away or put right; faults of the image name are told of that name, others of the line as it is."""

    kind: FindingKind
    pattern: re.Pattern[bytes]
    replacement: bytes | Callable[[re.Match[bytes]], bytes]
    describe: Callable[[bytes], Described]
    of_image: bool = False


def _steps(block: bytes, lines: int, form: RowForm) -> Iterator[_Step]:
    """The steps in the order in which a line is read, without those that cannot change anything."""
    commas, wanted = block.count(b","), (form.fields - 1) * lines
    if commas == 0 and wanted:
        separator = next((one.encode() for one in SEPARATORS if one and block.count(one.encode()) == wanted), None)
        if separator:
            yield _Step(catalogue.DELIMITER, re.compile(re.escape(separator)), b",", lambda line: (line.decode(), "commas"))
    if b'"' in block or b"'" in block:
        yield _Step(catalogue.QUOTED_FIELD, _QUOTES, b"", lambda line: (line.decode(), ""))
    if b" " in block or b"\t" in block:
        yield _Step(catalogue.SPACES, _BLANKS, b"", lambda line: (repr(line.decode()), ""))
    if commas > wanted:
        yield _Step(catalogue.TRAILING_COMMA, _LAST_COMMAS, b"", lambda line: (line.decode(), ""))
        if form.with_image:
            yield _Step(catalogue.INDEX_COLUMN, _INDEX, b"", lambda line: (line.decode(), ""))
    if form.with_image:
        if block.count(b".jpg") < lines:
            yield _Step(catalogue.IMAGE_EXTENSION, _OTHER_EXTENSION, rb"\1.jpg", lambda line: (_image(line), ".jpg"), True)
        yield _Step(catalogue.IMAGE_PADDING, _OTHER_PADDING, _padded, lambda line: (_image(line), _number(line)), True)


def _image(line: bytes) -> str:
    return line.partition(b",")[0].decode()


def _padded(match: re.Match[bytes]) -> bytes:
    return b"%s%05d" % (match[1], int(match[2]))


def _number(line: bytes) -> str:
    return f"{int(_image(line).rpartition('/')[2].partition('.')[0]):05d}"


def _read_values(block: bytes, ends: NDArray[np.int64], form: RowForm) -> SharedRows | None:
    """Rows whose values are faulty, in few different ways."""
    buffer = np.frombuffer(block, np.uint8)
    starts = np.append(0, ends[:-1] + 1)
    lines = block.removesuffix(b"\n").split(b"\n")
    images = None
    if form.with_image:
        commas = np.array([line.find(b",") for line in lines], np.int64)
        images = read_images(buffer, starts, starts + commas) if (commas >= 0).all() else None
        if images is None:
            return None
        lines = [line.partition(b",")[2] for line in lines]
    texts: dict[bytes, int] = {}
    which = np.array([texts.setdefault(line, len(texts)) for line in lines], np.int64)
    if len(texts) > MOST_TEXTS or not all(_is_plain(text, form) for text in texts):
        return None
    read = [value_faults(text.decode().split(","), form.challenge) for text in texts]
    rows = [row or (0.0,) * len(form.challenge.fields) for _, row in read]
    known = np.array([row is not None for _, row in read])
    if known.all():
        return None
    values = np.array(rows, np.int8 if form.challenge.integral else np.float64)
    described: dict[FindingKind, dict[bytes, Described]] = {}
    for text, (faults, _) in zip(texts, read, strict=True):
        for kind, words in faults.items():
            described.setdefault(kind, {})[text] = words
    shared = [_of_values(kind, block, which, texts, words, form.with_image) for kind, words in described.items()]
    return SharedRows(Block(images, values[which]), known[which], tuple(shared))


def _is_plain(text: bytes, form: RowForm) -> bool:
    """Whether nothing but the values themselves can be wrong with the values of a row."""
    return (
        _PLAIN.fullmatch(text) is not None
        and text.count(b",") == len(form.challenge.fields) - 1
        and (form.with_image or (text != b"" and header_names(text.decode()) != form.header_names))
    )


def _of_values(
    kind: FindingKind,
    block: bytes,
    which: NDArray[np.int64],
    texts: Mapping[bytes, int],
    words: Mapping[bytes, Described],
    with_image: bool,
) -> SharedFault:
    """The fault of the lines whose values have one of the texts in `words`; `which` of `texts` a line has is given."""
    lines = np.flatnonzero(np.isin(which, [texts[text] for text in words]))
    return SharedFault(kind, lines, block, lambda line: words[line.partition(b",")[2] if with_image else line])


def _line_ends(block: bytes) -> NDArray[np.int64]:
    return np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
