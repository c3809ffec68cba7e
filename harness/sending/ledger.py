"""submissions/ledger.csv: what was packed to be sent, attempt by attempt."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from harness import files
from harness.errors import DataError, HarnessError, MismatchError
from harness.sending.difference import difference
from harness.sending.expectation import ExpectedScore
from harness.submission.checks import Verdict
from harness.submission.reader import Answer, read
from harness.words import FORMULA, plain_cell

LARGEST_LEDGER = 16 * 1024 * 1024
# Stands for the difference to an attempt whose archive is not there any more.
GONE = "gone"
# Stands for it where that attempt has rows of other tracks or frames, and where its archive is refused as it is read.
OTHER_ROWS = "other-rows"
REFUSED = "refused"
UNKNOWN = {
    GONE: "unknown rows, because its archive is gone",
    OTHER_ROWS: "its tracks or frames, so rows cannot be compared",
    REFUSED: "unknown rows, because its archive holds no answer that can be read",
}
# What spreadsheets write between cells.
_SEPARATORS = (",", ";", "\t")
_SHA256 = re.compile("[0-9a-f]{64}")
_WHOLE = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class Attempt:
    """One line of the ledger; all text, as in the file.

    Attributes
    ----------
    attempt : 1, 2, ... among those of the same challenge and edition.
    submission, archive : where they lie, the archive relative to the ledger.
    sha256 : of the archive.
    runs : what it was made from, joined by blanks.
    expected, low, high : expected score and its 95 % interval; empty where it is not known.
    differs : share of rows that differ from each earlier attempt, such as `1:0.0314 2:0.0020`, or why that is not known.
    """

    attempt: str
    challenge: str
    edition: str
    submission: str
    archive: str
    sha256: str
    rows: str
    runs: str
    expected: str
    low: str
    high: str
    differs: str


COLUMNS = tuple(field.name for field in fields(Attempt))
# Columns that say what is expected, and what of an expectation stands in each.
_FIGURES = {"expected": "score", "low": "low", "high": "high"}


@contextmanager
def locked(path: Path) -> Iterator[list[Attempt]]:
    """The attempts so far, for as long as no other process may change them.

    Raises DataError if the ledger is damaged or cannot be written, LockedError if another process holds it.
    """
    files.make_directory(path.parent)
    with files.lock(path.with_name(f".{path.name}.lock"), "the ledger"):
        yield read_ledger(path)


def read_ledger(path: Path) -> list[Attempt]:
    """The attempts in the order of the file; none where there is no file. Raises DataError naming the line.

    A spreadsheet may have saved it since: with a byte-order mark, other line ends and separators, decimal commas and empty cells
    behind the last.
    """
    if not path.exists():
        return []
    text = files.read_bytes(path, LARGEST_LEDGER).decode("utf-8-sig", "replace")
    first_line = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [(reader.line_num, _without_empty_end(row)) for row in reader]
    except csv.Error as error:
        raise DataError(f"not a ledger: {error}", path=path, line=reader.line_num) from error
    if not rows or tuple(rows[0][1]) != COLUMNS:
        raise DataError("not a ledger", path=path, line=1, found=first_line[:80], expected=",".join(COLUMNS))
    return [_read_attempt(row, number, path) for number, row in rows[1:] if any(row)]


def _without_empty_end(row: list[str]) -> list[str]:
    """The cells up to the last column, and those behind it that are not empty."""
    while len(row) > len(COLUMNS) and not row[-1]:
        row = row[:-1]
    return row


def _read_attempt(row: list[str], line: int, path: Path) -> Attempt:
    attempt = None
    if len(row) == len(COLUMNS):
        attempt = Attempt(*(cell.removeprefix("'") if cell[1:2] in FORMULA else cell for cell in row))
        attempt = replace(attempt, **{name: getattr(attempt, name).replace(",", ".") for name in _FIGURES})
    numbered = attempt is not None and _WHOLE.fullmatch(attempt.attempt) and _WHOLE.fullmatch(attempt.edition)
    if attempt is None or not numbered or not _SHA256.fullmatch(attempt.sha256):
        raise DataError(
            "not a line of a ledger",
            path=path,
            line=line,
            found=",".join(row)[:80],
            expected=f"{len(COLUMNS)} cells, the attempt's number first and the sha256 of its archive as the sixth",
            remedy="write the line as it was; without it an attempt is not counted",
        )
    return attempt


@dataclass(frozen=True)
class Entry:
    """An attempt, whether its very bytes were packed before, and all attempts with it among them."""

    attempt: Attempt
    packed_before: bool
    attempts: tuple[Attempt, ...]


def enter(
    attempts: Sequence[Attempt],
    folder: Path,
    verdict: Verdict,
    archive: Path,
    sha256: str,
    runs: Sequence[str],
    expectation: ExpectedScore,
) -> Entry:
    """The attempt that an archive of this sha256 is, beside those of the ledger in `folder`, to which its paths are relative.

    The line of bytes that were packed before tells what is expected now and of which runs, unless no `runs` are known.
    """
    assert verdict.form is not None
    form = verdict.form
    made_from = {
        # A name that is no text is told by its bytes.
        "submission": os.fsencode(os.path.relpath(verdict.path, folder)).decode("utf-8", "backslashreplace"),
        "runs": " ".join(runs),
        **{name: _cell(getattr(expectation, attribute)) for name, attribute in _FIGURES.items()},
    }
    earlier = [one for one in attempts if (one.challenge, one.edition) == (form.challenge.name, str(form.edition))]
    known = next((one for one in earlier if one.sha256 == sha256), None)
    if known is not None:
        attempt = replace(known, **made_from) if runs else known
        return Entry(attempt, True, tuple(attempt if one is known else one for one in attempts))
    answer = Answer(form, verdict.values, verdict.frames)
    shares = [f"{one.attempt}:{_difference_to(answer, one, folder)}" for one in earlier]
    attempt = Attempt(
        attempt=str(max((int(one.attempt) for one in earlier), default=0) + 1),
        challenge=form.challenge.name,
        edition=str(form.edition),
        archive=os.path.relpath(archive, folder),
        sha256=sha256,
        rows=str(verdict.rows),
        differs=" ".join(shares),
        **made_from,
    )
    return Entry(attempt, False, (*attempts, attempt))


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4f}"


def write_ledger(path: Path, attempts: Sequence[Attempt]) -> None:
    """Writes the attempts, whole or not at all."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([plain_cell(cell) for cell in astuple(attempt)] for attempt in attempts)
    files.write_text(path, buffer.getvalue())


def _difference_to(answer: Answer, attempt: Attempt, folder: Path) -> str:
    """The share of rows in which `answer` differs from an earlier attempt; or GONE, OTHER_ROWS or REFUSED."""
    archive = folder / attempt.archive
    if not archive.is_file() or files.sha256(archive) != attempt.sha256:
        return GONE
    try:
        return f"{difference(read(archive, None, attempt.challenge, int(attempt.edition)), answer).share:.4f}"
    except MismatchError:
        return OTHER_ROWS
    except HarnessError:
        return REFUSED
