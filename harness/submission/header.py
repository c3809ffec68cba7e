"""The first lines of a file: whether there is a header, which, what is wrong with it, and which challenge the file answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.challenge import (
    AU,
    AU_8,
    EXPR,
    FORMATS,
    IMAGE,
    IMAGE_LOCATION,
    MTL,
    VA,
    Challenge,
    Format,
    default_edition,
    format_of,
)
from harness.findings import FindingKind, Findings, as_warning
from harness.submission import catalogue
from harness.submission.faults import QUOTES, SEPARATORS, RowForm, header_names

# Bytes from which a file's header and first row are read.
HEAD = 8192
_BY_NUMBER_OF_VALUES = {len(challenge.fields): challenge for challenge in (EXPR, VA, AU_8, AU, MTL)}
# Something of a row: a number, or an image name.
_OF_A_ROW = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|.+/.+|nan|[-+]?inf", re.IGNORECASE)


def _known_headers() -> dict[tuple[str, ...], tuple[Challenge, bool]]:
    """Every header of every edition: of its names in lower case, the challenge and whether rows begin with an image name."""
    known: dict[tuple[str, ...], tuple[Challenge, bool]] = {}
    for form in FORMATS:
        names = header_names(form.challenge.header)
        known.setdefault(tuple(names), (form.challenge, False))
        column = IMAGE if form.image_column == IMAGE else IMAGE_LOCATION
        known.setdefault((column, *names), (form.challenge, True))
    return known


_KNOWN = _known_headers()
_KNOWN_NAMES = {name for names in _KNOWN for name in names}


def _names(line: bytes) -> list[str]:
    """The names of a header in lower case, whatever stands between and around them."""
    text = line.decode("utf-8", "replace").translate(QUOTES)
    for separator in (",", *SEPARATORS):
        if len(parts := text.split(separator)) > 1:
            return [part.strip().lower() for part in parts]
    return [text.strip().lower()]


def is_header(line: bytes) -> bool:
    """Whether a first line is a header of whatever kind, and not a row already."""
    names = _names(line)
    if sum(name in _KNOWN_NAMES for name in names) > 1:
        return True
    return not any(_OF_A_ROW.fullmatch(name) for name in names)


def challenge_of_header(line: bytes) -> tuple[Challenge, bool] | None:
    """The challenge whose header shares most names with `line`, at least half of them, and whether there is an image column."""
    found = set(_names(line))
    best = max(_KNOWN, key=lambda names: len(found & set(names)) / len(found | set(names)))
    return _KNOWN[best] if 2 * len(found & set(best)) >= len(found | set(best)) else None


def check_header(line: bytes, form: RowForm, file: str, findings: Findings) -> None:
    """Adds what is wrong with the header `line`; nothing if it is that of `form`, byte for byte."""
    text, expected = line.decode("utf-8", "replace"), form.header.decode("utf-8", "replace")
    for kind in _faults(line, form):
        findings.add(kind, file, 1, text, expected)


def _faults(line: bytes, form: RowForm) -> list[FindingKind]:
    if line == form.header:
        return []
    text, wanted = line.decode("utf-8", "replace"), form.header_names
    if header_names(text) == wanted:
        unquoted = text.translate(QUOTES)
        spaced = [name.strip() for name in unquoted.split(",")] != unquoted.split(",")
        kinds = [catalogue.HEADER_QUOTED] * (unquoted != text) + [catalogue.HEADER_SPACED] * spaced
        return kinds or [catalogue.HEADER_UNKNOWN]
    names = _names(line)
    if names == wanted:
        return [catalogue.DELIMITER]
    if names[0] == "" and names[1:] == wanted:
        return [catalogue.INDEX_COLUMN]
    if sorted(names) == sorted(wanted):
        return [catalogue.HEADER_ORDER]
    if tuple(names) not in _KNOWN:
        other_column = form.image_column_inferred and header_names(text)[1:] == wanted[1:]
        return [as_warning(catalogue.HEADER_UNKNOWN) if other_column else catalogue.HEADER_UNKNOWN]
    challenge, with_image = _KNOWN[tuple(names)]
    if challenge == form.challenge and with_image != form.with_image:
        return [catalogue.HEADER_OTHER_LAYOUT]
    return [catalogue.HEADER_OTHER_EDITION if challenge.name == form.challenge.name else catalogue.HEADER_OTHER_CHALLENGE]


@dataclass(frozen=True)
class Guess:
    """What the first lines of a file say: the challenge or None, whether rows have image names, whether there is a header."""

    challenge: Challenge | None
    with_image: bool
    headed: bool = False


def guess(head: bytes) -> Guess:
    """Reads the header, or where there is none the first row."""
    lines = head.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").split(b"\n")
    lines = [line for line in lines if line.strip()][:2] or [b""]
    row = lines[-1].replace(b'"', b"")
    fields = row.replace(b";", b",").replace(b"\t", b",").split(b",")
    with_image = any(b"/" in field for field in fields[:2])
    if is_header(lines[0]) and (known := challenge_of_header(lines[0])):
        return Guess(known[0], with_image or (known[1] and len(lines) == 1), headed=True)
    numeric = all(re.fullmatch(rb"\s*[-+]?[0-9.]*(?:[eE][-+]?[0-9]+)?\s*", field) for field in fields[with_image:])
    return Guess(_BY_NUMBER_OF_VALUES.get(len(fields) - with_image) if numeric else None, with_image)


def detect_format(
    guesses: Sequence[Guess], challenge: str | None, edition: int | None, record: Format | None, sample: bytes | None
) -> tuple[Format, str] | None:
    """Challenge and edition, and where they are from: what was asked for, else the record, the sample's header, the files.

    None if nothing tells the challenge. Raises UsageError for an edition that did not hold it.
    """
    if challenge is not None and edition is not None:
        return format_of(challenge, edition), "as asked for"
    single = any(guess.with_image for guess in guesses)
    if challenge is not None:
        known = format_of(challenge)
        guessed = [guess.challenge for guess in guesses if guess.challenge and guess.challenge.name == known.challenge.name]
        return _format_for(guessed[0] if guessed else known.challenge, single, None), "the challenge as asked for"
    if record is not None and edition in (None, record.edition):
        return record, "from the record"
    if sample is not None and (of_sample := guess(sample)).challenge:
        return _format_for(of_sample.challenge, True, edition), "from the sample's header"
    for detected in guesses:
        if detected.challenge:
            return _format_for(detected.challenge, single, edition), "from the file's first lines"
    return None


def _format_for(challenge: Challenge, single: bool, edition: int | None) -> Format:
    """The format of the edition asked for; without one, that nearest the default edition with these classes and this layout."""
    if edition is not None:
        return format_of(challenge.name, edition)
    layout = "single" if single else "tracks"
    default = default_edition(challenge.name)
    return min(
        (form for form in FORMATS if form.challenge.name == challenge.name),
        key=lambda form: (form.layout != layout, form.challenge != challenge, abs(form.edition - default)),
    )
