"""Which submissions there are to check, and what is printed of what was found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from harness import files, findings
from harness.errors import DataError
from harness.files import is_junk
from harness.findings import Findings
from harness.submission.checks import Verdict
from harness.submission.contents import SINGLE_PATTERN
from harness.submission.expected import Expected, from_data, from_sample, from_table
from harness.submission.header import HEAD, guess
from harness.submission.record import LARGEST_RECORD, RECORD_NAME, TRACKS_FOLDER, parse_record
from harness.submission.source import record_beside
from harness.words import counted


class Reference:
    """What submissions are checked against: the sample, else the data root, else the table, else nothing but their records.

    Each is read once, and raises DataError or UsageError if it cannot be read. Of a data root it is the split asked for, or the
    one that a submission's record names, by default test.
    """

    def __init__(self, sample: Path | None, data: Path | None, split: str | None, rows: Path | None) -> None:
        self._data, self._split = data if sample is None else None, split
        self._splits: dict[str, Expected] = {}
        self._fixed = None
        if sample is not None:
            self._fixed = from_sample(sample)
        elif data is None and rows is not None:
            self._fixed = from_table(rows)

    def of(self, submission: Path) -> Expected | None:
        """What this submission is checked against; None leaves it to its own record."""
        if self._data is None:
            return self._fixed
        split = self._split or _recorded_split(submission)
        if split not in self._splits:
            self._splits[split] = from_data(self._data, split)
        return self._splits[split]


def _recorded_split(submission: Path) -> str:
    try:
        return parse_record(files.read_bytes(submission / RECORD_NAME, LARGEST_RECORD), RECORD_NAME).split
    except DataError:
        return "test"


def submissions_at(path: Path) -> list[Path]:
    """The submissions at `path`: itself if it is a file or holds an answer, else each folder in it that does.

    Raises DataError if there is none.
    """
    if not path.is_dir() or _holds_answer(path):
        return [path]
    # What begins with a dot was left by a write that was interrupted, or by another program.
    children = sorted(child for child in path.iterdir() if child.is_dir() and not is_junk(child.name) and _holds_answer(child))
    if not children:
        raise DataError(
            "no submission here",
            path=path,
            expected=f"a folder with {RECORD_NAME}, a track's text file or *predictions*.txt, or a folder of such",
            remedy="name the folder or the text file itself",
        )
    return children


def _holds_answer(folder: Path) -> bool:
    """Whether there is a record, a folder of tracks, or a text that is named or begins like an answer."""
    names = os.listdir(folder)
    if RECORD_NAME in names or (folder / TRACKS_FOLDER).is_dir():
        return True
    texts = [name for name in names if name.lower().endswith(".txt") and not is_junk(name) and (folder / name).is_file()]
    return any(fnmatch(name.lower(), SINGLE_PATTERN) or _begins_like_an_answer(folder / name) for name in texts)


def _begins_like_an_answer(path: Path) -> bool:
    try:
        with open(path, "rb") as handle:
            return guess(handle.read(HEAD)).challenge is not None
    except OSError:
        return False


def is_valid(found: Findings, strict: bool) -> bool:
    """Whether nothing stands against sending it; with `strict` warnings do."""
    return not (found.has_errors or (strict and found.number("warning")))


def as_text(verdict: Verdict, shown: int) -> str:
    """One submission for the terminal; see harness.findings.as_text."""
    form = f"{verdict.form.name} ({verdict.form_from})" if verdict.form else "of no known challenge"
    lines = [
        f"{findings.printable(str(verdict.path), 300)}: {form}",
        f"  checked against {findings.printable(verdict.checked_against, 300)}",
        f"  {counted(len(verdict.values), 'track')}, {counted(verdict.rows, 'row')}: {findings.summary(verdict.findings)}",
    ]
    if len(verdict.findings):
        lines.append(findings.as_text(verdict.findings, shown))
    return "\n".join(lines)


def next_step(verdicts: Sequence[Verdict], strict: bool) -> str:
    """The last line: what to do now."""
    faulty = [verdict for verdict in verdicts if not is_valid(verdict.findings, strict)]
    if faulty:
        which = "this submission is not" if len(verdicts) == 1 else f"{len(faulty)} of {len(verdicts)} submissions are not"
        which = which.replace("submissions are", "submissions is") if len(faulty) == 1 else which
        return f"{which} ready to send: correct the lines named above and validate again"
    unchecked = next((verdict.unchecked for verdict in verdicts if verdict.unchecked), "")
    if unchecked:
        return f"no errors, but {unchecked}: validate with --sample, the organisers' sample file, before sending"
    sendable = next((verdict for verdict in verdicts if _is_sendable(verdict)), None)
    if sendable is None:
        return "no errors"
    if "RECORD_SHA256" in sendable.findings.codes():
        return f"no errors, but changed since it was written: as an answer of its own, harness pack {sendable.path} --edited"
    return f"ready; next: harness pack {sendable.path}"


def _is_sendable(verdict: Verdict) -> bool:
    """Whether neither its record nor the data root it was checked against says that it is not for sending."""
    try:
        record = verdict.record or record_beside(verdict.path)
    except DataError:
        record = None
    if record is not None:
        return record.split == "test" and not record.demonstration
    return verdict.expected is None or verdict.expected.split in ("test", None)


def as_json(verdicts: Sequence[Verdict], strict: bool) -> dict[str, Any]:
    """All submissions as plain values, with the version of their form."""
    return {"schema": findings.SCHEMA, "command": "validate", "strict": strict, "submissions": list(_values(verdicts, strict))}


def _values(verdicts: Sequence[Verdict], strict: bool) -> Iterator[dict[str, Any]]:
    for verdict in verdicts:
        form = verdict.form
        yield {
            "path": str(verdict.path),
            "valid": is_valid(verdict.findings, strict),
            "challenge": form.challenge.name if form else None,
            "edition": form.edition if form else None,
            "layout": form.layout if form else None,
            "inferred": sorted(form.inferred) if form else [],
            "checked_against": verdict.checked_against,
            "tracks": len(verdict.values),
            "rows": verdict.rows,
            **findings.as_json(verdict.findings),
        }
