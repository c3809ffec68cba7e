"""A challenge as its parts: what a row of scores becomes, what frames add up to, and what that scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate, groupby, pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import FORMATS, Challenge, Field, Score
from harness.errors import DataError, UsageError, near_names
from harness.kinds.classes import ClassPart
from harness.kinds.confusion import supported, supported_by_contrasts
from harness.kinds.f1 import ratio
from harness.kinds.part import ByHand, Floats, Measure, Part
from harness.kinds.reals import RealPart
from harness.kinds.units import UnitPart
from harness.words import listed


@dataclass(frozen=True)
class Placed:
    """A part and where it lies: among columns of scores, fields of a row, numbers of an adjustment, and sums."""

    part: Part
    columns: slice
    fields: slice
    adjustment: slice
    sums: slice


@dataclass(frozen=True)
class Parts:
    """The parts of a challenge in the order of its fields; made by `parts_of`.

    Scores are matrices (S, columns), labels and answers (R, fields); labels of one field may come as (R,). Sums of any frames are
    one flat vector (size,), int64, or float64 where a part is a value: that of several recordings is the sum of theirs.
    """

    challenge: Challenge
    placed: tuple[Placed, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns of the score matrix."""
        return tuple(name for own in self.placed for name in own.part.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts, as settings and recipes call them."""
        return tuple(own.part.name for own in self.placed)

    @cached_property
    def strata(self) -> tuple[str, ...]:
        """The names of all strata."""
        return tuple(name for own in self.placed for name in own.part.strata)

    @cached_property
    def neutral(self) -> tuple[float, ...]:
        """The adjustment of all parts that leaves decisions as they are."""
        return tuple(number for own in self.placed for number in own.part.neutral)

    @property
    def called(self) -> str:
        """What the columns are, in the plural: classes, units, values, or several of these."""
        return listed([*dict.fromkeys(own.part.called for own in self.placed)])

    @property
    def size(self) -> int:
        """How many numbers a vector of sums has."""
        return int(self.placed[-1].sums.stop)

    @property
    def of_classes(self) -> bool:
        """Whether an answer is one class and nothing else."""
        return self.columns == self.challenge.class_names

    @property
    def class_part(self) -> Placed | None:
        """The part whose answer is one of several classes, and whose values are their probabilities; None where there is none."""
        return next((own for own in self.placed if own.part.shares), None)

    @property
    def dtype(self) -> type[np.int64] | type[np.float64]:
        """What sums are held as: whole numbers where all parts count frames."""
        return np.int64 if self.challenge.integral else np.float64

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """All measures by name, each `of` the sums (..., size) of the whole challenge."""
        return {
            measure.name: replace(measure, of=_of_part(measure, own.sums)) for own in self.placed for measure in own.part.measures
        }

    @cached_property
    def judged_by(self) -> tuple[Measure, ...]:
        """The measure that each column (columns,) is judged by."""
        first = {measure.column: measure for measure in reversed(list(self.measures.values()))}
        return tuple(first[name] for name in self.columns)

    def judging(self, judged: ArrayLike) -> Parts:
        """The same challenge, whose pooled measures are means over the columns marked in `judged` (columns,) alone.

        A class that hardly any frame has, or a unit that is never active, says nothing about a model: nothing is chosen by it.
        Measures of a part without any mark are means over all of its columns.
        """
        marks = np.array(judged, dtype=bool)
        for own in self.placed:
            marks[own.columns] |= not marks[own.columns].any()
        judging = (own.part.judging(tuple(marks[own.columns].tolist())) for own in self.placed)
        placed = (replace(own, part=part) for own, part in zip(self.placed, judging, strict=True))
        return Parts(self.challenge, tuple(placed))

    def activate(self, scores: ArrayLike, temperatures: Sequence[float] | None = None) -> Floats:
        """From a network's outputs (S, columns) to probabilities and values; `temperatures` has one number for each part.

        Raises DataError if an output is not finite.
        """
        matrix, warmth = self._matrix(scores), temperatures or (1.0,) * len(self.placed)
        found = [own.part.activate(matrix[:, own.columns], heat) for own, heat in zip(self.placed, warmth, strict=True)]
        return np.concatenate(found, axis=1)

    def soften(self, values: ArrayLike, temperatures: Sequence[float] | None = None) -> Floats:
        """The same from probabilities and values (S, columns) of another model."""
        matrix, warmth = self._matrix(values), temperatures or (1.0,) * len(self.placed)
        found = [own.part.soften(matrix[:, own.columns], heat) for own, heat in zip(self.placed, warmth, strict=True)]
        return np.concatenate(found, axis=1)

    def unsmoothed(self, smooth: Floats, plain: Floats, surer_than: float, seen: NDArray[np.bool_]) -> Floats:
        """Smoothed values (R, columns), but for the parts of seen rows whose `plain` values are surer than `surer_than`."""
        result = smooth.copy()
        for own in self.placed:
            sure = seen & (own.part.sureness(plain[:, own.columns]) > surer_than)
            result[sure, own.columns] = plain[sure, own.columns]
        return result

    def decode(self, values: ArrayLike, adjustment: Sequence[float] | None = None) -> NDArray:
        """The answers (R, fields) to values (R, columns): int8 where all fields are whole numbers, else float64.

        `adjustment` holds those of all parts, one behind the other, like `neutral`. Raises DataError if a value is not finite.
        """
        matrix, numbers = self._matrix(values), self.neutral if adjustment is None else tuple(adjustment)
        if len(numbers) != len(self.neutral):
            raise ValueError(f"{self.challenge.name} is adjusted by {len(self.neutral)} numbers, not by {len(numbers)}")
        found = [own.part.decode(matrix[:, own.columns], numbers[own.adjustment]) for own in self.placed]
        return np.concatenate(found, axis=1, dtype=np.int8 if self.challenge.integral else np.float64)

    def adjusted(self, adjustment: Sequence[float], setting: ByHand, given: float | Mapping[str, float]) -> tuple[float, ...]:
        """`adjustment` (empty for none) with a setting by hand: one number for all columns that have it, or some by name.

        Raises UsageError where no column has it, for a column that has not, and for a number that it cannot be.
        """
        places = {
            name: (own, column)
            for own in self.placed
            if setting in own.part.by_hand
            for column, name in enumerate(own.part.columns)
        }
        words = setting.replace("_", " ")
        if not places:
            known = dict.fromkeys(name.replace("_", " ") for own in self.placed for name in own.part.by_hand)
            raise UsageError(f"{self.challenge.name} has no {words} to set", expected=" or ".join(known))
        result = list(adjustment or self.neutral)
        for name, number in (given if isinstance(given, Mapping) else dict.fromkeys(places, given)).items():
            if name not in places:
                raise UsageError(f"{self.challenge.name} has no {words} of {name!r}", expected=near_names(name, list(places)))
            if not math.isfinite(number):
                raise UsageError(f"the {words} of {name} is not a finite number", found=str(number))
            own, column = places[name]
            result[own.adjustment] = own.part.adjusted(result[own.adjustment], setting, column, number)
        return tuple(result)

    def labelled(self, labels: ArrayLike) -> NDArray[np.bool_]:
        """Which rows (R,) of labels (R, fields) have a label in any field."""
        ignored = np.array([field.ignore for field in self.challenge.fields])
        return np.asarray((self._rows(labels) != ignored).any(axis=1))

    def unlabelled(self, rows: int) -> NDArray:
        """Labels of rows that nobody labelled: (rows,) of a challenge of one field, else (rows, fields)."""
        ignored = np.array([field.ignore for field in self.challenge.fields], np.int8 if self.challenge.integral else np.float64)
        whole = np.tile(ignored, (rows, 1))
        return whole[:, 0] if len(ignored) == 1 else whole

    def answers(self, values: ArrayLike, adjustment: Sequence[float] | None = None) -> NDArray:
        """The answers as rows are stored and written: like `decode`, but (R,) of a challenge of one field."""
        decoded = self.decode(values, adjustment)
        return decoded[:, 0] if decoded.shape[1] == 1 else decoded

    def certain(self, answers: ArrayLike) -> Floats:
        """Probabilities and values (R, columns) of a model that is sure of answers (R, fields)."""
        rows = self._rows(answers)
        return np.concatenate([own.part.certain(rows[:, own.fields]) for own in self.placed], axis=1)

    def agreement(self, one: ArrayLike, other: ArrayLike) -> float:
        """How far answers (R, fields) say the same, at most 1: that of the part that differs most."""
        sums = self.sums(one, other)
        return min(float(own.part.likeness(sums[own.sums])) for own in self.placed)

    def likeness(self, sums: NDArray) -> Floats:
        """How far labels and answers are alike (...), on average over the parts."""
        mean: Floats = np.mean([own.part.likeness(sums[..., own.sums]) for own in self.placed], axis=0)
        return mean

    def error(self, sums: NDArray) -> Floats:
        """How much is wrong (...), on average over the parts."""
        mean: Floats = np.mean([own.part.error(sums[..., own.sums]) for own in self.placed], axis=0)
        return mean

    def varied(self, sums: NDArray, frames: int) -> NDArray[np.bool_]:
        """Whether labels of some part change (...), with at least so many frames on either side."""
        changing: NDArray[np.bool_] = np.any([own.part.varied(sums[..., own.sums], frames) for own in self.placed], axis=0)
        return changing

    def sums(self, labels: ArrayLike, answers: ArrayLike) -> NDArray:
        """The sums (size,) over the frames of labels and answers (R, fields).

        A label that is its field's `ignore` is left out with the answer to it, and no other field of its row.

        Raises ValueError if the shapes differ or a number is not one of its field's.
        """
        truth, said = self._rows(labels), self._rows(answers)
        found = [own.part.sums(truth[:, own.fields], said[:, own.fields]) for own in self.placed]
        return np.concatenate(found, dtype=self.dtype)

    def measure(self, sums: NDArray, name: str) -> Floats:
        """The measure `name` (...) of sums (..., size). Raises ValueError for a measure the challenge does not have."""
        if name not in self.measures:
            raise ValueError(f"the sums of {self.challenge.name} do not say {name}")
        return self.measures[name].of(sums)

    def score(self, sums: NDArray, score: Score) -> Floats:
        """The weighted sum of measures (...) that an edition ranks by. Raises ValueError as `measure`."""
        total: Floats = np.asarray(sum(weight * self.measure(sums, name) for weight, name in score.parts))
        return total

    def bounds(self, score: Score) -> tuple[float, float]:
        """What a score of positive weights cannot be below or above."""
        low = sum(weight * self.measures[name].low for weight, name in score.parts)
        return low, sum(weight * self.measures[name].high for weight, name in score.parts)

    def label_only_sums(self, labels: ArrayLike) -> NDArray:
        """The sums (size,) of labels answered by themselves: what they say without any answer."""
        truth = self._rows(labels)
        allowed = np.array([field.low for field in self.challenge.fields])
        ignored = np.array([field.ignore for field in self.challenge.fields])
        return self.sums(truth, np.where(truth == ignored, allowed, truth))

    def label_sums(self, sums: NDArray) -> NDArray:
        """What sums (..., size) say of the labels alone (..., k): equal for two answers to the same frames."""
        return np.concatenate([own.part.label_sums(sums[..., own.sums]) for own in self.placed], axis=-1)

    def frames(self, sums: NDArray) -> NDArray:
        """How many frames (...) of sums (..., size) are labelled, as many as in the part with most."""
        most: NDArray = np.max([own.part.frames(sums[..., own.sums]) for own in self.placed], axis=0)
        return most

    def support(self, sums: NDArray) -> NDArray:
        """How many labelled frames (..., columns) there are to judge each column by."""
        return np.concatenate([own.part.support(sums[..., own.sums]) for own in self.placed], axis=-1)

    def column_frames(self, sums: NDArray) -> NDArray:
        """The frames (..., columns) labelled as a class, or active of a unit, or labelled at all with a value."""
        return np.concatenate([own.part.column_frames(sums[..., own.sums]) for own in self.placed], axis=-1)

    def column_scores(self, sums: NDArray) -> Floats:
        """What each column is judged by (..., columns): the F1 of a class or unit, the CCC of a value."""
        return np.concatenate([own.part.column_scores(sums[..., own.sums]) for own in self.placed], axis=-1)

    def frames_by_part(self, sums: NDArray) -> NDArray:
        """How many frames (..., parts) are labelled in each part."""
        return np.stack([own.part.frames(sums[..., own.sums]) for own in self.placed], axis=-1)

    def nearness(self, sums: NDArray) -> Floats:
        """How near the answers are to the labels (...): the mean over the parts that have labels, in 0..1; 0 without any."""
        near = np.stack([own.part.nearness(sums[..., own.sums]) for own in self.placed], axis=-1)
        return ratio(near.sum(axis=-1), (self.frames_by_part(sums) > 0).sum(axis=-1))

    def confusions(self, sums: NDArray) -> Mapping[str, NDArray]:
        """The confusion matrices (..., C, C) of the parts whose answer is one of several classes, by their names."""
        found = {own.part.name: own.part.confusion(sums[..., own.sums]) for own in self.placed}
        return {name: matrix for name, matrix in found.items() if matrix is not None}

    def constant(self, sums: NDArray) -> NDArray:
        """The answer (fields,) that scores best when every frame is given the same, by the labels in sums (size,)."""
        row = np.concatenate([own.part.constant(sums[own.sums]) for own in self.placed])
        return row.astype(np.int8) if self.challenge.integral else row

    def supported(self, sums: NDArray) -> NDArray[np.bool_]:
        """Which columns (columns,) have labelled frames enough to be judged, by sums (size,)."""
        return np.concatenate([supported(own.part.support(sums[own.sums])) for own in self.placed])

    def supported_over_recordings(self, sums: NDArray) -> NDArray[np.bool_]:
        """Which columns (columns,) have labelled frames enough in enough recordings, by the sums (R, size) of each."""
        return np.concatenate([supported_by_contrasts(own.part.contrasts(sums[:, own.sums])) for own in self.placed])

    def prior(self, sums: NDArray) -> Floats:
        """The values (..., columns) of a frame of which nothing is known, from the labels in sums (..., size)."""
        return np.concatenate([own.part.prior(sums[..., own.sums]) for own in self.placed], axis=-1)

    def count(self, labels: ArrayLike) -> NDArray[np.int64]:
        """How many frames of labels (R, fields) belong to each of `strata`."""
        truth = self._rows(labels)
        return np.concatenate([own.part.count(truth[:, own.fields]) for own in self.placed])

    def most_frequent(self, labels: ArrayLike) -> Mapping[str, str]:
        """By the name of each part the stratum that most frames of labels or answers (R, fields) belong to, if any does."""
        truth = self._rows(labels)
        counts = {own.part: own.part.count(truth[:, own.fields]) for own in self.placed}
        return {part.name: part.strata[int(count.argmax())] for part, count in counts.items() if count.any()}

    def _matrix(self, values: ArrayLike) -> NDArray:
        matrix = np.asarray(values)
        if matrix.ndim != 2 or matrix.shape[1] != len(self.columns):
            raise ValueError(f"{self.challenge.name} has {len(self.columns)} columns of scores, the values have {matrix.shape}")
        return matrix

    def _rows(self, values: ArrayLike) -> NDArray:
        rows = np.asarray(values)
        rows = rows[:, None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != len(self.challenge.fields):
            raise ValueError(f"{self.challenge.name} has {len(self.challenge.fields)} fields, the rows have {rows.shape}")
        return rows


@cache
def parts_of(challenge: Challenge) -> Parts:
    """The parts of a challenge: each class and each value is one, units that follow one another are one together."""
    groups = groupby(challenge.fields, key=lambda field: (field.kind, field.kind == "unit" or field.name))
    parts = [_BUILDERS[kind](challenge, tuple(fields)) for (kind, _), fields in groups]
    places = zip(
        _one_after_the_other(len(part.columns) for part in parts),
        _one_after_the_other(len(part.fields) for part in parts),
        _one_after_the_other(len(part.neutral) for part in parts),
        _one_after_the_other(part.size for part in parts),
        strict=True,
    )
    return Parts(challenge, tuple(Placed(part, *place) for part, place in zip(parts, places, strict=True)))


def parts_named(name: str, columns: Sequence[str], path: str | None = None) -> Parts:
    """The parts of the challenge of that name whose scores have these columns: editions differ in classes and units.

    Raises DataError, naming `path`, if there is none.
    """
    known = [parts_of(challenge) for challenge in dict.fromkeys(form.challenge for form in FORMATS) if challenge.name == name]
    for parts in known:
        if parts.columns == tuple(columns):
            return parts
    raise DataError(
        f"the run's classes are not those of the challenge {name}",
        path=path,
        found=", ".join(map(str, columns)),
        expected=", or ".join(", ".join(parts.columns) for parts in known) or "a challenge that is known",
    )


def _one_after_the_other(widths: Iterable[int]) -> list[slice]:
    ends = list(accumulate(widths, initial=0))
    return [slice(start, end) for start, end in pairwise(ends)]


def _of_part(measure: Measure, place: slice) -> Callable[[NDArray], Floats]:
    return lambda sums: measure.of(sums[..., place])


_BUILDERS: Mapping[str, Callable[[Challenge, tuple[Field, ...]], Part]] = {
    "class": lambda challenge, fields: ClassPart(fields[0], challenge.class_names),
    "unit": lambda challenge, fields: UnitPart(fields),
    "real": lambda challenge, fields: RealPart(fields[0]),
}
