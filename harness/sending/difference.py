"""What changed from one submission to another: rows that differ, by track and by pair of classes, and the runs they form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge
from harness.data.sample import image_name
from harness.errors import MismatchError
from harness.submission.reader import Answer
from harness.words import counted, percent

_MOST_NAMED = 5


@dataclass(frozen=True)
class DifferingRows:
    """Rows that follow one another in a track and all differ: frames of the first and the last, and how many rows they are."""

    track: str
    first: int
    last: int
    length: int


@dataclass(frozen=True)
class FieldDifference:
    """One field of two answers.

    Attributes
    ----------
    name : of the field.
    rows : rows in which it differs.
    pairs : for classes and units, how often which value became which other; most frequent first.
    mean, largest : for real values, the mean and the largest absolute difference.
    """

    name: str
    rows: int
    pairs: tuple[tuple[str, str, int], ...]
    mean: float | None = None
    largest: float | None = None


@dataclass(frozen=True)
class Difference:
    """Two answers to the same rows.

    Attributes
    ----------
    rows, differing : all rows, and those in which any field differs.
    tracks : rows and differing rows by track, the most changed first.
    fields : each field by itself.
    runs : the stretches in which rows differ, the longest first.
    """

    challenge: Challenge
    rows: int
    differing: int
    tracks: tuple[tuple[str, int, int], ...]
    fields: tuple[FieldDifference, ...]
    runs: tuple[DifferingRows, ...]

    @property
    def share(self) -> float:
        """The share of rows that differ."""
        return self.differing / self.rows if self.rows else 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values that JSON can hold."""
        return {
            "challenge": self.challenge.name,
            "rows": self.rows,
            "differing": self.differing,
            "share": self.share,
            "tracks": [{"track": name, "rows": rows, "differing": differing} for name, rows, differing in self.tracks],
            "fields": [
                {
                    "field": field.name,
                    "differing": field.rows,
                    "pairs": [{"from": one, "to": other, "rows": count} for one, other, count in field.pairs],
                    "mean": field.mean,
                    "largest": field.largest,
                }
                for field in self.fields
            ],
            "runs": [{"track": run.track, "first": run.first, "last": run.last, "rows": run.length} for run in self.runs],
        }


def difference(first: Answer, second: Answer) -> Difference:
    """Compares two answers frame by frame, in whatever order their rows stand.

    Raises MismatchError if they are not of the same challenge, tracks and frames.
    """
    _refuse_others(first, second)
    challenge = first.form.challenge
    names = list(first.values)
    frames = {name: np.sort(first.frames[name]) for name in names}
    _refuse_other_frames(frames, second)
    one = {name: _in_order(first, name) for name in names}
    other = {name: _in_order(second, name) for name in names}
    changed = {name: (one[name] != other[name]).any(axis=1) for name in names}
    rows = {name: len(changed[name]) for name in names}
    counts = {name: int(changed[name].sum()) for name in names}
    ranked = sorted(names, key=lambda name: (-counts[name] / max(rows[name], 1), name))
    runs = sorted((run for name in names for run in _runs(name, changed[name], frames[name])), key=lambda run: -run.length)
    return Difference(
        challenge=challenge,
        rows=sum(rows.values()),
        differing=sum(counts.values()),
        tracks=tuple((name, rows[name], counts[name]) for name in ranked),
        fields=tuple(_fields(challenge, one, other)),
        runs=tuple(runs),
    )


def _refuse_others(first: Answer, second: Answer) -> None:
    if first.form.challenge != second.form.challenge:
        raise MismatchError(
            "these answer different challenges",
            found=f"{first.form.name} and {second.form.name}",
            remedy="if one was recognised wrongly, name it with --challenge",
        )
    rows = {
        name: (len(first.values.get(name, ())), len(second.values.get(name, ()))) for name in {**first.values, **second.values}
    }
    others = [f"{name}: {one:,} and {counted(other, 'row')}" for name, (one, other) in rows.items() if one != other]
    if others:
        more = f", and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
        raise MismatchError("their tracks or rows differ", found="; ".join(others[:_MOST_NAMED]) + more)


def _refuse_other_frames(frames: Mapping[str, NDArray[np.int32]], second: Answer) -> None:
    """Compares the frames of each track in ascending order; there are as many in both answers."""
    others = []
    for name, ours in frames.items():
        theirs = np.sort(second.frames[name])
        differs = ours != theirs
        if differs.any():
            at = int(np.argmax(differs))
            others.append(f"{image_name(name, int(ours[at]))} beside {image_name(name, int(theirs[at]))}")
    if others:
        more = f", and {len(others) - _MOST_NAMED} more tracks" if len(others) > _MOST_NAMED else ""
        raise MismatchError("their rows are of different frames", found="; ".join(others[:_MOST_NAMED]) + more)


def _in_order(answer: Answer, track: str) -> NDArray[Any]:
    """The values of a track (rows, fields) by ascending frame."""
    values = answer.values[track]
    return values.reshape(len(values), -1)[np.argsort(answer.frames[track], kind="stable")]


def _runs(track: str, changed: NDArray[np.bool_], frames: NDArray[np.int32]) -> Iterator[DifferingRows]:
    edges = np.diff(changed.astype(np.int8), prepend=0, append=0)
    for begin, end in zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True):
        yield DifferingRows(track, int(frames[begin]), int(frames[end - 1]), end - begin)


def _fields(
    challenge: Challenge, one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]
) -> Iterator[FieldDifference]:
    if not one:
        return
    before, after = np.concatenate(list(one.values())), np.concatenate(list(other.values()))
    for column, field in enumerate(challenge.fields):
        left, right = before[:, column], after[:, column]
        rows = int((left != right).sum())
        if field.integral:
            pairs = _pairs(left.astype(np.int64), right.astype(np.int64), challenge.names_of(field))
            yield FieldDifference(field.name, rows, tuple(pairs))
        else:
            distance = np.abs(left - right)
            yield FieldDifference(field.name, rows, (), float(distance.mean()), float(distance.max()))


def _pairs(left: NDArray[np.int64], right: NDArray[np.int64], names: tuple[str, ...]) -> list[tuple[str, str, int]]:
    size = len(names)
    counts = np.bincount(left * size + right, minlength=size * size).reshape(size, size)
    np.fill_diagonal(counts, 0)
    pairs = [(names[row], names[column], int(counts[row, column])) for row, column in np.argwhere(counts).tolist()]
    return sorted(pairs, key=lambda pair: -pair[2])


def describe(result: Difference, shown: int) -> list[str]:
    """The difference in lines of text; of pairs, tracks and runs the first `shown`."""
    if not result.differing:
        return [f"{counted(result.rows, 'row')}, all the same"]
    changed = [track for track in result.tracks if track[2]]
    places = f"{len(changed):,} of {len(result.tracks):,} tracks"
    lines = [f"{result.differing:,} of {result.rows:,} rows differ ({percent(result.share, 2)}), in {places}"]
    for field in result.fields:
        lines += _describe_field(field, result, shown)
    lines += ["", "most changed tracks"]
    lines += [f"  {name:<32} {percent(count / rows, 2):>9}  {count:,} of {rows:,} rows" for name, rows, count in changed[:shown]]
    lengths = [run.length for run in result.runs]
    lines += ["", f"{counted(len(lengths), 'run')} of changed rows, median length {np.median(lengths):g} rows; the longest:"]
    lines += [
        f"  {run.track:<32} frames {run.first:,} to {run.last:,} ({counted(run.length, 'row')})" for run in result.runs[:shown]
    ]
    return lines


def _describe_field(field: FieldDifference, result: Difference, shown: int) -> list[str]:
    if field.mean is not None:
        return [f"{field.name}: differs by {field.mean:.4f} in the mean, by {field.largest:.4f} at most"]
    if len(result.fields) > 1:
        ways = ", ".join(f"{one} to {other} {count:,} times" for one, other, count in field.pairs[:shown])
        return [f"{field.name}: {percent(field.rows / result.rows, 2)} of rows differ" + (f" ({ways})" if ways else "")]
    lines = ["", "most frequent changes"]
    return lines + [
        f"  {f'{one} to {other}':<32} {percent(count / result.rows, 2):>9}  {counted(count, 'row')}"
        for one, other, count in field.pairs[:shown]
    ]
