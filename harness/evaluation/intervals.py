"""Intervals over recordings: how far a score could have come out otherwise with other recordings of the same kind.

Frames of one recording resemble each other, so recordings are what was drawn at random. The rare classes of the
official validation set sit in few recordings (one holds 83 % of the Disgust frames). A macro-F1 of so few recordings is
biased downwards, and bootstrap samples that miss the one recording of a class double that bias: their percentiles hold
the true value in 62 to 86 of 100 cases, not 95. The interval here holds it in 91 to 96 (docs/statistics.md): the
jackknife estimate of the bias is taken off, the jackknife standard error is multiplied by Student's t with as many
degrees of freedom as recordings really contribute, and the sum is taken on the logit scale, where a score cannot leave
its bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import MACRO_F1, MEAN_CCC, MULTI_TASK, UNIT_F1, Score
from harness.errors import MissingExtraError
from harness.kinds.bounds import interval_between

Floats = NDArray[np.float64]
# From sums, such as counts (..., C, C), to one or more scores of each leading index.
Statistic = Callable[[NDArray], Floats]

NOMINAL = 0.95

# Degrees of freedom are not taken to be fewer than this share of the recordings, up to a few: estimates near 1 come of one
# recording that dominates by chance, and make one interval in ten half as wide again (docs/statistics.md).
LEAST_FREEDOM_SHARE = 1 / 14
HIGHEST_LEAST_FREEDOM = 4.0

# Share of simulated data sets whose 95 % interval of macro-F1 held the true value, by number of recordings: the lowest over
# models of five kinds on classes as concentrated as the official ones. tests/test_evaluation_intervals.py repeats the simulation.
MEASURED_COVERAGE = {20: 0.88, 70: 0.89, 312: 0.93}
# The same for all scores: the lowest over models of five kinds; tests/test_selection_coverage.py repeats the others.
COVERAGE_OF = {
    MACRO_F1: MEASURED_COVERAGE,
    MEAN_CCC: {20: 0.96},
    UNIT_F1: {20: 0.92, 50: 0.94, 70: 0.95},
    MULTI_TASK: {20: 0.86, 50: 0.91, 70: 0.92, 312: 0.95},
}
# The same for the F1 of a single class, the lowest over classes: no interval can know what one that a single recording carries is
# like in others.
CLASS_COVERAGE = {20: 0.60, 312: 0.88}


@dataclass(frozen=True, eq=False)
class Jackknife:
    """A statistic of all recordings and of all but each one.

    Attributes
    ----------
    estimate : (...) the statistic of the sum over all recordings.
    without : (R, ...) the statistic of the sum over all recordings but one.
    """

    estimate: Floats
    without: Floats

    @property
    def influence(self) -> Floats:
        """(R, ...) what each recording adds: the estimate minus the statistic without it."""
        return self.estimate - self.without

    @property
    def corrected(self) -> Floats:
        """The estimate without its bias by Quenouille: R times the estimate minus R-1 times the mean of those without one."""
        recordings = len(self.without)
        value: Floats = recordings * self.estimate - (recordings - 1) * self.without.mean(axis=0)
        return value

    @property
    def standard_error(self) -> Floats:
        """Tukey's jackknife standard error over recordings (Efron and Tibshirani 1993, An Introduction to the Bootstrap, 11)."""
        recordings = len(self.without)
        error: Floats = np.sqrt((recordings - 1) / recordings * (self._deviations**2).sum(axis=0))
        return error

    @property
    def degrees_of_freedom(self) -> Floats:
        """How many recordings the standard error rests on: (sum d²)² / sum d⁴ of the deviations d.

        Satterthwaite's formula for a sum of squares of one degree of freedom each: a good part of R when recordings contribute
        evenly, near 1 when one recording dominates; but at least R / 14 or 4, whichever is less, and at least 1.
        """
        squares = self._deviations**2
        fourth = (squares**2).sum(axis=0)
        effective = np.divide(squares.sum(axis=0) ** 2, fourth, out=np.ones_like(fourth), where=fourth > 0)
        least = max(1.0, min(HIGHEST_LEAST_FREEDOM, LEAST_FREEDOM_SHARE * len(self.without)))
        bounded: Floats = np.maximum(effective, least)
        return bounded

    @property
    def _deviations(self) -> Floats:
        deviations: Floats = self.without - self.without.mean(axis=0)
        return deviations


@dataclass(frozen=True, eq=False)
class Interval:
    """Bounds (...) of an interval, of 95 % where nothing else is said.

    NaN where recordings do not differ, so that nothing measures the spread, or are one.
    """

    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Spread:
    """By how much a statistic (...) moves with something that was drawn at random beside the recordings: seeds of a training.

    Attributes
    ----------
    variance : (...) of the statistic, over such draws.
    degrees_of_freedom : how many draws it rests on, less one for each mean.
    """

    variance: Floats
    degrees_of_freedom: float

    def added_to(self, error: Floats, freedom: Floats) -> tuple[Floats, Floats]:
        """Standard error (...) and degrees of freedom (...) of both, from those over recordings.

        The variances are added: the jackknife has the draws as they are, and what both share is counted twice, so that this errs
        to the wide side. Degrees of freedom by Satterthwaite's formula for a sum.
        """
        squares = (error**2, np.asarray(self.variance))
        total = squares[0] + squares[1]
        parts = squares[0] ** 2 / freedom + squares[1] ** 2 / self.degrees_of_freedom
        return np.sqrt(total), np.divide(total**2, parts, out=np.ones_like(total), where=parts > 0)


@dataclass(frozen=True)
class Estimate:
    """A score or a difference and its 95 % interval over recordings; None where recordings give no measure of spread."""

    value: float
    low: float | None
    high: float | None


def jackknife(matrices: ArrayLike, statistic: Statistic) -> Jackknife:
    """Applies `statistic` to the sum of (R, ..., C, C) over recordings and to the R sums that leave one out."""
    counts = np.asarray(matrices)
    total = counts.sum(axis=0)
    return Jackknife(np.asarray(statistic(total)), np.asarray(statistic(total[None] - counts)))


def score_interval(result: Jackknife, low: ArrayLike = 0.0, high: ArrayLike = 1.0, seeds: Spread | None = None) -> Interval:
    """95 % interval of scores between `low` and `high`: 0 and 1 for macro-F1, F1 and accuracy, -1 and 1 for CCC.

    With `seeds` it is of the mean of several, as if these had been drawn anew as well.
    """
    return Interval(*interval_between(result.corrected, _half_width(result, seeds), low, high))


def difference_interval(
    result: Jackknife, width: ArrayLike = 1.0, seeds: Spread | None = None, level: float = NOMINAL
) -> Interval:
    """Interval of differences between two scores whose bounds lie `width` apart, on the same recordings; of 95 % or of `level`.

    It ends where differences do: at -1 and 1 for scores in 0..1, at -2 and 2 for CCC. With `seeds` it is as if these had been
    drawn anew as well.
    """
    half = _half_width(result, seeds, level)
    least, most = np.negative(width), np.asarray(width)
    return Interval(np.clip(result.corrected - half, least, most), np.clip(result.corrected + half, least, most))


def estimates(result: Jackknife, interval: Callable[[Jackknife], Interval] = score_interval) -> list[Estimate]:
    """Each number of a statistic with its interval; a statistic that is one number gives one."""
    bounds = interval(result)
    values = zip(np.atleast_1d(result.estimate), np.atleast_1d(bounds.low), np.atleast_1d(bounds.high), strict=True)
    return [
        Estimate(float(value), None if math.isnan(low) else float(low), None if math.isnan(high) else float(high))
        for value, low, high in values
    ]


def probability_of_gain(result: Jackknife) -> Floats:
    """How sure the recordings make it that a difference (...) is above 0, in 0..1: Student's t of its corrected value.

    0.5 where recordings give no measure of spread and there is no difference, else 0 or 1.
    """
    certain = np.where(result.corrected == 0, 0.0, np.copysign(np.inf, result.corrected))
    error = result.standard_error
    ratio = np.where(error > 0, result.corrected / np.where(error > 0, error, 1.0), certain)
    share: Floats = np.asarray(scipy_special().stdtr(result.degrees_of_freedom, ratio))
    return share


def measured_coverage(recordings: int, score: Score = MACRO_F1) -> float | None:
    """How often the 95 % interval held the truth in simulations of at most so many recordings; None below all that were tried."""
    measured = COVERAGE_OF.get(score, {})
    tried = [count for count in measured if count <= recordings]
    return measured[max(tried)] if tried else None


def measured_class_coverage(recordings: int) -> float | None:
    """The same for the F1 of the single class of which it held the truth most rarely."""
    tried = [count for count in CLASS_COVERAGE if count <= recordings]
    return CLASS_COVERAGE[max(tried)] if tried else None


def _half_width(result: Jackknife, seeds: Spread | None = None, level: float = NOMINAL) -> Floats:
    """Student's t times the standard error, NaN without any spread."""
    error, freedom = result.standard_error, result.degrees_of_freedom
    if seeds is not None:
        error, freedom = seeds.added_to(error, freedom)
    quantile: Floats = np.asarray(scipy_special().stdtrit(freedom, 0.5 + level / 2.0))
    return np.where(error > 0, quantile * error, np.nan)


def scipy_special() -> Any:
    """Where Student's t distribution is."""
    try:
        import scipy.special
    except ImportError as error:
        raise MissingExtraError("scipy", "train", "an interval or a choice over recordings") from error
    return scipy.special
