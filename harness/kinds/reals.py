"""A value: one column of scores, tanh, scale and shift, sums of powers, the concordance correlation coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import Field
from harness.errors import UsageError
from harness.kinds.concordance import (
    SIZE,
    concordance,
    mean_absolute_error,
    means,
    moment_sums,
    pearson,
    root_mean_square_error,
    sign_agreement,
    standard_deviations,
)
from harness.kinds.part import ByHand, Floats, Measure, Setting
from harness.kinds.probabilities import finite
from harness.kinds.weights import fit_value_weights

# Folds and batches are balanced by this many equal parts of a value's range.
RANGES = 5


@dataclass(frozen=True)
class RealPart:
    """A field that holds a decimal number; see harness.kinds.part.Part.

    Its sums are those of harness.kinds.concordance. Its adjustment is a scale and a shift.
    """

    field: Field

    @property
    def name(self) -> str:
        """The field's name."""
        return self.field.name

    @property
    def fields(self) -> tuple[Field, ...]:
        """The one field."""
        return (self.field,)

    @property
    def columns(self) -> tuple[str, ...]:
        """The field's name."""
        return (self.field.name,)

    @property
    def size(self) -> int:
        """The sums of concordance."""
        return SIZE

    @property
    def integral(self) -> bool:
        """Values are no counts."""
        return False

    @property
    def neutral(self) -> tuple[float, ...]:
        """Scale 1, shift 0."""
        return (1.0, 0.0)

    @property
    def called(self) -> str:
        """ "values"."""
        return "values"

    @property
    def shares(self) -> bool:
        """A value is no share."""
        return False

    @property
    def settings(self) -> tuple[Setting, ...]:
        """None: a value has no temperature and is never sure."""
        return ()

    @property
    def adjusted_by(self) -> str:
        """A scale and a shift."""
        return "scale and shift"

    @property
    def by_hand(self) -> tuple[ByHand, ...]:
        """Scale and shift."""
        return ("scale", "shift")

    @property
    def noun(self) -> str:
        """A value."""
        return "value"

    @property
    def strata(self) -> tuple[str, ...]:
        """Equal parts of the range, from low to high."""
        edges = self._edges
        return tuple(f"{self.name} {low:.2g} to {high:.2g}" for low, high in pairwise(edges))

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """ccc, pearson, rmse, mean_absolute_error and sign_agreement, each with the field's name behind it."""
        name = self.name
        return (
            Measure(f"ccc_{name}", -1.0, 1.0, concordance, name),
            Measure(f"pearson_{name}", -1.0, 1.0, pearson, name),
            Measure(f"rmse_{name}", 0.0, self._width, root_mean_square_error, name),
            Measure(f"mean_absolute_error_{name}", 0.0, self._width, mean_absolute_error, name),
            Measure(f"sign_agreement_{name}", 0.0, 1.0, sign_agreement, name),
        )

    @property
    def pooled(self) -> tuple[Measure, ...]:
        """ccc and rmse."""
        return self.measures[0], self.measures[2]

    def judging(self, judged: tuple[bool, ...]) -> RealPart:
        """The same: there is one value."""
        return self

    def activate(self, scores: ArrayLike, temperature: float = 1.0) -> Floats:
        """tanh of scores (S, 1), stretched to the field's range; a value has no temperature."""
        middle, half = 0.5 * (self.field.high + self.field.low), 0.5 * (self.field.high - self.field.low)
        return middle + half * np.tanh(finite(scores))

    def soften(self, values: ArrayLike, temperature: float = 1.0) -> Floats:
        """Values (S, 1) of another model, those beyond the range moved to its ends."""
        return np.clip(finite(values, "values"), self.field.low, self.field.high)

    def sureness(self, values: ArrayLike) -> Floats:
        """0 (R,): an override of smoothing was only ever tried with classes."""
        return np.zeros(len(np.asarray(values)))

    def decode(self, values: ArrayLike, adjustment: ArrayLike | None = None) -> Floats:
        """scale times value plus shift (R, 1), moved to the ends of the range where it lies beyond them."""
        numbers = finite(values, "values")
        if adjustment is not None:
            scale, shift = np.asarray(adjustment, dtype=np.float64)
            numbers = scale * numbers + shift
        return np.clip(numbers, self.field.low, self.field.high)

    def adjusted(self, adjustment: Sequence[float], setting: ByHand, column: int, number: float) -> tuple[float, ...]:
        """With another scale, which is above 0, or another shift."""
        scale, shift = adjustment
        if setting == "shift":
            return scale, float(number)
        if number <= 0:
            raise UsageError("a scale is above 0", found=f"{self.name} {number:g}")
        return float(number), shift

    def sums(self, labels: ArrayLike, answers: ArrayLike) -> Floats:
        """The sums of concordance (8,)."""
        truth, said = (np.asarray(array, dtype=np.float64) for array in (labels, answers))
        if truth.shape != said.shape:
            raise ValueError(f"labels {truth.shape} and answers {said.shape} do not belong together")
        labelled = truth != self.field.ignore
        truth, said = truth[labelled], said[labelled]
        for numbers in (truth, said):
            if not ((numbers >= self.field.low) & (numbers <= self.field.high)).all():
                raise ValueError(f"a {self.name} is outside {self.field.low}..{self.field.high}")
        return moment_sums(truth, said)

    def label_sums(self, sums: NDArray) -> NDArray:
        """Labelled frames, and the sums of labels and of their squares (..., 3)."""
        return sums[..., [0, 1, 3]]

    def frames(self, sums: NDArray) -> NDArray:
        """The first of the sums (...)."""
        return sums[..., 0]

    def support(self, sums: NDArray) -> NDArray:
        """Labelled frames (..., 1)."""
        return sums[..., :1]

    def contrasts(self, sums: NDArray) -> NDArray:
        """The same, of one kind (..., 1, 1)."""
        return sums[..., None, :1]

    def in_words(self, adjustment: Sequence[float]) -> str:
        """Scale and shift."""
        scale, shift = adjustment
        return f"x {scale:.2f} {shift:+.2f}"

    def certain(self, answers: NDArray) -> Floats:
        """The same (R, 1)."""
        return np.asarray(answers, dtype=np.float64)

    def likeness(self, sums: NDArray) -> Floats:
        """CCC (...)."""
        return concordance(sums)

    def error(self, sums: NDArray) -> Floats:
        """Mean absolute difference (...)."""
        return mean_absolute_error(sums)

    def varied(self, sums: NDArray, frames: int) -> NDArray[np.bool_]:
        """Whether there are so many frames (...): values never stand still."""
        return np.asarray(sums[..., 0] >= frames)

    def fit_weights(self, values: Sequence[NDArray], labels: ArrayLike, judged: ArrayLike) -> Floats:
        """By CCC."""
        truth = np.asarray(labels, dtype=np.float64).reshape(-1)
        known = truth != self.field.ignore
        return fit_value_weights([np.asarray(one).reshape(-1)[known] for one in values], truth[known])

    def column_frames(self, sums: NDArray) -> NDArray:
        """Labelled frames (..., 1)."""
        return sums[..., :1]

    def column_scores(self, sums: NDArray) -> Floats:
        """CCC (..., 1)."""
        return concordance(sums)[..., None]

    def nearness(self, sums: NDArray) -> Floats:
        """1 less the mean absolute error in widths of the range (...); 0 without any label."""
        return np.where(sums[..., 0] > 0, 1.0 - mean_absolute_error(sums) / self._width, 0.0)

    def confusion(self, sums: NDArray) -> None:
        """None: there are no classes."""
        return

    def constant(self, sums: NDArray) -> Floats:
        """The mean of the labels (1,): no constant has another CCC than 0, and none has a smaller squared error."""
        return self.prior(sums)

    def prior(self, sums: NDArray) -> Floats:
        """The mean of the labels (..., 1); the middle of the range without any."""
        middle = 0.5 * (self.field.high + self.field.low)
        return np.where(sums[..., :1] > 0, means(sums)[0][..., None], middle)

    def count(self, labels: ArrayLike) -> NDArray[np.int64]:
        """Labelled frames in each part of the range (RANGES,); a border belongs to the part above it, the highest to the last."""
        truth = np.asarray(labels, dtype=np.float64).reshape(-1)
        counts, _ = np.histogram(truth[truth != self.field.ignore], self._edges)
        return counts.astype(np.int64)

    def fit_temperature(self, values: ArrayLike, labels: ArrayLike) -> float:
        """1: a value has none."""
        return 1.0

    def fit(self, values: ArrayLike, labels: ArrayLike, judged: ArrayLike) -> tuple[float, ...]:
        """The scale and shift with the highest CCC: those that give the values the mean and spread of the labels.

        With equal means CCC is 2 a cov / (v + a² w) in the scale a, for variances v of the labels and w of the values: highest
        at a = sqrt(v / w), where it is Pearson's correlation. Neutral where the two do not rise together.
        """
        sums = self.sums(labels, self.soften(values))
        (mean, own_mean), (spread, own_spread) = means(sums), standard_deviations(sums)
        if not np.asarray(judged, dtype=bool).all() or not pearson(sums) > 0:
            return self.neutral
        scale = round(float(spread / own_spread), 4)
        return scale, round(float(mean - scale * own_mean), 4)

    @property
    def _width(self) -> float:
        return float(self.field.high - self.field.low)

    @property
    def _edges(self) -> Floats:
        # Rounded, so that 0.2 lies on its border and not one digit of a float below it.
        return np.linspace(self.field.low, self.field.high, RANGES + 1).round(12)
