"""Checks a submission: what its files are, each file, the files together, and whether the values look right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import IMAGE_LOCATION, Format
from harness.errors import DataError
from harness.findings import Findings
from harness.submission import catalogue
from harness.submission.compare import compare_count, compare_rows, examine_rows
from harness.submission.contents import Contents, sort_out
from harness.submission.expected import Expected, from_record
from harness.submission.faults import RowForm
from harness.submission.identify import tell_format
from harness.submission.plausible import look
from harness.submission.record import LARGEST_RECORD, RECORD_NAME, Record, parse_record
from harness.submission.rows import image_name
from harness.submission.source import open_source
from harness.submission.table import BLOCK, Table, read_table

NOTHING_EXPECTED = "nothing but the files themselves (no --sample, --data or --rows, and no record)"


@dataclass(frozen=True)
class AnswerFile:
    """A text file of an answer: its name, how its rows have to look, and its track ("" for a single file)."""

    name: str
    form: RowForm
    track: str


@dataclass(eq=False)
class Verdict:
    """What was checked, against what, and what was found.

    Attributes
    ----------
    path : the submission.
    form : challenge and edition; None if they could not be told.
    form_from : where these are from, in words.
    checked_against : where tracks, rows and order are from, in words.
    values : values (rows, fields) by track, in the order of the rows; without the rows that could not be read.
    rows : how many rows were read.
    files : the text files that were read.
    expected : what it was checked against, if anything.
    """

    path: Path
    findings: Findings
    form: Format | None = None
    form_from: str = ""
    checked_against: str = NOTHING_EXPECTED
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    rows: int = 0
    files: list[AnswerFile] = field(default_factory=list)
    expected: Expected | None = None


def check(
    path: str | Path, expected: Expected | None = None, challenge: str | None = None, edition: int | None = None
) -> Verdict:
    """Checks the submission at `path`: a folder, one text file, or an archive.

    `expected` is what it is checked against, by default its own record. `challenge` and `edition` are told by the record, the
    sample or the file's first lines where they are not given. Writes nothing. Raises DataError if there is nothing at `path`,
    UsageError for an edition without the challenge.
    """
    return _Check(Path(path), expected, challenge, edition).run()


class _Check:
    """One pass over one submission."""

    def __init__(self, path: Path, expected: Expected | None, challenge: str | None, edition: int | None) -> None:
        self._findings = Findings()
        self._source = open_source(path, self._findings)
        self._verdict = Verdict(path, self._findings)
        self._record = self._read_record()
        self._expected = expected or (from_record(self._record) if self._record else None)
        self._known_tracks = self._expected.track_set if self._expected else frozenset()
        self._challenge, self._edition = challenge, edition

    def run(self) -> Verdict:
        verdict = self._verdict
        if self._expected:
            verdict.checked_against, verdict.expected = self._expected.source, self._expected
        contents = sort_out(self._source, self._known_tracks, self._findings)
        if not contents.single and not contents.tracks:
            # Of an archive that cannot be read nothing more can be said.
            if not self._findings.has_errors:
                self._findings.add(catalogue.ANSWER_ABSENT, self._source.path.name, expected="a text file of predictions")
            return verdict
        sample = self._expected.header if self._expected else None
        answers = [*contents.single, *contents.tracks.values()]
        guesses = [contents.guesses[name] for name in answers]
        told = tell_format(guesses, self._challenge, self._edition, self._record.format if self._record else None, sample)
        if told is None:
            self._findings.add(catalogue.FORMAT_UNKNOWN, answers[0])
            return verdict
        verdict.form, verdict.form_from = told
        self._check_files(contents, verdict.form)
        return verdict

    def _check_files(self, contents: Contents, form: Format) -> None:
        self._check_layout(contents, form)
        single = [(name, self._check_single(name, form)) for name in contents.single]
        tracks = {track: self._check_track(track, name, form) for track, name in contents.tracks.items()}
        self._say_absent_tracks(contents)
        if len(single) == 1 and tracks:
            self._compare_values(*single[0], tracks, contents)
        self._check_record()
        values = {track: table.values[table.known] for track, table in tracks.items()} or _by_track(single[0][1])
        if self._expected:
            values = {track: values[track] for track in dict.fromkeys([*self._expected.tracks, *values]) if track in values}
        self._verdict.values = values
        self._verdict.rows = sum(len(table) for table in tracks.values()) if tracks else len(single[0][1])
        whole = single[0][0] if single else self._source.path.name
        files = {track: contents.tracks.get(track, whole) for track in values}
        training = (self._expected.training_frames if self._expected else ()) or form.challenge.training_frames
        look(values, files, whole, form.challenge, training, self._findings)

    def _read_record(self) -> Record | None:
        if RECORD_NAME not in self._source.openers:
            return None
        try:
            return parse_record(self._source.read(RECORD_NAME, LARGEST_RECORD), RECORD_NAME)
        except DataError as error:
            self._findings.add(catalogue.RECORD_UNREADABLE, RECORD_NAME, None, error.found or "")
        except OSError as error:
            self._findings.add(catalogue.FILE_UNREADABLE, RECORD_NAME, None, error.strerror or str(error))
        return None

    def _check_layout(self, contents: Contents, form: Format) -> None:
        """Whether the file is there that the edition asks for; one track's file alone may well be checked by itself."""
        one_track = self._source.kind == "file" and not contents.single
        present = contents.single if form.layout == "single" else contents.tracks
        if not present and not one_track:
            self._findings.add(catalogue.ANSWER_ABSENT, self._source.path.name, expected=f"{form.answer_name} ({form.name})")

    def _check_single(self, name: str, form: Format) -> Table:
        header = form.header.encode() if form.layout == "single" else f"{IMAGE_LOCATION},{form.challenge.header}".encode()
        if self._expected and self._expected.header:
            header = self._expected.header
        table = self._read(AnswerFile(name, RowForm(form.challenge, True, header), ""))
        if table.complete and len(table):
            if self._expected and self._expected.rows:
                compare_rows(table, self._expected.rows, name, self._findings)
            else:
                examine_rows(table, form, name, self._findings)
        return table

    def _check_track(self, track: str, name: str, form: Format) -> Table:
        table = self._read(AnswerFile(name, RowForm(form.challenge, False, form.challenge.header.encode()), track))
        known = not self._expected or track in self._known_tracks
        if not known:
            self._findings.add(catalogue.TRACK_FILE_UNKNOWN, name)
        elif table.complete and len(table):
            wanted = self._expected.count(track) if self._expected else None
            compare_count(table, wanted, name, self._findings)
        return table

    def _read(self, file: AnswerFile) -> Table:
        self._verdict.files.append(file)
        try:
            with self._source.open(file.name) as handle:
                return read_table(handle, file.form, file.name, self._findings)
        except OSError as error:
            self._findings.add(catalogue.FILE_UNREADABLE, file.name, None, error.strerror or str(error))
            return Table.empty(file.form.challenge)

    def _say_absent_tracks(self, contents: Contents) -> None:
        if self._expected and contents.tracks and self._source.kind != "file":
            folder = PurePosixPath(next(iter(contents.tracks.values()))).parent
            for track in self._expected.tracks:
                if track not in contents.tracks:
                    self._findings.add(catalogue.TRACK_FILE_ABSENT, str(folder / f"{track}.txt"))

    def _compare_values(self, name: str, table: Table, tracks: Mapping[str, Table], contents: Contents) -> None:
        """Says for each track where the single file first gives another value than the track's own file."""
        rows_of = _rows_by_track(table)
        for track, own in tracks.items():
            rows = rows_of.get(track, np.zeros(0, np.int64))
            if len(rows) != len(own):
                # With rows to compare with, each of the two files was compared with those already.
                if not (self._expected and self._expected.rows):
                    found = f"{len(rows):,} rows of {track}"
                    self._findings.add(
                        catalogue.MERGED_DIFFERS, name, None, found, f"{len(own):,} as in {contents.tracks[track]}"
                    )
                continue
            differs = (table.values[rows] != own.values).any(axis=1) & table.known[rows] & own.known
            if differs.any():
                at = int(np.argmax(differs))
                self._findings.add(
                    catalogue.MERGED_DIFFERS,
                    name,
                    int(table.line[rows[at]]),
                    f"{_text(table.values[rows[at]])} for {image_name(track, int(table.frame[rows[at]]))}",
                    f"{_text(own.values[at])} as in {contents.tracks[track]}:{own.line[at]}; {differs.sum():,} rows differ",
                )

    def _check_record(self) -> None:
        """Whether files are still those that were recorded, and the rows those that are wanted."""
        if self._record is None:
            return
        for name, recorded in self._record.files.items():
            if name not in self._source.openers:
                self._findings.add(catalogue.RECORD_SHA256, name, None, "absent")
            elif (digest := self._digest(name)) != recorded:
                self._findings.add(catalogue.RECORD_SHA256, name, None, f"sha256 {digest[:12]}...", f"{recorded[:12]}...")
        if self._expected and self._expected.rows and (wanted := self._expected.rows.counts) != dict(self._record.rows):
            recorded_rows = dict(self._record.rows)
            track = next(name for name in {**wanted, **recorded_rows} if wanted.get(name) != recorded_rows.get(name))
            found = f"{track} with {recorded_rows.get(track, 'no')} rows"
            self._findings.add(catalogue.RECORD_ROWS, RECORD_NAME, None, found, f"{wanted.get(track, 'no')} rows")

    def _digest(self, name: str) -> str:
        digest = sha256()
        try:
            with self._source.open(name) as handle:
                while data := handle.read(BLOCK):
                    digest.update(data)
        except OSError:
            return "unreadable"
        return digest.hexdigest()


def _rows_by_track(table: Table) -> dict[str, NDArray[np.int64]]:
    """The rows of each track in the order of the file; rows whose image name could not be read belong to none."""
    order = np.argsort(table.track, kind="stable")
    borders = np.searchsorted(table.track[order], np.arange(len(table.names) + 1))
    return {name: order[borders[index] : borders[index + 1]] for index, name in enumerate(table.names)}


def _by_track(table: Table) -> dict[str, NDArray[Any]]:
    return {name: table.values[rows][table.known[rows]] for name, rows in _rows_by_track(table).items()}


def _text(values: NDArray[Any]) -> str:
    return ",".join(f"{value:g}" for value in values.tolist())
