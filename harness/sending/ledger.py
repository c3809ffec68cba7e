"""submissions/ledger.csv: what was packed to be sent, attempt by attempt."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from harness import files
from harness.errors import DataError, HarnessError, MismatchError
from harness.sending.difference import difference
from harness.sending.expectation import Expectation
from harness.submission.checks import Verdict
from harness.submission.reader import Answer, read

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
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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


def read_ledger(path: Path) -> list[Attempt]:
    """The attempts so far, in the order of the file; none where there is no file. Raises DataError naming the line."""
    if not path.exists():
        return []
    text = files.read_bytes(path, LARGEST_LEDGER).decode("utf-8", "replace")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"not a ledger: {error}", path=path, line=reader.line_num) from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataError("not a ledger", path=path, line=1, expected=",".join(COLUMNS))
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(COLUMNS) or not row[0].isdigit():
            raise DataError("not a line of a ledger", path=path, line=number, found=",".join(row)[:80])
    return [Attempt(*(cell.removeprefix("'") if cell[1:2] in _FORMULA else cell for cell in row)) for row in rows[1:]]


def note(
    ledger: Path, verdict: Verdict, archive: Path, sha256: str, runs: Sequence[str], expectation: Expectation
) -> tuple[Attempt, bool]:
    """Adds an attempt unless the very same bytes were packed before; returns it and whether they were.

    The line of bytes that were packed before is written again with what is expected now and of which runs, unless no `runs` are
    known. Raises DataError if the ledger is damaged, LockedError if another
    process writes it.
    """
    assert verdict.form is not None
    form = verdict.form
    expected = {name: _cell(getattr(expectation, attribute)) for name, attribute in _FIGURES.items()}
    files.make_directory(ledger.parent)
    with files.lock(ledger.with_name(f".{ledger.name}.lock"), "the ledger"):
        attempts = read_ledger(ledger)
        earlier = [one for one in attempts if (one.challenge, one.edition) == (form.challenge.name, str(form.edition))]
        known = next((one for one in earlier if one.sha256 == sha256), None)
        if known is not None:
            now = replace(known, submission=_from(ledger, verdict.path), runs=" ".join(runs), **expected) if runs else known
            if now != known:
                _write(ledger, [now if one is known else one for one in attempts])
            return now, True
        shares = [
            (one.attempt, _difference_to(Answer(form, verdict.values, verdict.frames), one, ledger.parent)) for one in earlier
        ]
        attempt = Attempt(
            attempt=str(max((int(one.attempt) for one in earlier), default=0) + 1),
            challenge=form.challenge.name,
            edition=str(form.edition),
            submission=_from(ledger, verdict.path),
            archive=_from(ledger, archive),
            sha256=sha256,
            rows=str(verdict.rows),
            runs=" ".join(runs),
            differs=" ".join(f"{number}:{share}" for number, share in shares),
            **expected,
        )
        _write(ledger, [*attempts, attempt])
    return attempt, False


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4f}"


def _from(ledger: Path, path: Path) -> str:
    return os.path.relpath(path, ledger.parent)


def _write(path: Path, attempts: Sequence[Attempt]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_plain(cell) for cell in astuple(attempt)] for attempt in attempts)
    files.write_text(path, buffer.getvalue())


def _plain(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


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
