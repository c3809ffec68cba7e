"""What a submission is checked against: the official sample, a data root, a table of rows, or its own record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness import files
from harness.challenge import Format
from harness.data.csv_table import read_columns
from harness.data.sample import LARGEST_SAMPLE, MOST_ROWS, MOST_TRACKS, Rows, parse_sample, valid_sample
from harness.data.tracks import class_counts
from harness.errors import DataError
from harness.findings import raise_first_error
from harness.submission.record import RECORD_NAME, Record

if TYPE_CHECKING:
    from harness.data.tracks import DataRoot, Track

LARGEST_TABLE = 16 * 1024 * 1024
# A sentence of the 1st edition's list of totals has the track as its third and the frames as its tenth word.
_WORDS_OF_A_TOTAL = 10


@dataclass(frozen=True, eq=False)
class Expected:
    """The rows an answer must have.

    Attributes
    ----------
    source : where they are from, in words.
    tracks : names in order.
    rows : all rows in order; None where only the names, or these and the numbers of rows, are known.
    header : the single file's header as bytes, where a sample says it.
    training_frames : labelled training frames by class, where a data root says it.
    numbers : rows by track where these are known but not which frames they are; None otherwise.
    split : of the data root that it is from; None where it is from elsewhere.
    """

    source: str
    tracks: tuple[str, ...]
    rows: Rows | None
    header: bytes | None = None
    training_frames: tuple[int, ...] = ()
    numbers: Mapping[str, int] | None = None
    split: str | None = None

    @cached_property
    def track_set(self) -> frozenset[str]:
        """The names, to look one up."""
        return frozenset(self.tracks)

    @property
    def counts(self) -> Mapping[str, int] | None:
        """Rows by track; None where they are not known."""
        return self.numbers if self.rows is None else self.rows.counts

    def count(self, track: str) -> int | None:
        """Rows of a track; None where they are not known."""
        return None if self.counts is None else self.counts.get(track)

    def rows_of(self, form: Format) -> Rows | None:
        """All rows in order; None where they are not known. Numbers of rows say which they are where every frame is asked for."""
        return self.rows or (self._numbered if form.every_frame else None)

    @cached_property
    def _numbered(self) -> Rows | None:
        return None if self.numbers is None else Rows.from_counts(self.numbers.items())


def from_sample(path: str | Path) -> Expected:
    """From a sample or example file, or of editions 1 to 3 from a list of track names, which says nothing of rows, or of totals.

    Raises DataError naming file and line.
    """
    data = files.read_bytes(path, LARGEST_SAMPLE)
    head = data[:65536]
    if len(head.partition(b"\n")[0].split()) >= _WORDS_OF_A_TOTAL:
        return _from_totals(data, path)
    if b"/" not in head and b"," not in head:
        return _from_names(data, path)
    sample = valid_sample(parse_sample(data, str(path)), str(path))
    return Expected(f"the sample {path}", sample.rows.names, sample.rows, sample.header)


def _from_totals(data: bytes, path: str | Path) -> Expected:
    """From the 1st edition's list of tracks with their numbers of frames, a sentence each."""
    from harness.data.official import parse_frame_totals

    found = parse_frame_totals(data, str(path))
    raise_first_error(found.findings)
    return _from_counts(f"the totals of {path}", found.rows, path)


def _from_names(data: bytes, path: str | Path) -> Expected:
    longest = MOST_TRACKS * (files.LONGEST_NAME + len("\r\n"))
    if len(data) > longest:
        raise DataError("too long for a list of tracks", path=path, found=f"{len(data):,} bytes", expected=f"at most {longest:,}")
    names = [line.strip() for line in data.decode("utf-8", "replace").removeprefix("\ufeff").splitlines()]
    tracks = tuple(dict.fromkeys(name for name in names if name))
    if not 0 < len(tracks) <= MOST_TRACKS:
        raise DataError(f"{len(tracks) or 'no'} tracks are named", path=path, expected="a sample file, or one track per line")
    return Expected(f"the track names of {path} (rows are not known from it)", tracks, None)


def from_table(path: str | Path) -> Expected:
    """From a CSV file with the columns `track` and `rows`, whatever stands in others. Raises DataError naming file and line."""
    columns, table = read_columns(files.read_bytes(path, LARGEST_TABLE), path)
    if not {"track", "rows"} <= set(columns):
        raise DataError("not a table of rows", path=path, line=1, found=",".join(columns), expected="the columns track and rows")
    counts: dict[str, int] = {}
    for line, row in table:
        name, number = row["track"], row["rows"]
        if (
            not name
            or name in counts
            or not (number.isascii() and number.isdigit() and len(number) < 20 and 0 < int(number) <= MOST_ROWS)
        ):
            raise DataError(
                "not a row of a table of rows",
                path=path,
                line=line,
                found=ascii(f"{name},{number}"[:80]),
                expected="a track, once, and its number of rows",
            )
        counts[name] = int(number)
        if len(counts) > MOST_TRACKS:
            raise DataError("more tracks than any answer has", path=path, line=line, expected=f"at most {MOST_TRACKS:,}")
    if not counts:
        raise DataError("the table names no track", path=path)
    return _from_counts(f"the table {path}", counts, path)


def rows_of(tracks: Sequence[Track]) -> Rows:
    """The lines that tracks need, one track after the other: those that their lists name, or all frames."""
    frames = [np.arange(1, track.rows + 1, dtype=np.int32) if track.asked is None else track.asked for track in tracks]
    place = np.repeat(np.arange(len(tracks), dtype=np.int32), [len(one) for one in frames])
    return Rows(tuple(track.name for track in tracks), place, np.concatenate([np.zeros(0, np.int32), *frames]))


def from_data(path: str | Path, split: str) -> Expected:
    """From the tracks of a split of a data root. Raises DataError or UsageError as harness.data.scan does."""
    from harness.data.scan import scan

    root = scan(path)
    tracks = root.split(split)
    frames = _training_frames(root)
    if split == "test" and root.sample is not None:
        return replace(from_sample(root.sample), training_frames=frames)
    expected = _from_counts(f"the {split} split of {path}", {track.name: track.rows for track in tracks}, path)
    return replace(expected, training_frames=frames, split=split)


def _training_frames(root: DataRoot) -> tuple[int, ...]:
    """Labelled training frames by class; empty where there are none."""
    counts = class_counts(*(track.labels for track in root.members("train")))
    return tuple(counts.tolist()) if counts.any() else ()


def from_record(record: Record) -> Expected:
    """From the submission's own record."""
    numbers = dict(record.rows)
    return Expected(f"the record in its own {RECORD_NAME}", tuple(numbers), record.frames, record.header, numbers=numbers)


def _from_counts(source: str, counts: dict[str, int], path: str | Path) -> Expected:
    if sum(counts.values()) > MOST_ROWS:
        raise DataError(
            "more rows than any answer has", path=path, found=f"{sum(counts.values()):,}", expected=f"at most {MOST_ROWS:,}"
        )
    return Expected(source, tuple(counts), None, numbers=counts)
