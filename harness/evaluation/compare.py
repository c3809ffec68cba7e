"""Is one prediction better than another? A permutation test over recordings, with intervals and correction for many questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, MismatchError, UsageError
from harness.evaluation.intervals import Floats, Interval, difference_interval, jackknife
from harness.evaluation.predictions import Scored, sums_by_recording
from harness.kinds.confusion import supported_over_recordings
from harness.kinds.f1 import class_f1, macro_f1

PERMUTATIONS = 10_000
SIGNIFICANT = 0.05

MOST_NAMED = 5

SWAPS_AT_ONCE = 100
"""Swaps that are tried together: all of them, over hundreds of recordings, would take a hundred megabytes."""

# Differences this small are rounding.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Comparison:
    """How B differs from A on the same recordings.

    Attributes
    ----------
    difference, interval, p_value : macro-F1 of B minus that of A, its 95 % interval over recordings, and how often chance alone
        makes a difference at least as large, in either direction.
    supported : (C,) the classes with enough labelled frames in enough recordings to be judged.
    supported_difference, supported_interval, supported_p_value : the same for the macro-F1 of the supported classes.
    weighted_difference, weighted_p_value : the same as the latter when each recording's counts are divided by the root of its
        frames. It asks whether B is better on recordings, where long ones count for less than all their frames, and not on pooled
        frames; it sees small differences of models that err alike more often (docs/statistics.md).
    class_difference, class_interval, class_p_value : the same (C,) for the F1 of each class. P-values are corrected for the
        number of classes; a class that is not supported has none (NaN).
    recordings, differing : how many recordings there are, and on how many the two confusion matrices differ.
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
    class_difference: Floats
    class_interval: Interval
    class_p_value: Floats
    recordings: int
    differing: int
    smallest_p_value: float


def compare(first: ArrayLike, second: ArrayLike, seed: int = 0, permutations: int = PERMUTATIONS) -> Comparison:
    """Compares the confusion matrices (R, C, C) of A (`first`) and B (`second`) on the same labels of the same recordings.

    If A and B were equally good, each recording's two matrices could as well have come out swapped. So they are swapped
    at random, recording by recording, and the p-value is the share of swaps whose difference of macro-F1 is at least as
    far from 0 (Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses). All swaps are tried when they are
    fewer than `permutations`. Unlike a bootstrap test, it keeps to its 5 % of false alarms when classes sit in few
    recordings (docs/statistics.md).

    Raises ValueError if the shapes differ or the labels do.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape[0]} recordings against {b.shape[0]}: {a.shape} and {b.shape}")
    if not np.array_equal(a.sum(axis=-1), b.sum(axis=-1)):
        raise ValueError("the two were not scored on the same labels")
    supported = supported_over_recordings(a.sum(axis=2))
    differences = partial(_score_differences, supported=supported)
    pair = np.stack([a, b], axis=1)
    result = jackknife(pair, differences)
    interval = difference_interval(result)
    p_values = _p_values(pair, differences, seed, permutations)
    class_p_values = np.full(a.shape[1], np.nan)
    class_p_values[supported] = holm(p_values[2:][supported])
    roots = np.sqrt(np.maximum(a.sum(axis=(1, 2)), 1.0))[:, None, None, None]
    differing = int((a != b).any(axis=(1, 2)).sum())
    return Comparison(
        difference=float(result.estimate[0]),
        interval=Interval(interval.low[0], interval.high[0]),
        p_value=float(p_values[0]),
        supported=supported,
        supported_difference=float(result.estimate[1]),
        supported_interval=Interval(interval.low[1], interval.high[1]),
        supported_p_value=float(p_values[1]),
        weighted_difference=float(differences((pair / roots).sum(axis=0))[1]),
        weighted_p_value=float(_p_values(pair / roots, differences, seed, permutations)[1]),
        class_difference=result.estimate[2:],
        class_interval=Interval(interval.low[2:], interval.high[2:]),
        class_p_value=class_p_values,
        recordings=len(a),
        differing=differing,
        # Of all swaps two, none and every one, make the largest difference; of random ones that without any is always tried.
        smallest_p_value=max(min(1.0, 2.0 / 2.0**differing), 1.0 / permutations),
    )


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for having asked several questions at once (Holm 1979, A Simple Sequentially Rejective Procedure)."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def verdict(name: str, reference: str, comparison: Comparison, p_value: float, comparisons: int = 1) -> str:
    """What a comparison of the supported classes says, in words: better or worse only where test and interval agree.

    `p_value` is corrected for the number of `comparisons`. Nothing is called equal only because no difference was shown.
    """
    better = comparison.supported_difference >= 0
    low, high = float(comparison.supported_interval.low), float(comparison.supported_interval.high)
    apart = low > 0 if better else high < 0
    smallest = min(1.0, comparison.smallest_p_value * comparisons)
    claim = f"{name} is {'better' if better else 'worse'} than {reference}"
    if comparison.differing == 0:
        return f"nothing tells {name} from {reference}: no recording differs"
    if smallest > SIGNIFICANT:
        recordings = f"{comparison.differing} recordings that differ" + f" and {comparisons} comparisons" * (comparisons > 1)
        return f"no verdict can be drawn: with {recordings} p is never below {smallest:.3f}"
    if p_value > SIGNIFICANT:
        return f"no evidence that {claim}" + (", though the interval of the difference leaves out 0" if apart else "")
    return claim if apart else f"no clear evidence that {claim}: the test says so, but the interval of the difference holds 0"


def _score_differences(pair: NDArray, supported: NDArray[np.bool_]) -> Floats:
    """Macro-F1, that of supported classes, and F1 of each class (..., 2 + C) of B minus A, from summed counts (..., 2, C, C)."""
    f1 = class_f1(pair)
    means = np.stack([f1.mean(axis=-1), f1[..., supported].mean(axis=-1)], axis=-1)
    scores = np.concatenate([means, f1], axis=-1)
    differences: Floats = scores[..., 1, :] - scores[..., 0, :]
    return differences


def _p_values(pair: NDArray, differences: Callable[[NDArray], Floats], seed: int, permutations: int) -> Floats:
    """How often (...) swaps of the matrices (R, 2, C, C) make differences at least as large as the observed ones.

    All swaps are tried, or random ones if there are too many. What was observed, no swap at all, is always among them, so that
    no p-value is 0 (Phipson and Smyth 2010, Permutation P-values Should Never Be Zero).
    """
    total, change = pair.sum(axis=0), pair[:, 1] - pair[:, 0]
    change = change[(change != 0).any(axis=(1, 2))]
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
    """One prediction beside the reference: macro-F1, comparison, and verdict in words.

    `p_value` is that of the supported classes, corrected for the number of comparisons.
    """

    name: str
    macro_f1: float
    comparison: Comparison
    p_value: float
    verdict: str


@dataclass(frozen=True, eq=False)
class RunComparison:
    """The reference, its macro-F1 and F1 of each class (C,), and what the other predictions are beside it.

    `notes` say what stands against taking the figures at their word, one line each.
    """

    class_names: tuple[str, ...]
    reference: str
    macro_f1: float
    class_f1: Floats
    others: tuple[ComparedRun, ...]
    notes: tuple[str, ...]


def compare_runs(reference: Scored, others: Sequence[Scored], seed: int = 0) -> RunComparison:
    """Compares each of `others` with `reference` over all labelled frames; p-values are corrected for their number.

    What was fitted to the labels is judged by its sums outside the fit, where they are known.

    Raises MismatchError if classes, tracks or labels differ, UsageError if a name comes twice, DataError if no frame is labelled.
    """
    names = [reference.name, *(other.name for other in others)]
    if len(set(names)) < len(names):
        raise UsageError("something is to be compared with itself", found=" ".join(names))
    for other in others:
        _refuse_other_labels(reference, other)
    first, *rest = (_matrices(one) for one in (reference, *others))
    if not first.any():
        raise DataError("no frame of the split is labelled, so nothing can be compared")
    comparisons = [compare(first, matrices, seed) for matrices in rest]
    p_values = holm([comparison.supported_p_value for comparison in comparisons]).tolist()
    total = first.sum(axis=0)
    return RunComparison(
        class_names=reference.class_names,
        reference=reference.name,
        macro_f1=float(macro_f1(total)),
        class_f1=class_f1(total),
        others=tuple(
            ComparedRun(
                name=other.name,
                macro_f1=float(macro_f1(matrices.sum(axis=0))),
                comparison=comparison,
                p_value=p_value,
                verdict=verdict(other.name, reference.name, comparison, p_value, len(others)),
            )
            for other, matrices, comparison, p_value in zip(others, rest, comparisons, p_values, strict=True)
        ),
        notes=tuple(line for one in (reference, *others) for line in one.notes),
    )


def _matrices(scored: Scored) -> NDArray[np.int64]:
    """Confusion matrices (R, C, C) of the labelled recordings in the order of their names."""
    sums = sums_by_recording(scored)[1] if scored.held_out is None else scored.held_out
    return sums.reshape(len(sums), len(scored.class_names), len(scored.class_names))


def _refuse_other_labels(reference: Scored, other: Scored) -> None:
    if reference.class_names != other.class_names:
        raise MismatchError(
            "what is to be compared has different classes",
            found=f"{reference.name}: {', '.join(reference.class_names)}; {other.name}: {', '.join(other.class_names)}",
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
