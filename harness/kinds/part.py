"""What a part of an answer knows of its kind, so that nothing else has to ask which kind or which challenge it is.

A part is one class, one value, or all action units of a row. Its scores are columns of the stored score matrix, its labels and
answers are fields of a row, and all that is ever measured of it is a function of **sums**: one vector of numbers for any set of
frames, which is the sum of the vectors of its parts. Whoever leaves out, swaps, folds or pools recordings subtracts and adds such
vectors and never looks inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import Field

Floats = NDArray[np.float64]
Setting = Literal["temperature", "override", "decoder"]
ByHand = Literal["class_bias", "threshold", "scale", "shift"]


@dataclass(frozen=True)
class Measure:
    """A number that sums say.

    Attributes
    ----------
    name : as scores and reports name it, unlike any other of a challenge.
    low, high : what it cannot be below or above.
    of : from sums (..., size) of the part to the measure (...); frames that are not there count nothing, so no frames give 0.
    column : the column that it alone speaks of; "" of a measure of all of them together.
    """

    name: str
    low: float
    high: float
    of: Callable[[NDArray], Floats]
    column: str = ""

    @property
    def what(self) -> str:
        """What it measures, without the column's name."""
        return self.name.removesuffix(f"_{self.column}")


class Part(Protocol):
    """Fields of one kind, which are scored together.

    S frames were scored, a track has R rows. Labels that are a field's `ignore` are left out one by one, wherever they stand.
    """

    @property
    def name(self) -> str:
        """What it is called in recipes, settings and reports: its field's name, or "units"."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """The numbers of a row that it answers."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns in the score matrix."""

    @property
    def size(self) -> int:
        """How many numbers its sums are."""

    @property
    def integral(self) -> bool:
        """Whether sums and answers are whole numbers."""

    @property
    def neutral(self) -> tuple[float, ...]:
        """The adjustment that leaves decisions as they are."""

    @property
    def called(self) -> str:
        """What its columns are, in the plural."""

    @property
    def shares(self) -> bool:
        """Whether the values of a row are shares of one whole, which sum to 1."""

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What of post-processing can be chosen for it by labels, beside its smoothing and its adjustment."""

    @property
    def adjusted_by(self) -> str:
        """What its adjustment is, in words."""

    @property
    def by_hand(self) -> tuple[ByHand, ...]:
        """What of its adjustment can be set for a column by hand."""

    @property
    def strata(self) -> tuple[str, ...]:
        """What folds and batches are balanced by, in words."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All that its sums say; of each column first the one it is judged by."""

    @property
    def pooled(self) -> tuple[Measure, ...]:
        """What is told of it in one line: what all columns score together, or a value's concordance and error."""

    @property
    def noun(self) -> str:
        """What one of its columns is, in a word."""

    def judging(self, judged: tuple[bool, ...]) -> Part:
        """The same part, whose pooled measures are means over the columns marked in `judged` alone; measures of one stay."""

    def activate(self, scores: ArrayLike, temperature: float = 1.0) -> Floats:
        """From a network's outputs (S, columns) to probabilities or values. Raises DataError if one is not finite."""

    def soften(self, values: ArrayLike, temperature: float = 1.0) -> Floats:
        """The same from probabilities or values (S, columns) of another model, at another temperature."""

    def sureness(self, values: ArrayLike) -> Floats:
        """How sure values (R, columns) are of their answers (R,), in 0..1; 0 of a kind that does not say."""

    def decode(self, values: ArrayLike, adjustment: ArrayLike | None = None) -> NDArray:
        """The answers (R, fields) to values (R, columns), int8 where `integral`, else float64. Raises DataError as `activate`."""

    def adjusted(self, adjustment: Sequence[float], setting: ByHand, column: int, number: float) -> tuple[float, ...]:
        """An adjustment in which a finite number is set by hand for one column. Raises UsageError if it cannot be that."""

    def sums(self, labels: ArrayLike, answers: ArrayLike) -> NDArray:
        """The sums (size,) of labels and answers (R, fields), int64 where `integral`, else float64.

        Raises ValueError if the shapes differ or a number is not one of the part's.
        """

    def label_sums(self, sums: NDArray) -> NDArray:
        """What sums (..., size) say of the labels alone (..., k): equal for two answers to the same frames."""

    def frames(self, sums: NDArray) -> NDArray:
        """How many frames (...) of sums (..., size) are labelled; of units as many as of the one with most."""

    def support(self, sums: NDArray) -> NDArray:
        """How many labelled frames (..., columns) there are to judge each column by: the fewest of its `contrasts`."""

    def contrasts(self, sums: NDArray) -> NDArray:
        """Labelled frames (..., k, columns) of each kind that has to be there to judge a column: a unit's active and inactive."""

    def in_words(self, adjustment: Sequence[float]) -> str:
        """An adjustment as it is read: biases, thresholds, or scale and shift."""

    def certain(self, answers: NDArray) -> Floats:
        """The values (R, columns) of a model that is sure of answers (R, fields)."""

    def likeness(self, sums: NDArray) -> Floats:
        """How far labels and answers are alike (...), at most 1: the share of equal ones, of values their concordance."""

    def error(self, sums: NDArray) -> Floats:
        """How much is wrong (...): the share of unequal ones, of values their mean absolute difference."""

    def varied(self, sums: NDArray, frames: int) -> NDArray[np.bool_]:
        """Whether labels change (...), with at least so many frames on either side."""

    def fit_weights(self, values: Sequence[NDArray], labels: ArrayLike, judged: ArrayLike) -> Floats:
        """Weights (K,), summing to 1, of models with values (N, columns) whose mean does best on labels (N, fields)."""

    def column_frames(self, sums: NDArray) -> NDArray:
        """The frames (..., columns) labelled as a class, or active of a unit, or labelled at all with a value."""

    def column_scores(self, sums: NDArray) -> Floats:
        """What each column is judged by (..., columns): the F1 of a class or unit, the CCC of a value."""

    def nearness(self, sums: NDArray) -> Floats:
        """How near the answers are to the labels (...), 1 where all are the same, 0 where none could be further off."""

    def confusion(self, sums: NDArray) -> NDArray | None:
        """The confusion matrix (..., C, C), rows are labels; None where an answer is not one of several classes."""

    def constant(self, sums: NDArray) -> Floats:
        """The answer (fields,) that scores best when every frame is given the same, by the labels in sums (size,)."""

    def prior(self, sums: NDArray) -> Floats:
        """The values (..., columns) of a frame of which nothing is known, from the labels in sums (..., size)."""

    def count(self, labels: ArrayLike) -> NDArray[np.int64]:
        """How many frames of labels (R, fields) belong to each of `strata`."""

    def fit_temperature(self, values: ArrayLike, labels: ArrayLike) -> float:
        """The temperature at which values (N, columns) come true with labels (N, fields); 1 where there is none to fit."""

    def fit(self, values: ArrayLike, labels: ArrayLike, judged: ArrayLike) -> tuple[float, ...]:
        """The adjustment with the best measure on values (N, columns) and labels (N, fields).

        Columns that are not marked in `judged` (columns,) keep what is neutral.
        """
