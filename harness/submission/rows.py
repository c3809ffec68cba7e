"""Which rows an answer has and in which order, and the numbers and image names they are written with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Field

# Printable ASCII but blank, quotes, comma, slash and backslash; no leading dot.
NAME = r"(?!\.)[!#-&(-+\-.0-[\]-~]+"
# Five digits, more only where five do not suffice; images are numbered from 1.
FRAME = r"(?!00000)[0-9]{5}|[1-9][0-9]{5,8}"
# Rows an answer may have at most; the largest known has 1,022,655.
MOST_ROWS = 10_000_000
_MOST_SPANS = 2_000_000
_SPAN = re.compile(r"([1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")
REAL = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"


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
        """The rows that `spans` put into words. Raises ValueError for other words, a row that comes twice, or too many rows."""
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
                if first > last or total > MOST_ROWS or len(firsts) == _MOST_SPANS:
                    raise ValueError(f"frames {word[:40]!r}")
                tracks.append(track)
                firsts.append(first)
                lengths.append(last + 1 - first)
        track_of = np.repeat(np.array(tracks, np.int32), lengths)
        # Within a span the frame grows with the place of the row, so what is repeated is the frame that place 0 would have.
        frame_of = np.repeat(np.array(firsts, np.int64) - np.cumsum([0, *lengths[:-1]]), lengths) + np.arange(total)
        if len(np.unique((track_of.astype(np.int64) << 32) | frame_of)) < total:
            raise ValueError("a row comes twice")
        return cls(tuple(known), track_of, frame_of.astype(np.int32))

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


def is_track_name(name: str) -> bool:
    """Whether `name` can stand before the slash of an image name."""
    return re.fullmatch(NAME, name) is not None


def field_pattern(field: Field) -> str:
    """A regular expression of the one way to write a value of `field`; of real numbers the range remains to be checked."""
    if field.kind == "real":
        return REAL
    return f"[{field.low}-{field.high}]"


@lru_cache
def row_pattern(challenge: Challenge, with_image: bool) -> re.Pattern[bytes]:
    """The one way to write a row, without its line end; groups: track and frame where there is an image name, then the fields."""
    fields = ",".join(f"({field_pattern(field)})" for field in challenge.fields)
    image = rf"({NAME})/({FRAME})\.jpg," if with_image else ""
    return re.compile((image + fields).encode())


def real_text(value: float) -> str:
    """The shortest decimal that reads back as `value`, without an exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def value_lines(values: NDArray[Any], challenge: Challenge) -> list[bytes]:
    """The value part of each row with its line end.

    `values` is (rows,) or (rows, fields): int8 where the challenge is integral, else float64. Raises ValueError for a shape or a
    value the challenge does not allow, naming the first row (1-based).
    """
    table = _checked(values, challenge)
    if challenge.integral:
        width = 2 * table.shape[1]
        data = _digits(table).tobytes()
        return [data[start : start + width] for start in range(0, len(data), width)]
    whole = [field.kind != "real" for field in challenge.fields]
    return [
        ",".join(str(int(value)) if integer else real_text(value) for value, integer in zip(row, whole, strict=True)).encode()
        + b"\n"
        for row in table.tolist()
    ]


def value_bytes(values: NDArray[Any], challenge: Challenge) -> bytes:
    """All value lines after one another: a track's file without its header. See value_lines."""
    if challenge.integral:
        return _digits(_checked(values, challenge)).tobytes()
    return b"".join(value_lines(values, challenge))


def _digits(table: NDArray[Any]) -> NDArray[np.uint8]:
    """(rows, 2 * fields) characters: a digit and a comma for each field, the last comma a line end."""
    characters = np.full((len(table), 2 * table.shape[1]), ord(","), np.uint8)
    characters[:, 0::2] = table + ord("0")
    characters[:, -1:] = ord("\n")
    return characters


def _checked(values: NDArray[Any], challenge: Challenge) -> NDArray[Any]:
    fields = challenge.fields
    table = values.reshape(-1, 1) if values.ndim == 1 else values
    if table.ndim != 2 or table.shape[1] != len(fields):
        raise ValueError(f"{challenge.name} has {len(fields)} numbers in a row, the values have the shape {values.shape}")
    low = np.array([field.low for field in fields])
    high = np.array([field.high for field in fields])
    whole = np.array([field.kind != "real" for field in fields])
    allowed = (table >= low) & (table <= high) & (~whole | (table == np.floor(table)))
    if not allowed.all():
        row, column = np.argwhere(~allowed)[0].tolist()
        field, value = fields[column], table[row, column].item()
        raise ValueError(f"row {row + 1} has {field.name} {value!r}, but {challenge.name} allows {field.low} to {field.high}")
    return table


def image_prefixes(rows: Rows) -> list[bytes]:
    """`<track>/<frame>.jpg,` for each row."""
    names = [name.encode() for name in rows.names]
    return [
        b"%s/%05d.jpg," % (names[track], frame) for track, frame in zip(rows.track.tolist(), rows.frame.tolist(), strict=True)
    ]
