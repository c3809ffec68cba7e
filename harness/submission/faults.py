"""One line that may not be written as it has to be: every fault of it, and what can be read all the same.

What is read in spite of a fault keeps that one fault from showing again as an absent row or a wrong count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness import files
from harness.challenge import Challenge
from harness.findings import FindingKind, Findings
from harness.submission import catalogue, values
from harness.submission.writer import read_row

# No row has 300 bytes.
LONGEST_LINE = 4096
# More different texts of values than this, those of all action units and some more, are no mistake that is made over and over.
MOST_TEXTS = 5000
# What is wrong with the values of a row: by fault what was found and what was expected; and the values if nothing is.
ReadValues = tuple[dict[FindingKind, tuple[str, str]], tuple[float, ...] | None]
# What other programs separate fields with; blanks come last, because they also stand beside other separators.
SEPARATORS = (";", "\t", "|", None)
QUOTES = str.maketrans("", "", "\"'")
_IMAGE_FILE = re.compile(r"([0-9]{1,9})(\.[A-Za-z0-9]+)?")
_LEADING_IMAGE = re.compile(rb"([^/,]+)/([0-9]{5})\.jpg,")


@dataclass(frozen=True)
class RowForm:
    """How the rows of a file have to look: the challenge, whether each begins with an image name, and the header (bytes).

    `image_column_inferred` says that the header's first name was read in no source.
    """

    challenge: Challenge
    with_image: bool
    header: bytes
    image_column_inferred: bool = False

    @property
    def fields(self) -> int:
        """Fields of a row, the image name included."""
        return len(self.challenge.fields) + self.with_image

    @property
    def header_names(self) -> list[str]:
        """The names of the header."""
        return header_names(self.header.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Row:
    """What could be read of a line: `track` None where the image name could not, `values` None where any value is faulty."""

    track: str | None = None
    frame: int = 0
    values: tuple[float, ...] | None = None


def header_names(text: str) -> list[str]:
    """The names of a header without quotes and blanks, in lower case."""
    return [name.strip().lower() for name in text.translate(QUOTES).split(",")]


class LineReader:
    """Reads lines of one file one by one and adds their faults to `findings`."""

    def __init__(self, form: RowForm, file: str, findings: Findings) -> None:
        self._form = form
        self._file = file
        self._findings = findings
        self._header = form.header_names
        self._wanted = form.fields
        self._known_values: dict[str, ReadValues] = {}

    def read(self, line: bytes, number: int, index: int) -> Row | None:
        """The row in `line`, the `number`-th of the file and the `index`-th row (from 0); None if the line is no row."""
        texts = read_row(line, self._form.challenge, self._form.with_image) if len(line) <= LONGEST_LINE else None
        if texts is None:
            return self._faulty(line, number, index)
        track, frame = (texts[0], int(texts[1])) if self._form.with_image else (None, 0)
        return self._row(track, frame, texts[2 * self._form.with_image :], number)

    def values(self, text: str) -> ReadValues:
        """What is wrong with the values of a row, of a fault that several share only the first; and the values if nothing is."""
        if text in self._known_values:
            return self._known_values[text]
        challenge, faults = self._form.challenge, {}
        texts = text.split(",")
        for one, field in zip(texts, challenge.fields, strict=True):
            kind = values.fault(one, field, challenge)
            if kind is not None and kind not in faults:
                faults[kind] = (f"{field.name} {one!r}" if one else f"no {field.name}", values.allowed(field))
        read = faults, None if faults else tuple(float(one) for one in texts)
        if len(self._known_values) < MOST_TEXTS:
            self._known_values[text] = read
        return read

    def _add(self, kind: FindingKind, number: int, found: str, expected: str = "") -> None:
        self._findings.add(kind, self._file, number, found, expected)

    def _faulty(self, line: bytes, number: int, index: int) -> Row | None:
        if len(line) > LONGEST_LINE:
            self._add(catalogue.LINE_TOO_LONG, number, f"{len(line):,} bytes", f"at most {LONGEST_LINE:,}")
            return _leading_image(line)
        if b"\0" in line:
            self._add(catalogue.NUL_BYTE, number, line.decode("utf-8", "replace"))
            return _leading_image(line)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            self._add(catalogue.ENCODING, number, line.decode("utf-8", "backslashreplace"))
            return _leading_image(line)
        if not text.strip():
            self._add(catalogue.BLANK_LINE, number, repr(text) if text else "")
            return None
        if text.count(",") == len(self._header) - 1 and header_names(text) == self._header:
            self._add(catalogue.HEADER_REPEATED, number, text)
            return None
        return self._fields(self._split(text, number, index), text, number)

    def _split(self, text: str, number: int, index: int) -> list[str]:
        """The fields of a line, without what does not belong to them."""
        wanted = self._wanted
        fields = text.split(",")
        if len(fields) == 1 and wanted > 1:
            for separator in SEPARATORS:
                if len(others := text.split(separator)) == wanted:
                    self._add(catalogue.DELIMITER, number, text, "commas")
                    fields = others
                    break
        if '"' in text or "'" in text:
            self._add(catalogue.QUOTED_FIELD, number, text)
            fields = [field.translate(QUOTES) for field in fields]
        stripped = [field.strip() for field in fields]
        if stripped != fields:
            self._add(catalogue.SPACES, number, repr(text))
            fields = stripped
        if len(fields) > wanted and not fields[-1]:
            self._add(catalogue.TRAILING_COMMA, number, text)
            while len(fields) > wanted and not fields[-1]:
                fields.pop()
        if len(fields) == wanted + 1 and self._is_index(fields, index):
            self._add(catalogue.INDEX_COLUMN, number, text)
            fields = fields[1:]
        return fields

    def _is_index(self, fields: list[str], index: int) -> bool:
        """Whether the first field is a running number: before an image name any, else the row's own counted from 0 or 1."""
        first = fields[0]
        if self._form.with_image:
            return "/" in fields[1] and (first == "" or (first.isascii() and first.isdigit()))
        return first in (str(index), str(index + 1))

    def _fields(self, fields: list[str], text: str, number: int) -> Row:
        challenge = self._form.challenge
        track, frame, texts = None, 0, fields
        if self._form.with_image:
            if len(fields) != self._wanted and "/" not in fields[0]:
                return self._wrong_count(fields, text, number, Row())
            track, frame = self._image(fields[0], number)
            texts = fields[1:]
        if len(texts) == len(challenge.class_names) != len(challenge.fields):
            if values.is_one_hot(texts):
                self._add(catalogue.ROW_ONE_HOT, number, text)
                return Row(track, frame)
            if values.are_probabilities(texts):
                self._add(catalogue.ROW_PROBABILITIES, number, text)
                return Row(track, frame)
        if not texts:
            self._add(catalogue.VALUE_ABSENT, number, text)
            return Row(track, frame)
        if len(texts) != len(challenge.fields):
            return self._wrong_count(fields, text, number, Row(track, frame))
        return self._row(track, frame, texts, number)

    def _wrong_count(self, fields: list[str], text: str, number: int, row: Row) -> Row:
        self._add(catalogue.FIELD_COUNT, number, f"{len(fields)} in {text}", f"{self._wanted}")
        return row

    def _row(self, track: str | None, frame: int, texts: list[str], number: int) -> Row:
        faults, row = self.values(",".join(texts))
        for kind, (found, expected) in faults.items():
            self._add(kind, number, found, expected)
        return Row(track, frame, row)

    def _image(self, text: str, number: int) -> tuple[str | None, int]:
        """Track and frame of an image name; (None, 0) if they cannot be told."""
        track, slash, name = text.rpartition("/")
        match = _IMAGE_FILE.fullmatch(name)
        if not slash or not track or match is None:
            self._add(catalogue.IMAGE_NAME, number, text, "<track>/<5 digits>.jpg")
            return None, 0
        if not files.is_track_name(track):
            self._add(catalogue.IMAGE_NAME, number, text, "<track>/<5 digits>.jpg")
            track = track.replace("\\", "/").rpartition("/")[2]
        digits, extension = match[1], match[2]
        frame = int(digits)
        if extension != ".jpg":
            self._add(catalogue.IMAGE_EXTENSION, number, text, ".jpg")
        if frame == 0:
            self._add(catalogue.IMAGE_ZERO, number, text, "numbers from 00001 on")
        elif digits != f"{frame:05d}":
            self._add(catalogue.IMAGE_PADDING, number, text, f"{frame:05d}")
        return track, frame


def _leading_image(line: bytes) -> Row:
    """The image name of a line whose other bytes cannot be read."""
    match = _LEADING_IMAGE.match(line)
    if match is None:
        return Row()
    name = match[1].decode("utf-8", "replace")
    return Row(name, int(match[2])) if files.is_track_name(name) else Row()
