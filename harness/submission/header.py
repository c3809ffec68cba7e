"""The first line of a file: the header, another header, or no header at all."""

from __future__ import annotations

import re

from harness.challenge import FORMATS, IMAGE, IMAGE_LOCATION, Challenge
from harness.findings import FindingKind, Findings, as_warning
from harness.submission import catalogue
from harness.submission.faults import QUOTES, SEPARATORS, RowForm, header_names

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
