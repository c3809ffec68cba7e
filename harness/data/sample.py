"""The rows of an answer, and the official sample file that asks for them: which images, in which order, under which header."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import FORMATS
from harness.data import catalogue
from harness.errors import DataError
from harness.findings import Finding, printable, raise_first_error

# The largest sample known has 1,022,655 rows and 29 MB.
LARGEST_SAMPLE = 256 * 1024 * 1024
# Rows an answer may have at most.
MOST_ROWS = 10_000_000
# Frames a track may have at most, nine hours of thirty frames a second: whole numbers and scores of all of them are kept.
MOST_FRAMES = 1_000_000
# Tracks it may have at most, far more than the 600 of the whole data set.
MOST_TRACKS = 20_000
# A longer name is no file name; one row with it would widen the matrix of all the names of a block.
LONGEST_NAME = files.LONGEST_NAME
# Five digits, more only where five do not suffice; images are numbered from 1.
FRAME = r"(?!00000)[0-9]{5}|[1-9][0-9]{5,8}"
MOST_FINDINGS_PER_FILE = 20
_HEADERS_OF_SOME_FRAMES = tuple({f",{form.challenge.header}".encode() for form in FORMATS if not form.every_frame})
_BLOCK = 1 << 20
_MOST_SPANS = 2_000_000
_SPAN = re.compile(r"([1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")
_IMAGE = re.compile(rf"([^/]+)/({FRAME})\.jpg")
# `/00001.jpg`
_TAIL = 10
_DIGITS = slice(1, 6)
_EXTENSION = np.frombuffer(b".jpg", np.uint8)
_PLACES = np.array([10000, 1000, 100, 10, 1], np.int32)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of an answer in order.

    Attributes
    ----------
    names : tracks, in the order of their first row.
    track : (R,) int32, index into `names`.
    frame : (R,) int32, 1-based number of the image.
    """

    names: tuple[str, ...]
    track: NDArray[np.int32]
    frame: NDArray[np.int32]

    @classmethod
    def from_counts(cls, counts: Iterable[tuple[str, int]]) -> Rows:
        """Tracks one after the other, each with the images 1, 2, ..., its count."""
        counts = list(counts)
        lengths = [count for _, count in counts]
        track = np.repeat(np.arange(len(counts), dtype=np.int32), lengths)
        frame = np.concatenate([np.zeros(0, np.int32), *(np.arange(1, count + 1, dtype=np.int32) for count in lengths)])
        return cls(tuple(name for name, _ in counts), track, frame)

    def __len__(self) -> int:
        return len(self.track)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Rows by track."""
        return dict(zip(self.names, np.bincount(self.track, minlength=len(self.names)).tolist(), strict=True))

    @cached_property
    def codes(self) -> NDArray[np.int64]:
        """A number for the image of each row (R,), the same for the same image."""
        return (self.track.astype(np.int64) << 32) | self.frame

    def spans(self) -> list[tuple[str, str]]:
        """All rows in order, in few words: for each stretch of a track its name and its frames, such as `1-3,8,17-20`."""
        stretches: list[tuple[str, str]] = []
        new_track = np.diff(self.track, prepend=-1) != 0
        begins = np.flatnonzero(new_track | (np.diff(self.frame, prepend=-1) != 1))
        lasts = np.append(begins[1:], len(self)) - 1
        for begin, first, last in zip(begins.tolist(), self.frame[begins].tolist(), self.frame[lasts].tolist(), strict=True):
            span = str(first) if first == last else f"{first}-{last}"
            if new_track[begin]:
                stretches.append((self.names[self.track[begin]], span))
            else:
                stretches[-1] = (stretches[-1][0], f"{stretches[-1][1]},{span}")
        return stretches

    @classmethod
    def from_spans(cls, stretches: Iterable[tuple[str, str]]) -> Rows:
        """The rows that `spans` put into words. Raises ValueError for other words, or too many rows."""
        known: dict[str, int] = {}
        tracks: list[int] = []
        firsts: list[int] = []
        lengths: list[int] = []
        total = 0
        for name, text in stretches:
            track = known.setdefault(name, len(known))
            for word in text.split(","):
                match = _SPAN.fullmatch(word)
                first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
                total += last + 1 - first
                if first > last or total > MOST_ROWS or len(firsts) == _MOST_SPANS or track == MOST_TRACKS:
                    raise ValueError(f"frames {word[:40]!r}")
                tracks.append(track)
                firsts.append(first)
                lengths.append(last + 1 - first)
        track_of = np.repeat(np.array(tracks, np.int32), lengths)
        # Within a span the frame grows with the place of the row, so what is repeated is the frame that place 0 would have.
        frame_of = np.repeat(np.array(firsts, np.int64) - np.cumsum([0, *lengths[:-1]]), lengths) + np.arange(total)
        return cls(tuple(known), track_of, frame_of.astype(np.int32))

    @property
    def first_repeat(self) -> int | None:
        """The place of the first row whose image a row before it has; None where each image comes once."""
        if (np.diff(self.codes) > 0).all():
            return None
        order = np.argsort(self.codes, kind="stable")
        repeats = order[1:][np.diff(self.codes[order]) == 0]
        return int(repeats.min()) if len(repeats) else None

    @property
    def tracks_stand_together(self) -> bool:
        """Whether the rows of each track follow one another."""
        return bool((np.diff(self.track) >= 0).all())

    @property
    def without_gaps(self) -> bool:
        """Whether the images of every track are numbered 1, 2, 3, ... in this order, the tracks one after the other."""
        return bool(np.array_equal(Rows.from_counts(self.counts.items()).frame, self.frame)) and self.tracks_stand_together


def image_name(track: str, frame: int) -> str:
    """The image's name as the first field of a row."""
    return f"{track}/{frame:05d}.jpg"


@dataclass(frozen=True, eq=False)
class Images:
    """Image names of a block: `names` in order of appearance, of each row the index into them (int32) and the frame (int32)."""

    names: list[str]
    track: NDArray[np.int32]
    frame: NDArray[np.int32]


def read_images(buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Images | None:
    """The image names buffer[starts:ends] of five digits; None if any is not of the official form."""
    name_lengths = ends - starts - _TAIL
    longest = int(name_lengths.max(initial=1))
    if len(starts) == 0 or name_lengths.min() < 1 or longest > LONGEST_NAME:
        return None
    tails = buffer[ends[:, None] + np.arange(-_TAIL, 0)]
    digits = tails[:, _DIGITS] - ord("0")
    if (tails[:, 0] != ord("/")).any() or (digits > 9).any() or (tails[:, _DIGITS.stop :] != _EXTENSION).any():
        return None
    frame = digits.astype(np.int32) @ _PLACES
    names = buffer.take(starts[:, None] + np.arange(longest), mode="clip")
    names[np.arange(longest) >= name_lengths[:, None]] = 0
    return None if (frame < 1).any() else _by_track(names, name_lengths, frame)


def _by_track(names: NDArray[np.uint8], lengths: NDArray[np.int64], frame: NDArray[np.int32]) -> Images | None:
    """Rows of a name that follow one another are compared as bytes; only where the name changes is it read."""
    changes = np.concatenate(([True], (names[1:] != names[:-1]).any(axis=1) | (lengths[1:] != lengths[:-1])))
    firsts = np.flatnonzero(changes)
    known: dict[str, int] = {}
    indices = []
    for row in firsts.tolist():
        name = names[row, : lengths[row]].tobytes().decode("utf-8", "replace")
        if not files.is_track_name(name):
            return None
        indices.append(known.setdefault(name, len(known)))
    return Images(list(known), np.repeat(np.array(indices, np.int32), np.diff(np.append(firsts, len(frame)))), frame)


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample or example file.

    Attributes
    ----------
    rows : what can be read of them.
    header : as bytes without the line end.
    line : (R,) int32, 1-based line of each row.
    findings : faults, in the order of the lines.
    """

    rows: Rows
    header: bytes
    line: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    findings: tuple[Finding, ...] = ()


def load_sample(path: str | Path) -> Sample:
    """Reads a sample or example file. Raises DataError naming the file, and the line of its first fault."""
    return valid_sample(parse_sample(files.read_bytes(path, LARGEST_SAMPLE), str(path)), str(path))


def valid_sample(sample: Sample, path: str) -> Sample:
    """The sample itself. Raises DataError for its first fault, or an image that comes twice where every frame is asked for.

    Official lists of some frames (MTL of the 4th, 7th and 11th edition: 718 of 51,159 rows and more) repeat images.
    """
    raise_first_error(sample.findings)
    if not sample.header.rstrip().endswith(_HEADERS_OF_SOME_FRAMES) and (repeat := sample.rows.first_repeat) is not None:
        found = image_name(sample.rows.names[sample.rows.track[repeat]], int(sample.rows.frame[repeat]))
        raise DataError("a row of the sample file occurs twice", path=path, line=int(sample.line[repeat]), found=found)
    return sample


def parse_sample(data: bytes, path: str) -> Sample:
    """Header, rows and their order, with every fault. What stands behind a row's first comma (nothing, or a dummy) is not read.

    A byte-order mark, carriage returns and blank lines at the end, which an editor may have added, are taken away.
    """
    data = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    header, _, body = data.partition(b"\n")
    none = Rows.from_counts(())
    if b"/" in header.partition(b",")[0] or not header.strip():
        found = printable(header[:200].decode("utf-8", "replace"))
        return Sample(none, header, findings=(Finding(catalogue.SAMPLE_HEADER, path, 1, found, "the header of the sample"),))
    body = body.rstrip()
    if not body:
        return Sample(none, header, findings=(Finding(catalogue.SAMPLE_ROW, path, 1, "no rows", "a row per frame"),))
    known: dict[str, int] = {}
    findings: list[Finding] = []
    tracks, frames, lines, first_line = [], [], [], 2
    for block in _blocks(body):
        images, line = _read_block(block, first_line, path, findings)
        index = np.array([known.setdefault(name, len(known)) for name in images.names], np.int32)
        tracks.append(index[images.track])
        frames.append(images.frame)
        lines.append(line)
        if len(known) > MOST_TRACKS:
            found, most = f"{len(known):,} tracks and more", f"at most {MOST_TRACKS:,}"
            findings.insert(0, Finding(catalogue.SAMPLE_ROW, path, first_line, found, most))
            break
        first_line += block.count(b"\n")
    rows = Rows(tuple(known), np.concatenate(tracks), np.concatenate(frames))
    return Sample(rows, header, np.concatenate(lines), tuple(findings[:MOST_FINDINGS_PER_FILE]))


def _blocks(body: bytes) -> Iterator[bytes]:
    """Whole lines with their ends, about a mebibyte at a time."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + _BLOCK) + 1 or len(body)
        yield body[start:end] if body[end - 1 : end] == b"\n" else body[start:end] + b"\n"
        start = end


def _read_block(block: bytes, first_line: int, path: str, findings: list[Finding]) -> tuple[Images, NDArray[np.int32]]:
    """The images of a block and the line of each."""
    buffer = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate(([0], ends[:-1] + 1))
    # Of each line the position of its first comma, or its end where there is none.
    commas = np.append(np.flatnonzero(buffer == ord(",")), len(buffer))
    images = read_images(buffer, starts, np.minimum(commas[np.searchsorted(commas, starts)], ends))
    if images is not None:
        return images, np.arange(first_line, first_line + len(ends), dtype=np.int32)
    return _read_line_by_line(block, first_line, path, findings)


def _read_line_by_line(block: bytes, first_line: int, path: str, findings: list[Finding]) -> tuple[Images, NDArray[np.int32]]:
    """The same, slowly: for numbers of more than five digits, and to name the lines that are wrong."""
    known: dict[str, int] = {}
    rows: list[tuple[int, int, int]] = []
    for number, text in enumerate(block.removesuffix(b"\n").split(b"\n"), first_line):
        image = text.partition(b",")[0][:300].decode("utf-8", "replace")
        match = _IMAGE.fullmatch(image)
        if match and files.is_track_name(match[1]):
            rows.append((known.setdefault(match[1], len(known)), int(match[2]), number))
        elif len(findings) < MOST_FINDINGS_PER_FILE:
            findings.append(Finding(catalogue.SAMPLE_ROW, path, number, repr(printable(image)), "<track>/<5 digits>.jpg"))
    track, frame, line = np.array(rows, np.int32).reshape(-1, 3).T
    return Images(list(known), track, frame), line
