"""The rows that were found beside the rows that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Format
from harness.data.sample import Rows, image_name
from harness.findings import KEPT, FindingKind, Findings, as_warning
from harness.submission import catalogue
from harness.submission.table import Table
from harness.words import counted

# A file with so nearly as many rows as the official test set was meant to be it.
_NEARLY = 0.05
# In place of a row's place among the wanted ones: none of them is of its image; there are fewer of its image.
_UNWANTED, _COPY = -1, -2


def compare_rows(table: Table, wanted: Rows, file: str, findings: Findings) -> None:
    """Compares the image names of a single file with those that are wanted, in order."""
    _Comparison(table, wanted, file, findings).run()


class _Comparison:
    """The rows whose image names could be read; what has been said of a row takes it away from what is looked at next."""

    def __init__(self, table: Table, wanted: Rows, file: str, findings: Findings) -> None:
        self._wanted = wanted
        self._file = file
        self._findings = findings
        self._own_names = table.names
        index = {name: position for position, name in enumerate(wanted.names)}
        places = np.array([*(index.get(name, -1) for name in table.names), -1], np.int32)
        readable = table.track >= 0
        self._own_track = table.track[readable]
        self._track = places[self._own_track]
        self._frame = table.frame[readable]
        self._line = table.line[readable]

    def run(self) -> None:
        if np.array_equal(self._track, self._wanted.track) and np.array_equal(self._frame, self._wanted.frame):
            return
        self._report_second_copy()
        self._report_unknown_tracks()
        self._report_shifted_tracks()
        position = self._report_extra(self._positions())
        position = self._report_duplicates(position)
        self._report_absent(position)
        self._report_disorder(position)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        self._own_track, self._track = self._own_track[kept], self._track[kept]
        self._frame, self._line = self._frame[kept], self._line[kept]

    def _report_second_copy(self) -> None:
        half = rows_before_copy(self._own_track, self._frame)
        if half and 2 * half > len(self._wanted):
            self._findings.add(catalogue.FILE_TWICE, self._file, int(self._line[half]), f"the {half:,} rows before it again")
            self._keep(np.arange(2 * half) < half)

    def _report_unknown_tracks(self) -> None:
        known = self._track >= 0
        _report_unknown_tracks(self._own_names, self._own_track[~known], self._line[~known], self._file, self._findings)
        self._keep(known)

    def _report_shifted_tracks(self) -> None:
        """Tracks whose numbers are all off by the same; they are put right to look at the rest."""
        number = len(self._wanted.names)
        same_count = np.bincount(self._track, minlength=number) == np.bincount(self._wanted.track, minlength=number)
        shift = _lowest(self._track, self._frame, number) - _lowest(self._wanted.track, self._wanted.frame, number)
        for track in np.flatnonzero(same_count & (shift != 0)).tolist():
            rows = np.flatnonzero(self._track == track)
            frames = self._wanted.frame[self._wanted.track == track]
            if len(rows) and np.array_equal(np.sort(self._frame[rows]) - shift[track], np.sort(frames)):
                first, last = int(self._frame[rows].min()), int(self._frame[rows].max())
                self._findings.add(
                    catalogue.ROW_SHIFTED,
                    self._file,
                    int(self._line[rows[0]]),
                    f"{self._wanted.names[track]} with images {first} to {last}",
                    f"{frames.min()} to {frames.max()}",
                )
                self._frame[rows] -= shift[track]

    def _positions(self) -> NDArray[np.int64]:
        """Of each row its place among the wanted ones, copies of an image in order; _UNWANTED, or _COPY for one too many."""
        wanted, codes = self._wanted.codes, _codes(self._track, self._frame)
        order = np.argsort(wanted, kind="stable")
        first = np.searchsorted(wanted[order], codes)
        number = np.searchsorted(wanted[order], codes, side="right") - first
        copy = _copies_before(codes)
        place = order[np.minimum(first + copy, len(wanted) - 1)]
        positions: NDArray[np.int64] = np.where(number == 0, _UNWANTED, np.where(copy < number, place, _COPY))
        return positions

    def _report_extra(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        # That there is no image 0 was said when its line was read.
        extra = (position == _UNWANTED) & (self._frame > 0)
        self._report(catalogue.ROW_EXTRA, extra, lambda first, last: (self._span(first, last), ""))
        self._keep(position != _UNWANTED)
        wanted: NDArray[np.int64] = position[position != _UNWANTED]
        return wanted

    def _report_duplicates(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that the wanted ones do not have so often."""
        _, firsts, which = np.unique(_codes(self._track, self._frame), return_index=True, return_inverse=True)
        original = self._line[firsts[which.reshape(-1)]]
        self._report(
            catalogue.ROW_DUPLICATE,
            position == _COPY,
            lambda first, last: (f"{self._span(first, last)}, as in line {original[first]}", ""),
        )
        self._keep(position != _COPY)
        singled: NDArray[np.int64] = position[position != _COPY]
        return singled

    def _report_absent(self, position: NDArray[np.int64]) -> None:
        wanted = self._wanted
        line = np.zeros(len(wanted), np.int64)
        line[position] = self._line
        absent = line == 0
        if not absent.any():
            return
        rows = np.bincount(wanted.track[absent], minlength=len(wanted.names))
        without_rows = rows == list(wanted.counts.values())
        for track in np.flatnonzero(without_rows).tolist():
            self._findings.add(
                catalogue.TRACK_ABSENT, self._file, None, expected=f"{wanted.names[track]} ({counted(rows[track], 'row')})"
            )
        # A row belongs behind the nearest of the rows before it that is there, or else where the first row stands.
        nearest = line[np.maximum.accumulate(np.where(absent, 0, np.arange(len(wanted))))]
        place = np.where(nearest > 0, nearest + 1, self._line.min(initial=2))

        def describe(first: int, last: int) -> tuple[str, str]:
            name = wanted.names[wanted.track[first]]
            return "", _span(name, int(wanted.frame[first]), int(wanted.frame[last]), last - first + 1)

        absent &= ~without_rows[wanted.track]
        report_runs(catalogue.ROW_ABSENT, absent, wanted.track, place, describe, self._file, self._findings)

    def _report_disorder(self, position: NDArray[np.int64]) -> None:
        """Stretches in which other rows stand than if all that is there were put in order."""
        in_order = np.sort(position)

        def describe(first: int, last: int) -> tuple[str, str]:
            wanted = in_order[first]
            expected = image_name(self._wanted.names[self._wanted.track[wanted]], int(self._wanted.frame[wanted]))
            return self._span(first, first), expected

        one_stretch = np.zeros(len(position), np.int32)
        report_runs(catalogue.ROW_ORDER, position != in_order, one_stretch, self._line, describe, self._file, self._findings)

    def _report(self, kind: FindingKind, rows: NDArray[np.bool_], describe: Callable[[int, int], tuple[str, str]]) -> None:
        report_runs(kind, rows, self._track, self._line, describe, self._file, self._findings)

    def _span(self, first: int, last: int) -> str:
        name = self._own_names[self._own_track[first]]
        return _span(name, int(self._frame[first]), int(self._frame[last]), last - first + 1)


def examine_rows(table: Table, form: Format, file: str, findings: Findings) -> None:
    """What the image names of a single file say without anything to check them against."""
    readable = table.track >= 0
    track, frame, line = table.track[readable], table.frame[readable], table.line[readable]
    half = rows_before_copy(track, frame)
    if half:
        findings.add(catalogue.FILE_TWICE, file, int(line[half]), f"the {half:,} rows before it again")
        track, frame, line = track[:half], frame[:half], line[:half]

    def name_rows(first: int, last: int) -> tuple[str, str]:
        return _span(table.names[track[first]], int(frame[first]), int(frame[last]), last - first + 1), ""

    _, firsts = np.unique(_codes(track, frame), return_index=True)
    repeated = np.ones(len(track), np.bool_)
    repeated[firsts] = False
    # Official lists of some frames name images more than once, and without the list nobody can tell which.
    kind = catalogue.ROW_DUPLICATE if form.every_frame else as_warning(catalogue.ROW_DUPLICATE)
    report_runs(kind, repeated, track, line, name_rows, file, findings)
    track, frame, line = track[~repeated], frame[~repeated], line[~repeated]

    begins = np.diff(track, prepend=-1) != 0
    again = begins.copy()
    again[np.unique(track, return_index=True)[1]] = False
    report_runs(catalogue.TRACK_SCATTERED, again, track, line, name_rows, file, findings)
    if form.every_frame:
        wanted = np.where(begins, 1, np.append(0, frame[:-1]) + 1)

        def name_both(first: int, last: int) -> tuple[str, str]:
            name = table.names[track[first]]
            return image_name(name, int(frame[first])), image_name(name, int(wanted[first]))

        jumps = (frame != wanted) & (frame > 0) & ~again
        report_runs(catalogue.NUMBERS_JUMP, jumps, np.arange(len(track), dtype=np.int32), line, name_both, file, findings)


def compare_size(table: Table, form: Format, file: str, findings: Findings) -> None:
    """Compares the rows of a single file with those of the official test set, if it was meant to answer that."""
    if form.test_rows and len(table) != form.test_rows and abs(len(table) - form.test_rows) <= _NEARLY * form.test_rows:
        findings.add(catalogue.OFFICIAL_SIZE, file, None, f"{len(table):,} rows", f"{form.test_rows:,}")


def compare_tracks(
    table: Table, form: Format, tracks: Sequence[str], numbers: Mapping[str, int] | None, file: str, findings: Findings
) -> None:
    """Compares the tracks of a single file with those that are wanted, and their numbers of rows where these are known.

    A row that comes twice counts once, but where an official list may name an image more than once.
    """
    rows = np.flatnonzero(table.track >= 0)
    if form.every_frame:
        rows = rows[_copies_before(_codes(table.track[rows], table.frame[rows])) == 0]
    track, line = table.track[rows], table.line[rows]
    asked = set(tracks)
    unknown = np.isin(track, [index for index, name in enumerate(table.names) if name not in asked])
    _report_unknown_tracks(table.names, track[unknown], line[unknown], file, findings)
    places = {name: index for index, name in enumerate(table.names)}
    for name in tracks:
        lines = line[track == places[name]] if name in places else line[:0]
        wanted = None if numbers is None else numbers.get(name)
        if not len(lines):
            rows_wanted = "" if wanted is None else f" ({counted(wanted, 'row')})"
            findings.add(catalogue.TRACK_ABSENT, file, None, expected=f"{name}{rows_wanted}")
        elif wanted is not None and len(lines) < wanted:
            findings.add(catalogue.ROWS_TOO_FEW, file, int(lines[-1]), f"{len(lines):,} rows of {name}", f"{wanted:,}")
        elif wanted is not None and len(lines) > wanted:
            findings.add(catalogue.ROWS_TOO_MANY, file, int(lines[wanted]), f"{len(lines):,} rows of {name}", f"{wanted:,}")


def _report_unknown_tracks(
    names: Sequence[str], track: NDArray[np.int32], line: NDArray[np.int32], file: str, findings: Findings
) -> None:
    """Names each track of these rows, at the line of its first."""
    tracks, firsts, counts = np.unique(track, return_index=True, return_counts=True)
    for order in np.argsort(line[firsts]).tolist():
        found = f"{names[tracks[order]]} ({counted(counts[order], 'row')})"
        findings.add(catalogue.TRACK_UNKNOWN, file, int(line[firsts[order]]), found)


def compare_count(table: Table, wanted: int | None, file: str, findings: Findings) -> None:
    """Compares the rows of a track's file with their number; None if that is not known."""
    rows = len(table)
    twice = rows > 1 and rows % 2 == 0 and np.array_equal(table.values[: rows // 2], table.values[rows // 2 :])
    header_between = twice and table.line[rows // 2] - table.line[rows // 2 - 1] > 1
    if twice and (rows == 2 * wanted if wanted else header_between):
        findings.add(catalogue.FILE_TWICE, file, int(table.line[rows // 2]), f"the {rows // 2:,} rows before it again")
    elif wanted is not None and rows < wanted:
        findings.add(catalogue.ROWS_TOO_FEW, file, table.last_line, f"{rows:,} rows", f"{wanted:,}")
    elif wanted is not None and rows > wanted:
        findings.add(catalogue.ROWS_TOO_MANY, file, int(table.line[wanted]), f"{rows:,} rows", f"{wanted:,}")


def rows_before_copy(track: NDArray[np.int32], frame: NDArray[np.int32]) -> int:
    """Half the number of rows if the second half repeats the image names of the first, else 0."""
    half, odd = divmod(len(track), 2)
    repeats = not odd and np.array_equal(track[:half], track[half:]) and np.array_equal(frame[:half], frame[half:])
    return half if repeats else 0


def compare_copies(table: Table, file: str, findings: Findings) -> None:
    """Compares the values of rows of one image, which an official list may name more than once."""
    rows = np.flatnonzero((table.track >= 0) & table.known)
    _, firsts, which = np.unique(_codes(table.track[rows], table.frame[rows]), return_index=True, return_inverse=True)
    original = rows[firsts[which.reshape(-1)]]
    differs = (table.values[rows] != table.values[original]).any(axis=1)

    def describe(first: int, last: int) -> tuple[str, str]:
        row = rows[first]
        return image_name(
            table.names[table.track[row]], int(table.frame[row])
        ), f"the values of line {table.line[original[first]]}"

    report_runs(catalogue.COPIES_DIFFER, differs, table.track[rows], table.line[rows], describe, file, findings)


def _copies_before(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows before each (R,) have the same code."""
    order = np.argsort(codes, kind="stable")
    begins = np.flatnonzero(np.diff(codes[order], prepend=-1) != 0)
    copies = np.empty(len(codes), np.int64)
    copies[order] = np.arange(len(codes)) - np.repeat(begins, np.diff(np.append(begins, len(codes))))
    return copies


def _codes(track: NDArray[np.int32], frame: NDArray[np.int32]) -> NDArray[np.int64]:
    return (track.astype(np.int64) << 32) | frame


def _lowest(track: NDArray[np.int32], frame: NDArray[np.int32], number: int) -> NDArray[np.int32]:
    """The lowest image number of each track."""
    lowest = np.full(number, np.iinfo(np.int32).max, np.int32)
    np.minimum.at(lowest, track, frame)
    return lowest


def report_runs(
    kind: FindingKind,
    chosen: NDArray[np.bool_],
    group: NDArray[np.int32],
    line: NDArray[np.int32] | NDArray[np.int64],
    describe: Callable[[int, int], tuple[str, str]],
    file: str,
    findings: Findings,
) -> None:
    """Adds one finding for each stretch of chosen rows of one group, at the line of its first row.

    `describe(first, last)` gives what was found and expected; it is asked only for the findings that are kept.
    """
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return
    borders = np.flatnonzero((np.diff(rows) != 1) | (np.diff(group[rows]) != 0))
    firsts, lasts = rows[np.append(0, borders + 1)], rows[np.append(borders, len(rows) - 1)]
    for first, last in zip(firsts[:KEPT].tolist(), lasts[:KEPT].tolist(), strict=True):
        findings.add(kind, file, int(line[first]), *describe(first, last))
    findings.count_more(kind, file, len(firsts) - KEPT)


def _span(name: str, first: int, last: int, count: int) -> str:
    if count == 1:
        return image_name(name, first)
    return f"{image_name(name, first)} to {last:05d}.jpg ({counted(count, 'row')})"
