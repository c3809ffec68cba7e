"""Is one prediction better than another? A permutation test over recordings, with intervals and correction for many questions."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.challenge import Challenge, Score, usual_score
from harness.errors import DataError, MismatchError, UsageError
from harness.evaluation.intervals import Floats, Interval, Spread, difference_interval, jackknife
from harness.evaluation.predictions import Scored, sums_by_recording
from harness.kinds.parts import Parts, parts_of
from harness.runs import seeds
from harness.words import counted, number

PERMUTATIONS = 10_000
SIGNIFICANT = 0.05

MOST_NAMED = 5

SWAPS_AT_ONCE = 100
"""Swaps that are tried together: all of them, over hundreds of recordings, would take a hundred megabytes."""

# Differences this small are rounding.
ROUNDING = 1e-12

# Sums of the same labels differ by less, in whatever order they were added; those of other labels by at least a thousandth.
ROUNDING_OF_LABELS = 1e-6


@dataclass(frozen=True, eq=False)
class Comparison:
    """How B differs from A on the same recordings.

    Attributes
    ----------
    difference, interval, p_value : the score of B minus that of A, its 95 % interval over recordings, and how often chance alone
        makes a difference at least as large, in either direction.
    supported : (columns,) the classes, units and values with enough labelled frames in enough recordings to be judged.
    supported_difference, supported_interval, supported_p_value : the same for the score over the supported columns.
    weighted_difference, weighted_p_value : the same as the latter when each recording's sums are divided by the root of its
        frames. It asks whether B is better on recordings, where long ones count for less than all their frames, and not on pooled
        frames; it sees small differences of models that err alike more often (docs/statistics.md).
    term_difference, term_interval, term_p_value : the same (terms,) for each measure that the score is a sum of, where there are
        several; p-values are corrected for their number.
    column_difference, column_interval, column_p_value : the same (columns,) for the F1 of each class or unit and the CCC of each
        value. P-values are corrected for the number of columns; a column that is not supported has none (NaN).
    recordings, differing : how many recordings there are, and on how many the two differ.
    smallest_p_value : no difference between these recordings can have a smaller one.
    """

    difference: float
    interval: Interval
    p_value: float
    supported: NDArray[np.bool_]
    supported_difference: float
    supported_interval: Interval
    supported_p_value: float
    weighted_difference: float
    weighted_p_value: float
    term_difference: Floats
    term_interval: Interval
    term_p_value: Floats
    column_difference: Floats
    column_interval: Interval
    column_p_value: Floats
    recordings: int
    differing: int
    smallest_p_value: float


def terms_of(score: Score) -> tuple[str, ...]:
    """The measures that a score is a sum of, where there are several."""
    return tuple(name for _, name in score.parts) if len(score.parts) > 1 else ()


def compare(
    first: ArrayLike, second: ArrayLike, parts: Parts, score: Score, seed: int = 0, permutations: int = PERMUTATIONS
) -> Comparison:
    """Compares the sums (R, size) of A (`first`) and B (`second`) on the same labels of the same recordings by a score.

    Sums (R, S, size) are of S seeds of a recipe, as many of A as of B or not: their mean scores are compared, and the interval is
    over seeds and recordings together; the swaps are of recordings, with the seeds as they are.

    If A and B were equally good, each recording's two could as well have come out swapped. So they are swapped at random,
    recording by recording, and the p-value is the share of swaps whose difference of the score is at least as far from 0 (Good
    2005, Permutation, Parametric and Bootstrap Tests of Hypotheses). All swaps are tried when they are fewer than `permutations`.
    Unlike a bootstrap test, it keeps to its 5 % of false alarms when classes sit in few recordings (docs/statistics.md).

    Raises ValueError if the shapes differ or the labels do.
    """
    a, b = _of_seeds(first), _of_seeds(second)
    if len(a) != len(b) or a.shape[2:] != b.shape[2:]:
        raise ValueError(f"{a.shape[0]} recordings against {b.shape[0]}: {np.shape(first)} and {np.shape(second)}")
    labels = parts.label_sums(a[:, :1])
    if not all(np.allclose(parts.label_sums(one), labels, rtol=0.0, atol=ROUNDING_OF_LABELS) for one in (a, b)):
        raise ValueError("the two were not scored on the same labels")
    supported, terms = parts.supported_over_recordings(a[:, 0]), terms_of(score)
    asked = _Asked(parts, parts.judging(supported), score, terms)
    pair = _paired(a, b)
    result = jackknife(pair, asked.differences)
    over_seeds = spread_of_seeds(*(asked.scores(one.sum(axis=0)) for one in (a, b)))
    interval = difference_interval(result, asked.widths, over_seeds)
    p_values = _p_values(pair, asked.differences, seed, permutations)
    columns = slice(2 + len(terms), None)
    column_p_values = np.full(len(parts.columns), np.nan)
    column_p_values[supported] = holm(p_values[columns][supported])
    weighted = pair / _roots_of_frames(a[:, 0], parts)[:, None, None]
    differing = int((pair[:, 0] != pair[:, 1]).any(axis=(1, 2)).sum())
    return Comparison(
        difference=float(result.estimate[0]),
        interval=Interval(interval.low[0], interval.high[0]),
        p_value=float(p_values[0]),
        supported=supported,
        supported_difference=float(result.estimate[1]),
        supported_interval=Interval(interval.low[1], interval.high[1]),
        supported_p_value=float(p_values[1]),
        weighted_difference=float(asked.differences(weighted.sum(axis=0))[1]),
        weighted_p_value=float(_p_values(weighted, asked.differences, seed, permutations)[1]),
        term_difference=result.estimate[2 : columns.start],
        term_interval=Interval(interval.low[2 : columns.start], interval.high[2 : columns.start]),
        term_p_value=holm(p_values[2 : columns.start]),
        column_difference=result.estimate[columns],
        column_interval=Interval(interval.low[columns], interval.high[columns]),
        column_p_value=column_p_values,
        recordings=len(a),
        differing=differing,
        # Of all swaps two, none and every one, make the largest difference; of random ones that without any is always tried.
        smallest_p_value=max(min(1.0, 2.0 / 2.0**differing), 1.0 / permutations),
    )


@dataclass(frozen=True)
class _Asked:
    """What is asked of two predictions: the score, that of supported columns, its terms, and each column."""

    parts: Parts
    judging: Parts
    score: Score
    terms: tuple[str, ...]

    def scores(self, sums: NDArray) -> Floats:
        """What is asked of each (..., 2 + terms + columns) of summed sums (..., size)."""
        parts = self.parts
        pooled = [parts.score(sums, self.score), self.judging.score(sums, self.score)]
        pooled += [parts.measure(sums, name) for name in self.terms]
        return np.concatenate([np.stack(pooled, axis=-1), parts.column_scores(sums)], axis=-1)

    def differences(self, pair: NDArray) -> Floats:
        """B minus A (..., 2 + terms + columns), each the mean over its seeds, from summed sums (..., 2, S, size)."""
        scores = self.scores(pair).mean(axis=-2)
        differences: Floats = scores[..., 1, :] - scores[..., 0, :]
        return differences

    @property
    def widths(self) -> Floats:
        """How far apart the bounds of each of them lie."""
        low, high = self.parts.bounds(self.score)
        measures = [*(self.parts.measures[name] for name in self.terms), *self.parts.judged_by]
        return np.array([high - low, high - low, *(measure.high - measure.low for measure in measures)])


def _of_seeds(sums: ArrayLike) -> Floats:
    """Sums (R, S, size) of seeds; those (R, size) of a single run are of one."""
    values = np.asarray(sums, dtype=np.float64)
    return values[:, None] if values.ndim == 2 else values


def _paired(a: Floats, b: Floats) -> Floats:
    """Sums (R, 2, S, size) of A and B: each seed of either as often as the others, so that swaps move all of a recording's."""
    count = math.lcm(a.shape[1], b.shape[1])
    return np.stack([np.tile(one, (1, count // one.shape[1], 1)) for one in (a, b)], axis=1)


def spread_of_seeds(a: Floats, b: Floats) -> Spread | None:
    """By how much the difference of two means moves with the seeds, by their scores (S, ...) and (T, ...); None for one of each.

    Seeds of one recipe are taken to differ as much as those of the other, so that a recipe with one seed can be judged as well.
    """
    freedom = len(a) + len(b) - 2
    if freedom == 0:
        return None
    squares = sum(((one - one.mean(axis=0)) ** 2).sum(axis=0) for one in (a, b))
    return Spread(np.asarray(squares) / freedom * (1 / len(a) + 1 / len(b)), float(freedom))


def _roots_of_frames(sums: Floats, parts: Parts) -> Floats:
    """For each recording and each of its sums (R, size) the root of the frames that are labelled in that part, at least 1."""
    frames = parts.frames_by_part(sums)
    lengths = [own.part.size for own in parts.placed]
    roots: Floats = np.sqrt(np.maximum(np.repeat(frames, lengths, axis=1), 1.0))
    return roots


def swap_p_value(first: ArrayLike, second: ArrayLike, statistic: Callable[[NDArray], Floats]) -> float:
    """How often swapping sums (R, size) of recordings at random makes as large a difference of a statistic of pooled sums."""
    pair = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)], axis=1)

    def difference(pooled: NDArray) -> Floats:
        scores = statistic(pooled)
        gained: Floats = scores[..., 1] - scores[..., 0]
        return gained

    return float(_p_values(pair, difference, seed=0, permutations=PERMUTATIONS))


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for having asked several questions at once (Holm 1979, A Simple Sequentially Rejective Procedure)."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def verdict(name: str, reference: str, comparison: Comparison, p_value: float, comparisons: int = 1) -> str:
    """What a comparison of the supported columns says, in words: better or worse only where test and interval agree.

    `p_value` is corrected for the number of `comparisons`. Nothing is called equal only because no difference was shown.
    """
    better = comparison.supported_difference >= 0
    low, high = float(comparison.supported_interval.low), float(comparison.supported_interval.high)
    apart = low > 0 if better else high < 0
    smallest = min(1.0, comparison.smallest_p_value * comparisons)
    claim = f"{name} is {'better' if better else 'worse'} than {reference}"
    if comparison.differing == 0:
        return f"{name} and {reference} do not differ in any recording"
    if smallest > SIGNIFICANT:
        differing = f"{counted(comparison.differing, 'recording')} that {'differs' if comparison.differing == 1 else 'differ'}"
        recordings = differing + f" and {comparisons} comparisons" * (comparisons > 1)
        return f"no verdict is possible: with {recordings} p cannot be below {number(smallest)}"
    if p_value > SIGNIFICANT:
        return f"no evidence that {claim}" + (", though the interval of the difference excludes 0" if apart else "")
    return claim if apart else f"no clear evidence that {claim}: the test says so, but the interval of the difference includes 0"


def _p_values(pair: NDArray, differences: Callable[[NDArray], Floats], seed: int, permutations: int) -> Floats:
    """How often (...) swaps of the sums (R, 2, ...) make differences at least as large as the observed ones.

    All swaps are tried, or random ones if there are too many. What was observed, no swap at all, is always among them, so that
    no p-value is 0 (Phipson and Smyth 2010, Permutation P-values Should Never Be Zero).
    """
    total, change = pair.sum(axis=0), pair[:, 1] - pair[:, 0]
    change = change[(change != 0).any(axis=tuple(range(1, change.ndim)))]
    count, generator = len(change), np.random.default_rng(seed)
    everything = 2**count <= permutations
    trials = 2**count if everything else permutations
    observed = np.abs(differences(total)) - ROUNDING
    as_large = np.zeros(observed.shape)
    for start in range(0, trials, SWAPS_AT_ONCE):
        block = np.arange(start, min(start + SWAPS_AT_ONCE, trials))
        swaps = (block[:, None] >> np.arange(count)) & 1 if everything else generator.integers(0, 2, (len(block), count))
        swaps[block == 0] = 0
        moved = np.tensordot(swaps.astype(np.float64), change, axes=1)
        swapped = differences(np.stack([total[0] + moved, total[1] - moved], axis=1))
        as_large += (np.abs(swapped) >= observed).sum(axis=0)
    return as_large / trials


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One prediction beside the reference: its score, comparison, and verdict in words.

    `p_value` is that of the supported columns, corrected for the number of comparisons.
    """

    name: str
    score: float
    comparison: Comparison
    p_value: float
    verdict: str


@dataclass(frozen=True, eq=False)
class RunComparison:
    """The reference, its usual score and what each column is judged by (columns,), and the other predictions beside it.

    Attributes
    ----------
    terms : the measures that the score is a sum of, where there are several, and `term_scores` (terms,) those of the reference.
    seeds : of each that is a recipe, by its name, the score of each run that is a seed of it; its own is their mean.
    notes : what stands against taking the figures at their word, one line each.
    """

    challenge: Challenge
    reference: str
    score: float
    terms: tuple[str, ...]
    term_scores: Floats
    column_scores: Floats
    others: tuple[ComparedRun, ...]
    seeds: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]


def compare_runs(reference: Scored, others: Sequence[Scored], seed: int = 0) -> RunComparison:
    """Compares each of `others` with `reference` over all labelled frames; p-values are corrected for their number.

    What has several seeds is compared as a recipe, by the mean over them. What was fitted to the labels is judged by its sums
    outside the fit, where they are known.

    Raises MismatchError if challenge, tracks or labels differ, UsageError if a name comes twice, DataError if no frame is
    labelled.
    """
    names = [reference.name, *(other.name for other in others)]
    if len(set(names)) < len(names):
        raise UsageError("a run or text cannot be compared with itself", found=" ".join(names))
    for other in others:
        _refuse_other_labels(reference, other)
    challenge = reference.challenge
    parts, score = parts_of(challenge), usual_score(challenge)
    first, *rest = (_sums(one) for one in (reference, *others))
    if not first.any():
        raise DataError("no frame of the split is labelled, so nothing can be compared")
    comparisons = [compare(first, sums, parts, score, seed) for sums in rest]
    p_values = holm([comparison.supported_p_value for comparison in comparisons]).tolist()
    totals, terms = [sums.sum(axis=0) for sums in (first, *rest)], terms_of(score)
    scores = [parts.score(total, score) for total in totals]
    return RunComparison(
        challenge=challenge,
        reference=reference.name,
        score=float(scores[0].mean()),
        terms=terms,
        term_scores=np.array([parts.measure(totals[0], name).mean() for name in terms]),
        column_scores=parts.column_scores(totals[0]).mean(axis=0),
        others=tuple(
            ComparedRun(
                name=other.name,
                score=float(own.mean()),
                comparison=comparison,
                p_value=p_value,
                verdict=verdict(other.name, reference.name, comparison, p_value, len(others)),
            )
            for other, own, comparison, p_value in zip(others, scores[1:], comparisons, p_values, strict=True)
        ),
        seeds={
            one.name: dict(zip(one.seeds, own.tolist(), strict=True))
            for one, own in zip((reference, *others), scores, strict=True)
            if len(one.seeds) > 1
        },
        notes=tuple(line for one in (reference, *others) for line in one.notes),
    )


def _sums(scored: Scored) -> NDArray:
    """The sums (R, S, size) of the labelled recordings in the order of their names, of each seed."""
    runs = scored.seeds.values() or (scored,)
    return np.stack([sums_by_recording(one)[1] if one.held_out is None else one.held_out for one in runs], axis=1)


# What the names of seeds have in common at their end, which is not the recipe's name.
_SEED = re.compile(r"([-_ .]+|[-_ .]*seed[-_ .]*\d*)$")


def by_recipe(scored: Sequence[Scored]) -> list[Scored]:
    """What is to be compared, the runs that are seeds of one recipe as one; as it is where all of it is one recipe.

    A recipe is called what the names of its runs begin with. Raises MismatchError if seeds are not of the same tracks and labels.
    """
    manifests = {one.name: {} if one.run is None else one.run.manifest for one in scored}
    named = {one.name: one for one in scored}
    groups = [[named[name] for name in names] for names in seeds.by_recipe(manifests)]
    if len(groups) < 2 or len(named) < len(scored):
        return list(scored)
    found: list[Scored] = []
    for group in groups:
        found.append(group[0] if len(group) == 1 else _recipe(group, {one.name for one in (*found, *scored)}))
    return found


def _recipe(runs: Sequence[Scored], taken: Collection[str]) -> Scored:
    """Several seeds of a recipe as one, under a name that is not taken."""
    for other in runs[1:]:
        _refuse_other_labels(runs[0], other)
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*(one.name for one in runs), strict=False))
    begins = _SEED.sub("", "".join(letters[0] for letters in alike))
    name = f"{begins} ({len(runs)} seeds)"
    if not begins or name in taken:
        name = f"{runs[0].name} and {len(runs) - 1} more seed{'s' * (len(runs) > 2)}"
    notes = [line for one in runs for line in one.notes]
    if any(one.settings != runs[0].settings for one in runs):
        notes.append(f"{name}: each is post-processed in its own way")
    return replace(runs[0], name=name, seeds={one.name: one for one in runs}, notes=tuple(notes))


def _refuse_other_labels(reference: Scored, other: Scored) -> None:
    if reference.challenge != other.challenge:
        raise MismatchError(
            "the runs or texts to compare have different classes, units or values",
            found=f"{reference.name}: {_answered(reference)}; {other.name}: {_answered(other)}",
        )
    first = {track.name: track.labels for track in reference.tracks}
    second = {track.name: track.labels for track in other.tracks}
    different = [name for name in {**first, **second} if not np.array_equal(first.get(name, ()), second.get(name, ()))]
    if different:
        more = f", and {len(different) - MOST_NAMED} more" if len(different) > MOST_NAMED else ""
        raise MismatchError(
            f"{reference.name} and {other.name} are predictions of other tracks or labels",
            found=", ".join(different[:MOST_NAMED]) + more,
            remedy="name one data root for all of them with --data",
        )


def _answered(scored: Scored) -> str:
    return ", ".join(scored.parts.columns)
