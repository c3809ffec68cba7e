"""Which challenge a file answers, told by its first lines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.challenge import AU, AU_8, EXPR, FORMATS, MTL, VA, Challenge, Format, default_edition, format_of
from harness.submission.header import challenge_of_header, is_header

# Bytes from which a file's header and first row are read.
HEAD = 8192
_BY_NUMBER_OF_VALUES = {len(challenge.fields): challenge for challenge in (EXPR, VA, AU_8, AU, MTL)}


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


def tell_format(
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
        told = [guess.challenge for guess in guesses if guess.challenge and guess.challenge.name == known.challenge.name]
        return _format_for(told[0] if told else known.challenge, single, None), "the challenge as asked for"
    if record is not None and edition in (None, record.edition):
        return record, "from the record"
    if sample is not None and (of_sample := guess(sample)).challenge:
        return _format_for(of_sample.challenge, True, edition), "from the sample's header"
    for told_by_file in guesses:
        if told_by_file.challenge:
            return _format_for(told_by_file.challenge, single, edition), "from the file's first lines"
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
