"""Action units: a column of scores for each, sigmoid, a threshold, a confusion matrix of two by two, F1 of the active frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import Field
from harness.errors import UsageError
from harness.kinds.f1 import accuracy, class_f1, class_scores, ratio
from harness.kinds.part import ByHand, Floats, Measure, Setting
from harness.kinds.probabilities import finite, log_odds, sigmoid
from harness.kinds.temperature import fit_temperature
from harness.kinds.threshold import fit_threshold
from harness.kinds.weights import fit_unit_weights


@dataclass(frozen=True)
class UnitPart:
    """Fields that say for K action units whether each is active; see harness.kinds.part.Part.

    Its sums are K confusion matrices (2, 2), rows are labels, one behind the other. Its adjustment is a bias (K,) on the odds: a
    unit with bias b is active where its probability is above 1 / (1 + e^b). `judged` marks the units of which
    unit_f1 and unit_accuracy speak, None all of them.
    """

    fields: tuple[Field, ...]
    judged: tuple[bool, ...] | None = None

    @property
    def name(self) -> str:
        """ "units"."""
        return "units"

    @property
    def columns(self) -> tuple[str, ...]:
        """The units."""
        return tuple(field.name for field in self.fields)

    @property
    def size(self) -> int:
        """Cells of all confusion matrices."""
        return 4 * len(self.fields)

    @property
    def integral(self) -> bool:
        """Frames are counted."""
        return True

    @property
    def neutral(self) -> tuple[float, ...]:
        """Thresholds of one half."""
        return (0.0,) * len(self.fields)

    @property
    def called(self) -> str:
        """ "units"."""
        return "units"

    @property
    def shares(self) -> bool:
        """Several units may be active at once."""
        return False

    @property
    def settings(self) -> tuple[Setting, ...]:
        """A temperature."""
        return ("temperature",)

    @property
    def adjusted_by(self) -> str:
        """A threshold for each unit."""
        return "thresholds"

    @property
    def by_hand(self) -> tuple[ByHand, ...]:
        """A threshold."""
        return ("threshold",)

    @property
    def noun(self) -> str:
        """A unit."""
        return "unit"

    @property
    def strata(self) -> tuple[str, ...]:
        """The units, as far as they are active."""
        return self.columns

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """unit_f1, unit_accuracy, and f1, accuracy, precision, recall and prevalence of each unit."""
        pooled = [Measure("unit_f1", 0.0, 1.0, self._unit_f1), Measure("unit_accuracy", 0.0, 1.0, self._unit_accuracy)]
        single = [
            Measure(f"{what}_{name}", 0.0, 1.0, partial(self._of_unit, what=what, index=index), name)
            for what in ("f1", "accuracy", "precision", "recall", "prevalence")
            for index, name in enumerate(self.columns)
        ]
        return (*pooled, *single)

    @property
    def pooled(self) -> tuple[Measure, ...]:
        """unit_f1 and unit_accuracy."""
        return tuple(measure for measure in self.measures if not measure.column)

    def judging(self, judged: tuple[bool, ...]) -> UnitPart:
        """The same with unit_f1 and unit_accuracy over the marked units."""
        return replace(self, judged=judged)

    def activate(self, scores: ArrayLike, temperature: float = 1.0) -> Floats:
        """Sigmoid of scores (S, K) over the temperature."""
        return sigmoid(finite(scores) / temperature)

    def soften(self, values: ArrayLike, temperature: float = 1.0) -> Floats:
        """Probabilities (S, K) at another temperature; at 1 they are as they came."""
        return np.asarray(values, dtype=np.float64) if temperature == 1.0 else self.activate(log_odds(values), temperature)

    def sureness(self, values: ArrayLike) -> Floats:
        """0 (R,): an override of smoothing was only ever tried with classes."""
        return np.zeros(len(np.asarray(values)))

    def decode(self, values: ArrayLike, adjustment: ArrayLike | None = None) -> NDArray[np.int8]:
        """1 where p e^b > 1 - p (R, K); at equality, as at p = 0.5 without a bias, a unit is not active."""
        probabilities = finite(values, "probabilities")
        odds = 1.0 if adjustment is None else np.exp(np.asarray(adjustment, dtype=np.float64))
        return (probabilities * odds > 1.0 - probabilities).astype(np.int8)

    def adjusted(self, adjustment: Sequence[float], setting: ByHand, column: int, number: float) -> tuple[float, ...]:
        """With another threshold of one unit, which is active where its probability is above it."""
        if not 0 < number < 1:
            raise UsageError("a threshold lies between 0 and 1", found=f"{self.columns[column]} {number:g}")
        return (*adjustment[:column], math.log((1.0 - number) / number), *adjustment[column + 1 :])

    def sums(self, labels: ArrayLike, answers: ArrayLike) -> NDArray[np.int64]:
        """The confusion matrices (4 K,)."""
        truth, said = np.asarray(labels), np.asarray(answers)
        if truth.shape != said.shape or truth.ndim != 2 or truth.shape[1] != len(self.fields):
            raise ValueError(f"labels {truth.shape} and answers {said.shape} are not both of {len(self.fields)} units")
        known, active, answered = truth >= 0, truth == 1, said == 1
        if not ((active | (truth == 0) | ~known) & (answered | (said == 0) | ~known)).all():
            raise ValueError("a unit's label or answer is neither 0 nor 1")
        # Counting true values along an array is a hundred times as fast as sorting rows into cells.
        hits, said_active, is_active, labelled = (
            np.array([np.count_nonzero(marks) for marks in np.ascontiguousarray(of_frames.T)])
            for of_frames in (active & answered, known & answered, active, known)
        )
        cells = [labelled - is_active - said_active + hits, said_active - hits, is_active - hits, hits]
        return np.stack(cells, axis=1).reshape(-1)

    def label_sums(self, sums: NDArray) -> NDArray:
        """Frames labelled inactive and active of each unit (..., 2 K)."""
        frames = self.matrices(sums).sum(axis=-1)
        flat: NDArray = frames.reshape(*frames.shape[:-2], 2 * len(self.fields))
        return flat

    def frames(self, sums: NDArray) -> NDArray:
        """Those of the unit with most (...)."""
        most: NDArray = self.matrices(sums).sum(axis=(-2, -1)).max(axis=-1)
        return most

    def support(self, sums: NDArray) -> NDArray:
        """The fewer of the active and the inactive frames of each unit (..., K)."""
        fewer: NDArray = self.contrasts(sums).min(axis=-2)
        return fewer

    def contrasts(self, sums: NDArray) -> NDArray:
        """The inactive and the active frames (..., 2, K)."""
        return np.swapaxes(self.matrices(sums).sum(axis=-1), -1, -2)

    def in_words(self, adjustment: Sequence[float]) -> str:
        """The probability above which each unit is active."""
        return " ".join(f"{threshold:.2f}" for threshold in sigmoid(-np.asarray(adjustment)))

    def certain(self, answers: NDArray) -> Floats:
        """Probabilities of 0 and 1 (R, K)."""
        return np.asarray(answers, dtype=np.float64)

    def likeness(self, sums: NDArray) -> Floats:
        """The share of equal answers to all units (...)."""
        return accuracy(self.matrices(sums).sum(axis=-3))

    def error(self, sums: NDArray) -> Floats:
        """The share of wrong answers (...)."""
        return np.asarray(1.0 - self.likeness(sums))

    def varied(self, sums: NDArray, frames: int) -> NDArray[np.bool_]:
        """Whether some unit is active and inactive in so many frames (...)."""
        return np.asarray((self.support(sums) >= frames).any(axis=-1))

    def fit_weights(self, values: Sequence[NDArray], labels: ArrayLike, judged: ArrayLike) -> Floats:
        """By the mean F1 of the units and by likelihood."""
        return fit_unit_weights(values, np.asarray(labels), np.asarray(judged, dtype=bool))

    def column_frames(self, sums: NDArray) -> NDArray:
        """Active frames of each unit (..., K)."""
        active: NDArray = self.matrices(sums)[..., 1, :].sum(axis=-1)
        return active

    def column_scores(self, sums: NDArray) -> Floats:
        """F1 of each unit (..., K)."""
        f1: Floats = class_f1(self.matrices(sums))[..., 1]
        return f1

    def nearness(self, sums: NDArray) -> Floats:
        """The share of right decisions (...) over all units."""
        return accuracy(self.matrices(sums).sum(axis=-3))

    def confusion(self, sums: NDArray) -> None:
        """None: a frame has many units."""
        return

    def constant(self, sums: NDArray) -> Floats:
        """All active (K,): of a share p of active frames that has the F1 2 p / (1 + p), never active has 0."""
        return np.ones(len(self.fields))

    def prior(self, sums: NDArray) -> Floats:
        """The share of active frames of each unit (..., K); one half without any label."""
        frames = self.matrices(sums).sum(axis=-1).astype(np.float64)
        total = frames.sum(axis=-1)
        shares: Floats = np.divide(frames[..., 1], total, out=np.full(total.shape, 0.5), where=total > 0)
        return shares

    def count(self, labels: ArrayLike) -> NDArray[np.int64]:
        """Active frames of each unit (K,)."""
        counts: NDArray[np.int64] = (np.asarray(labels) == 1).sum(axis=0, dtype=np.int64)
        return counts

    def fit_temperature(self, values: ArrayLike, labels: ArrayLike) -> float:
        """The one temperature with the smallest negative log-likelihood of all labels of all units."""
        truth = np.asarray(labels)
        active = np.asarray(values, dtype=np.float64)[truth >= 0]
        return fit_temperature(np.stack([1.0 - active, active], axis=1), truth[truth >= 0])

    def fit(self, values: ArrayLike, labels: ArrayLike, judged: ArrayLike) -> tuple[float, ...]:
        """For each judged unit the threshold with the highest F1, as a bias."""
        truth, probabilities = np.asarray(labels), np.asarray(values, dtype=np.float64)
        bias = [0.0] * len(self.fields)
        for unit in np.flatnonzero(np.asarray(judged, dtype=bool)):
            known = truth[:, unit] >= 0
            bias[unit] = fit_threshold(probabilities[known, unit], truth[known, unit])
        return tuple(bias)

    def matrices(self, sums: NDArray) -> NDArray:
        """Sums (..., 4 K) as confusion matrices (..., K, 2, 2)."""
        return sums.reshape(*sums.shape[:-1], len(self.fields), 2, 2)

    def _unit_f1(self, sums: NDArray) -> Floats:
        mean: Floats = class_f1(self._judged(sums))[..., 1].mean(axis=-1)
        return mean

    def _unit_accuracy(self, sums: NDArray) -> Floats:
        # The share of right decisions over all units, which is their mean where all units of a row are labelled or none.
        return accuracy(self._judged(sums).sum(axis=-3))

    def _judged(self, sums: NDArray) -> NDArray:
        matrices = self.matrices(sums)
        return matrices if self.judged is None else matrices[..., np.array(self.judged), :, :]

    def _of_unit(self, sums: NDArray, what: str, index: int) -> Floats:
        matrix = self.matrices(sums)[..., index, :, :]
        if what == "accuracy":
            return accuracy(matrix)
        if what == "prevalence":
            return ratio(matrix[..., 1, :].sum(axis=-1), matrix.sum(axis=(-2, -1)))
        scores: Floats = getattr(class_scores(matrix), what)[..., 1]
        return scores
