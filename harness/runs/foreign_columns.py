"""What the columns of an outside array of scores are, and how they become probabilities and values of the challenge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR, Challenge
from harness.errors import DataError, UsageError, near_names
from harness.findings import printable
from harness.kinds.parts import Parts, Placed, parts_of
from harness.kinds.probabilities import softmax
from harness.words import counted

# Foreign class orders under one name each. Contempt has no class of its own in the competition and is given to Other.
CLASS_ORDERS = {
    "EXPR": EXPR.class_names,
    "AffectNet": ("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger", "Other"),
    "RAF-DB": ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"),
    "FERPlus": ("Neutral", "Happiness", "Surprise", "Sadness", "Anger", "Disgust", "Fear", "Other"),
}

# Rows of float16 probabilities of eight classes sum to 1 within a few thousandths.
SUM_TOLERANCE = 0.02
# Rows that were rounded to two digits may be off by more than that, by half a hundredth for each class. Those of three digits
# are not: no challenge has forty classes. Fewer than two digits are no probabilities any more.
DIGITS = 2
# What binary fractions add to a difference of decimals.
EXACT = 1e-9
# Logits of units are rarely so large; percentages nearly always somewhere are.
SURELY_PERCENT = 20
NO_ANSWER = "leave rows without an answer out: they are interpolated"
_ID = re.compile(r"-?[0-9]{1,4}")
_PERCENTAGES = "these are percentages: divide by 100"
_NOT_FINITE = (
    "NaN and infinity come from the network, as by an overflow in half precision or an empty crop: score these frames again, or "
    "leave their rows out, which are then interpolated"
)


def parse_classes(text: str | None, challenge: Challenge = EXPR) -> tuple[str, ...]:
    """The class names of a foreign array's columns: names with commas between, or the name of a known order.

    Without a text they are the challenge's own. Raises UsageError for a name the challenge does not have, one that stands twice,
    and for classes of a challenge that has none.
    """
    if text is None:
        return challenge.class_names
    if not challenge.class_names:
        raise UsageError(f"{challenge.name} has no classes", found=f"--classes {text}", remedy="leave out --classes")
    known = {name.lower(): order for name, order in CLASS_ORDERS.items() if set(order) <= set(challenge.class_names)}
    if text.lower() in known:
        return known[text.lower()]
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in challenge.class_names:
            raise UsageError(
                f"unknown class {name!r}",
                expected=near_names(name, [*challenge.class_names, *(order for order in CLASS_ORDERS if order.lower() in known)]),
                remedy="use these names",
            )
    if len(set(names)) != len(names):
        raise UsageError("a class is named twice", found=text)
    return names


@dataclass(frozen=True)
class ForeignColumns:
    """The columns of an outside array: those of the challenge's scores in order, but for its classes, which may be others.

    Attributes
    ----------
    challenge : whose scores they are.
    classes : the classes in the file's order; those it lacks get probability 0.
    logits : whether classes and units are a network's outputs instead of probabilities; values are values in any case.
    """

    challenge: Challenge = EXPR
    classes: tuple[str, ...] = EXPR.class_names
    logits: bool = False

    @property
    def parts(self) -> Parts:
        """The parts of the challenge."""
        return parts_of(self.challenge)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns in the file's order."""
        return tuple(name for own in self.parts.placed for name in self._names_of(own))

    @property
    def takes_ids(self) -> bool:
        """Whether class ids can stand in the place of probabilities: where classes are all that the challenge asks for."""
        return len(self.parts.placed) == 1 and bool(self.classes)

    def id_of(self, path: Path, text: str, line: int | None = None, row: int | None = None) -> int:
        """The class id that a cell of a table says, by its number or its name. Raises DataError for what is neither.

        The cell is named by its line in a text, or its row, from 1, in a table that has no lines.
        """
        if text in self.classes:
            return self.classes.index(text)
        if not _ID.fullmatch(text):
            found = repr(text[:40]) if text else "nothing"
            remedy = None if text else NO_ANSWER
            raise self.no_label(path, found if row is None else f"{found} in row {row}", line, remedy)
        return int(text)

    def no_label(self, path: Path, found: str, line: int | None = None, remedy: str | None = None) -> DataError:
        """What to raise where a table has something else than a class, or nothing, in its column of labels."""
        problem = "a label is a class id or a class name"
        return DataError(problem, path=path, line=line, found=found, expected=self._ids_in_words(), remedy=remedy)

    def _ids_in_words(self) -> str:
        return f"0 {self.classes[0]} to {len(self.classes) - 1} {self.classes[-1]}"

    def in_words(self) -> str:
        """The columns for a message: each part with how many it has and what they hold."""
        return "; ".join(f"{len(self._names_of(own))} of {own.part.name}, {self._holds(own)}" for own in self.parts.placed)

    def arranged(self, path: Path, name: str, values: NDArray[Any]) -> tuple[NDArray[np.float64], list[str]]:
        """An array (N, names) as probabilities and values (N, columns) of the challenge, and what is to be said of it.

        Class ids (N,) become the probability 1 of their class. Raises DataError naming array and row for what holds none.
        """
        if values.ndim == 1:
            return self._certain(path, name, values), []
        result = np.zeros((len(values), len(self.parts.columns)))
        notes, start = [], 0
        for own in self.parts.placed:
            names = self._names_of(own)
            block = values[:, start : start + len(names)]
            start += len(names)
            places = [self.parts.columns.index(column, own.columns.start) for column in names]
            if self.logits and own.part.integral:
                endless: NDArray[np.bool_] = ~np.all(np.isfinite(block), axis=1)
                _refuse(path, name, block, endless, "logits", "finite numbers", _NOT_FINITE)
                result[:, places] = softmax(block) if self._is_classes(own) else own.part.activate(block)
            elif self._is_classes(own):
                notes += _check_probabilities(path, name, block)
                result[:, places] = block.astype(np.float64) / block.astype(np.float64).sum(axis=1, keepdims=True)
            else:
                low, high = own.part.fields[0].low, own.part.fields[0].high
                wrong: NDArray[np.bool_] = ~np.all((block >= low) & (block <= high), axis=1)
                remedy = _remedy_of_units(block) if own.part.integral else _NOT_FINITE if not np.isfinite(block).all() else None
                _refuse(path, name, block, wrong, self._holds(own), f"numbers from {low} to {high}", remedy)
                result[:, places] = block
        return result, notes

    def _certain(self, path: Path, name: str, ids: NDArray[Any]) -> NDArray[np.float64]:
        """Class ids (N,) as probabilities (N, columns) of 0 and 1. Raises DataError for what is no id of the file's classes."""
        count = len(self.classes)
        if ids.min() >= 1 and ids.max() == count:
            raise DataError(
                f"the classes of the array {printable(name)!r} seem to be counted from 1",
                path=path,
                found=f"class ids from {ids.min()} to {ids.max()}",
                expected=self._ids_in_words(),
                remedy="subtract 1 from the class ids",
            )
        wrong: NDArray[np.bool_] = (ids < 0) | (ids >= count)
        beyond = "--classes names the classes in the file's order"
        remedy = NO_ANSWER if ids.min() < 0 else beyond
        _refuse(path, name, ids[:, None], wrong, "class id", self._ids_in_words(), remedy)
        result = np.zeros((len(ids), len(self.parts.columns)))
        places = np.array([self.parts.columns.index(own) for own in self.classes])
        result[np.arange(len(ids)), places[ids]] = 1
        return result

    def _names_of(self, own: Placed) -> tuple[str, ...]:
        return self.classes if self._is_classes(own) else own.part.columns

    def _is_classes(self, own: Placed) -> bool:
        return own.part.columns == self.challenge.class_names

    def _holds(self, own: Placed) -> str:
        if own.part.integral:
            return "logits" if self.logits else "probabilities"
        return f"values from {own.part.fields[0].low} to {own.part.fields[0].high}"


def _refuse(
    path: Path, name: str, values: NDArray[Any], wrong: NDArray[np.bool_], what: str, expected: str, remedy: str | None = None
) -> None:
    """Raises DataError for the first row that is marked `wrong`."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"row {row + 1} of the array {printable(name)!r} holds no {what} ({int(wrong.sum())} such rows)",
            path=path,
            found=str([round(float(value), 4) for value in values[row]]),
            expected=expected,
            remedy=remedy,
        )


def _check_probabilities(path: Path, name: str, values: NDArray[Any]) -> list[str]:
    """What is to be said of rows that sum to 1 but for their rounding. Raises DataError for what holds no probabilities."""
    sums = values.astype(np.float64).sum(axis=1)
    allowed = max(SUM_TOLERANCE, values.shape[1] * 0.5 * 10.0**-DIGITS) if _is_rounded(values) else SUM_TOLERANCE
    off = np.abs(sums - 1)
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1) | (off > allowed + EXACT)
    _refuse(path, name, values, wrong, "probabilities", "numbers from 0 on that sum to 1", _remedy_of_classes(values, sums))
    rounded = int((off > SUM_TOLERANCE + EXACT).sum())
    if not rounded:
        return []
    return [
        f"{counted(rounded, 'row')} of {printable(name)!r} normalised: sums differed from 1 by the rounding to {DIGITS} digits"
    ]


def _remedy_of_classes(values: NDArray[Any], sums: NDArray[np.float64]) -> str:
    """What to do about rows (N, C) that are no probabilities of classes."""
    if not np.isfinite(sums).all():
        return _NOT_FINITE
    if (values >= 0).all() and np.abs(sums / 100 - 1).max(initial=0.0) <= SUM_TOLERANCE:
        return _PERCENTAGES
    return "a network's outputs are taken with --logits"


def _remedy_of_units(values: NDArray[Any]) -> str:
    """What to do about rows (N, units) that are no probabilities of units."""
    if not np.isfinite(values).all():
        return _NOT_FINITE
    if values.min() >= 0 and SURELY_PERCENT < values.max() <= 100:
        return _PERCENTAGES
    return "units that are a network's outputs are taken with --logits"


def _is_rounded(values: NDArray[Any]) -> bool:
    """Whether all values were rounded to DIGITS digits."""
    numbers = values.astype(np.float64)
    step = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0
    return bool(np.abs(numbers - np.round(numbers, DIGITS)).max(initial=0.0) <= max(EXACT, step))


def first_names(names: Sequence[str]) -> str:
    """Column names for a message."""
    return ",".join(names[:4]) + (",..." if len(names) > 4 else "")
