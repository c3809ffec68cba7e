"""Checks a submission: what its files are, each file, the files together, and whether the values look right."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import IMAGE_LOCATION, Format
from harness.data.sample import Rows, image_name
from harness.errors import DataError
from harness.findings import Findings, as_warning
from harness.submission import catalogue
from harness.submission.compare import compare_copies, compare_count, compare_rows, compare_size, compare_tracks, examine_rows
from harness.submission.contents import Contents, classify_files
from harness.submission.expected import Expected, from_record
from harness.submission.faults import RowForm
from harness.submission.header import detect_format
from harness.submission.plausible import check_plausibility
from harness.submission.record import LARGEST_RECORD, RECORD_NAME, TRACKS_FOLDER, Record, parse_record
from harness.submission.source import Source, open_source
from harness.submission.table import BLOCK, LARGEST_FILE, Table, read_table

# What of a submission is checked against nothing.
ALL_UNCHECKED = "rows and order were not checked"
FRAMES_UNCHECKED = "of the rows only their number was checked"
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
    source : its files.
    form : challenge and edition; None if they could not be told.
    form_from : where these are from, in words.
    checked_against : where tracks, rows and order are from, in words.
    unchecked : what of the rows was checked against nothing, in words; "" if all was checked.
    values : values (rows, fields) by track, in the order of the rows; without the rows that could not be read.
    frames : of each of these rows the number of its image (rows,) int32.
    rows : how many rows were read.
    files : the text files that were read.
    expected : what it was checked against, if anything.
    record : the submission's own record, if it has one that can be read.
    """

    path: Path
    source: Source
    findings: Findings
    form: Format | None = None
    form_from: str = ""
    checked_against: str = NOTHING_EXPECTED
    unchecked: str = ALL_UNCHECKED
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    frames: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    rows: int = 0
    files: list[AnswerFile] = field(default_factory=list)
    expected: Expected | None = None
    record: Record | None = None


@dataclass(frozen=True, eq=False)
class _TrackRows:
    """What could be read of a track: values (rows, fields), and of each row the number of its image."""

    values: NDArray[Any]
    frames: NDArray[np.int32]


def check(
    path: str | Path,
    expected: Expected | None = None,
    challenge: str | None = None,
    edition: int | None = None,
    keep: bool = False,
) -> Verdict:
    """Checks the submission at `path`: a folder, one text file, or an archive.

    `expected` is what it is checked against, by default its own record. `challenge` and `edition` are told by the record, the
    sample or the file's first lines where they are not given. With `keep` each file is read once, and the verdict's source gives
    again what was checked, whatever becomes of the file. Writes nothing. Raises DataError if there is nothing at `path`,
    UsageError for an edition without the challenge.
    """
    findings = Findings()
    source = open_source(path, findings)
    return _Check(source.kept() if keep else source, findings, expected, challenge, edition).run()


def detect(path: str | Path) -> Format | None:
    """Challenge and edition of the submission at `path`, by its record or first lines; None if nothing tells them.

    Raises DataError if there is nothing at `path`.
    """
    findings = Findings()
    return _Check(open_source(path, findings), findings, None, None, None).detect()


class _Check:
    """One pass over one submission."""

    def __init__(
        self, source: Source, findings: Findings, expected: Expected | None, challenge: str | None, edition: int | None
    ) -> None:
        self._findings = findings
        self._source = source
        self._verdict = Verdict(source.path, source, findings)
        self._record = self._verdict.record = self._read_record()
        self._expected = expected or (from_record(self._record) if self._record else None)
        self._known_tracks = self._expected.track_set if self._expected else frozenset()
        self._challenge, self._edition = challenge, edition
        self._wanted: Rows | None = None

    def run(self) -> Verdict:
        verdict = self._verdict
        if self._expected:
            verdict.checked_against, verdict.expected = self._expected.source, self._expected
        contents = classify_files(self._source, self._known_tracks, self._findings)
        if not contents.single and not contents.tracks:
            # Of an archive that cannot be read nothing more can be said.
            if not self._findings.has_errors:
                self._findings.add(catalogue.ANSWER_ABSENT, self._source.path.name, expected="a text file of predictions")
            return verdict
        detected = self._detected(contents)
        if detected is None:
            self._findings.add(catalogue.FORMAT_UNKNOWN, [*contents.single, *contents.tracks.values()][0])
            return verdict
        verdict.form, verdict.form_from = detected
        self._check_files(contents, verdict.form)
        return verdict

    def detect(self) -> Format | None:
        """Challenge and edition, before anything is checked; None if nothing tells them."""
        detected = self._detected(classify_files(self._source, self._known_tracks, self._findings))
        return None if detected is None else detected[0]

    def _detected(self, contents: Contents) -> tuple[Format, str] | None:
        sample = self._expected.header if self._expected else None
        guesses = [contents.guesses[name] for name in (*contents.single, *contents.tracks.values())]
        return detect_format(guesses, self._challenge, self._edition, self._record.format if self._record else None, sample)

    def _check_files(self, contents: Contents, form: Format) -> None:
        self._wanted = self._expected.rows_of(form) if self._expected else None
        self._verdict.unchecked = self._unchecked(contents)
        self._check_layout(contents, form)
        single = [(name, self._check_single(name, form)) for name in contents.single]
        tracks = {track: self._check_track(track, name, form) for track, name in contents.tracks.items()}
        self._report_absent_tracks(contents, form)
        if len(single) == 1 and tracks:
            self._compare_values(*single[0], tracks, contents, form)
        self._check_record()
        self._take_values([table for _, table in single], tracks, form)
        values = self._verdict.values
        whole = single[0][0] if single else self._source.path.name
        files = {track: contents.tracks.get(track, whole) for track in values}
        training = (self._expected.training_frames if self._expected else ()) or form.challenge.training_frames
        check_plausibility(values, files, whole, form.challenge, training, self._findings)

    def _unchecked(self, contents: Contents) -> str:
        """What of the rows there is nothing to check against; which frames they are is said in a single file alone."""
        if self._expected is None or self._expected.counts is None:
            return ALL_UNCHECKED
        return FRAMES_UNCHECKED if contents.single and self._wanted is None else ""

    def _take_values(self, single: Sequence[Table], tracks: Mapping[str, Table], form: Format) -> None:
        """Values and frames of each track, from what the edition asks for before what else there is."""
        of_tracks = {
            track: _TrackRows(table.values[table.known], self._frames_of(track, table, form)) for track, table in tracks.items()
        }
        of_single = _by_track(single[0]) if single else {}
        first, second = (of_single, of_tracks) if form.layout == "single" else (of_tracks, of_single)
        parts = {**second, **first}
        asked = self._expected.tracks if self._expected else ()
        names = [track for track in dict.fromkeys([*asked, *parts]) if track in parts]
        self._verdict.values = {track: parts[track].values for track in names}
        self._verdict.frames = {track: parts[track].frames for track in names}
        of_one_file = single and (form.layout == "single" or not tracks)
        self._verdict.rows = len(single[0]) if of_one_file else sum(map(len, tracks.values()))

    def _frames_of(self, track: str, table: Table, form: Format) -> NDArray[np.int32]:
        """The frames of a track's file: 1, 2, 3, ..., but those that are wanted where an edition asks for some frames only."""
        frames = table.frame
        if not form.every_frame and self._wanted and self._wanted.counts.get(track) == len(table):
            frames = self._wanted.frame[self._wanted.track == self._wanted.names.index(track)]
        return frames[table.known]

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
            kind = catalogue.ANSWER_ABSENT if form.verified("layout") else as_warning(catalogue.ANSWER_ABSENT)
            self._findings.add(kind, self._source.path.name, expected=f"{form.answer_name} ({form.name})")
        for name in contents.single[1:]:
            self._findings.add(catalogue.ANSWER_TWICE, name, None, name, f"{contents.single[0]} alone")
        for name in self._in_other_layout(contents, form):
            self._findings.add(catalogue.ANSWER_OTHER_LAYOUT, name, None, name, f"{form.answer_name} alone ({form.name})")

    def _in_other_layout(self, contents: Contents, form: Format) -> list[str]:
        """Files beside the answer that other editions ask for; this program's folder of tracks is none of them."""
        if not contents.single or not contents.tracks:
            return []
        if form.layout == "tracks":
            return contents.single[:1]
        return [name for name in contents.tracks.values() if PurePosixPath(name).parent.name != TRACKS_FOLDER]

    def _check_single(self, name: str, form: Format) -> Table:
        header = form.header.encode() if form.layout == "single" else f"{IMAGE_LOCATION},{form.challenge.header}".encode()
        if self._expected and self._expected.header:
            header = self._expected.header
        known = form.verified("image_column") or (self._expected is not None and self._expected.header is not None)
        table = self._read(AnswerFile(name, RowForm(form.challenge, True, header, image_column_inferred=not known), ""))
        if table.complete and len(table):
            self._check_rows(table, name, form)
        return table

    def _check_rows(self, table: Table, name: str, form: Format) -> None:
        """The rows of a single file beside what is known of them."""
        if not form.every_frame and (self._wanted is None or self._wanted.first_repeat is not None):
            compare_copies(table, name, self._findings)
        if self._wanted:
            compare_rows(table, self._wanted, name, self._findings)
            return
        examine_rows(table, form, name, self._findings)
        if self._expected:
            compare_tracks(table, form, self._expected.tracks, self._expected.counts, name, self._findings)
        else:
            compare_size(table, form, name, self._findings)

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

    def _report_absent_tracks(self, contents: Contents, form: Format) -> None:
        if not contents.tracks or self._source.kind == "file":
            return
        if not self._expected:
            if form.layout == "tracks" and form.test_tracks not in (None, len(contents.tracks)):
                found, official = f"{len(contents.tracks):,} files", f"{form.test_tracks:,}"
                self._findings.add(catalogue.TRACK_FILES_NUMBER, self._source.path.name, None, found, official)
        else:
            folder = PurePosixPath(next(iter(contents.tracks.values()))).parent
            for track in self._expected.tracks:
                if track not in contents.tracks:
                    self._findings.add(catalogue.TRACK_FILE_ABSENT, str(folder / f"{track}.txt"))

    def _compare_values(self, name: str, table: Table, tracks: Mapping[str, Table], contents: Contents, form: Format) -> None:
        """Says for each track where the single file first gives another value than the track's own file."""
        rows_of = _rows_by_track(table)
        if not self._expected:
            # With tracks to compare with, each of the two was compared with those already.
            for track in [track for track in rows_of if track not in tracks]:
                line, found = int(table.line[rows_of[track][0]]), f"{len(rows_of[track]):,} rows of {track}"
                self._findings.add(
                    catalogue.MERGED_DIFFERS, name, line, found, f"a file {track}.txt beside those of other tracks"
                )
        for track, own in tracks.items():
            rows = rows_of.get(track, np.zeros(0, np.int64))
            if form.every_frame:
                rows = rows[np.argsort(table.frame[rows], kind="stable")]
            if len(rows) != len(own):
                # With rows to compare with, each of the two files was compared with those already.
                if not (self._expected and self._expected.counts):
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
                found = f"{digest[:12]}..." if len(digest) == len(recorded) else digest
                self._findings.add(catalogue.RECORD_SHA256, name, None, f"sha256 {found}", f"{recorded[:12]}...")
        if self._expected and self._expected.counts and (wanted := self._expected.counts) != dict(self._record.rows):
            recorded_rows = dict(self._record.rows)
            track = next(name for name in {**wanted, **recorded_rows} if wanted.get(name) != recorded_rows.get(name))
            found = f"{track} with {recorded_rows.get(track, 'no')} rows"
            self._findings.add(catalogue.RECORD_ROWS, RECORD_NAME, None, found, f"{wanted.get(track, 'no')} rows")

    def _digest(self, name: str) -> str:
        digest = sha256()
        try:
            with self._source.open(name) as handle:
                size = handle.seek(0, os.SEEK_END)
                if size > LARGEST_FILE:
                    return f"none taken of {size:,} bytes"
                handle.seek(0)
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


def _by_track(table: Table) -> dict[str, _TrackRows]:
    known = {name: rows[table.known[rows]] for name, rows in _rows_by_track(table).items()}
    return {name: _TrackRows(table.values[rows], table.frame[rows]) for name, rows in known.items()}


def _text(values: NDArray[Any]) -> str:
    return ",".join(f"{value:g}" for value in values.tolist())
