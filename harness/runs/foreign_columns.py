"""What the columns of an outside array of scores are, and how they become probabilities and values of the challenge."""

from __future__ import annotations

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
        raise UsageError("a class stands twice", found=text)
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

    def in_words(self) -> str:
        """The columns for a message: each part with how many it has and what they hold."""
        return "; ".join(f"{len(self._names_of(own))} of {own.part.name}, {self._holds(own)}" for own in self.parts.placed)

    def arranged(self, path: Path, name: str, values: NDArray[Any]) -> tuple[NDArray[np.float64], list[str]]:
        """An array (N, names) as probabilities and values (N, columns) of the challenge, and what is to be said of it.

        Raises DataError naming array and row for what holds none.
        """
        result = np.zeros((len(values), len(self.parts.columns)))
        notes, start = [], 0
        for own in self.parts.placed:
            names = self._names_of(own)
            block = values[:, start : start + len(names)]
            start += len(names)
            places = [self.parts.columns.index(column, own.columns.start) for column in names]
            if self.logits and own.part.integral:
                endless: NDArray[np.bool_] = ~np.all(np.isfinite(block), axis=1)
                _refuse(path, name, block, endless, "logits", "finite numbers")
                result[:, places] = softmax(block) if self._is_classes(own) else own.part.activate(block)
            elif self._is_classes(own):
                notes += _check_probabilities(path, name, block)
                result[:, places] = block.astype(np.float64) / block.astype(np.float64).sum(axis=1, keepdims=True)
            else:
                low, high = own.part.fields[0].low, own.part.fields[0].high
                remedy = "units that are a network's outputs are taken with --logits" if own.part.integral else None
                wrong: NDArray[np.bool_] = ~np.all((block >= low) & (block <= high), axis=1)
                _refuse(path, name, block, wrong, self._holds(own), f"numbers from {low} to {high}", remedy)
                result[:, places] = block
        return result, notes

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
    remedy = "a network's outputs are taken with --logits"
    _refuse(path, name, values, wrong, "probabilities", "numbers from 0 on that sum to 1", remedy)
    rounded = int((off > SUM_TOLERANCE + EXACT).sum())
    if not rounded:
        return []
    return [f"{rounded:,} rows of {printable(name)!r} sum to 1 within their rounding to {DIGITS} digits alone, and are made to"]


def _is_rounded(values: NDArray[Any]) -> bool:
    """Whether all values were rounded to DIGITS digits."""
    numbers = values.astype(np.float64)
    step = float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0
    return bool(np.abs(numbers - np.round(numbers, DIGITS)).max(initial=0.0) <= max(EXACT, step))


def first_names(names: Sequence[str]) -> str:
    """Column names for a message."""
    return ",".join(names[:4]) + (",..." if len(names) > 4 else "")
