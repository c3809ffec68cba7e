"""Is one prediction better than another? A permutation test over recordings, with intervals and correction for many questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, MismatchError, UsageError
from harness.evaluation.intervals import Floats, Interval, difference_interval, jackknife
from harness.evaluation.predictions import Scored, by_recording
from harness.kinds.confusion import supported_classes
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
    class_difference, class_interval, class_p_value : the same (C,) for the F1 of each class. P-values are corrected for the
        number of classes; a class with too few labelled frames to be judged has none (NaN).
    recordings, differing : how many recordings there are, and on how many the two confusion matrices differ.
    """

    difference: float
    interval: Interval
    p_value: float
    class_difference: Floats
    class_interval: Interval
    class_p_value: Floats
    recordings: int
    differing: int


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
    pair = np.stack([a, b], axis=1)
    result = jackknife(pair, _score_differences)
    interval = difference_interval(result)
    swapped = _swapped_differences(pair, np.random.default_rng(seed), permutations)
    p_values = (np.abs(swapped) >= np.abs(result.estimate) - ROUNDING).mean(axis=0)
    judged = supported_classes(a.sum(axis=0))
    class_p_values = np.full(a.shape[1], np.nan)
    class_p_values[judged] = holm(p_values[1:][judged])
    return Comparison(
        difference=float(result.estimate[0]),
        interval=Interval(interval.low[0], interval.high[0]),
        p_value=float(p_values[0]),
        class_difference=result.estimate[1:],
        class_interval=Interval(interval.low[1:], interval.high[1:]),
        class_p_value=class_p_values,
        recordings=len(a),
        differing=int((a != b).any(axis=(1, 2)).sum()),
    )


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for having asked several questions at once (Holm 1979, A Simple Sequentially Rejective Procedure)."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def verdict(name: str, reference: str, difference: float, p_value: float) -> str:
    """What a comparison says, in words; nothing is called equal only because no difference was shown."""
    if p_value > SIGNIFICANT:
        return f"no evidence that {name} is {'better' if difference >= 0 else 'worse'} than {reference}"
    return f"{name} is {'better' if difference > 0 else 'worse'} than {reference}"


def _score_differences(pair: NDArray) -> Floats:
    """Macro-F1 and F1 of each class (..., 1 + C) of B minus A, from summed counts (..., 2, C, C)."""
    scores = class_f1(pair)
    both = np.concatenate([scores.mean(axis=-1, keepdims=True), scores], axis=-1)
    differences: Floats = both[..., 1, :] - both[..., 0, :]
    return differences


def _swapped_differences(pair: NDArray, generator: np.random.Generator, permutations: int) -> Floats:
    """Score differences (P, 1 + C) of the matrices (R, 2, C, C) under all swaps, or under random ones if there are too many.

    What was observed, no swap at all, is always among them, so that no p-value is 0 (Phipson and Smyth 2010, Permutation P-values
    Should Never Be Zero).
    """
    total, change = pair.sum(axis=0), pair[:, 1] - pair[:, 0]
    change = change[(change != 0).any(axis=(1, 2))]
    count = len(change)
    everything = 2**count <= permutations
    trials = 2**count if everything else permutations
    differences = []
    for start in range(0, trials, SWAPS_AT_ONCE):
        block = np.arange(start, min(start + SWAPS_AT_ONCE, trials))
        swaps = (block[:, None] >> np.arange(count)) & 1 if everything else generator.integers(0, 2, (len(block), count))
        swaps[block == 0] = 0
        moved = np.tensordot(swaps.astype(np.float64), change, axes=1)
        differences.append(_score_differences(np.stack([total[0] + moved, total[1] - moved], axis=1)))
    return np.concatenate(differences)


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One prediction beside the reference: macro-F1, comparison, p-value corrected for their number, and verdict in words."""

    name: str
    macro_f1: float
    comparison: Comparison
    p_value: float
    verdict: str


@dataclass(frozen=True, eq=False)
class RunComparison:
    """The reference, its macro-F1 and F1 of each class (C,), and what the other predictions are beside it."""

    class_names: tuple[str, ...]
    reference: str
    macro_f1: float
    class_f1: Floats
    others: tuple[ComparedRun, ...]


def compare_runs(reference: Scored, others: Sequence[Scored], seed: int = 0) -> RunComparison:
    """Compares each of `others` with `reference` over all labelled frames; p-values are corrected for their number.

    Raises MismatchError if classes, tracks or labels differ, UsageError if a name comes twice, DataError if no frame is labelled.
    """
    names = [reference.name, *(other.name for other in others)]
    if len(set(names)) < len(names):
        raise UsageError("something is to be compared with itself", found=" ".join(names))
    for other in others:
        _refuse_other_labels(reference, other)
    first = _matrices(reference)
    if not first.any():
        raise DataError("no frame of the split is labelled, so nothing can be compared")
    comparisons = [compare(first, _matrices(other), seed) for other in others]
    corrected = holm([comparison.p_value for comparison in comparisons])
    return RunComparison(
        class_names=reference.class_names,
        reference=reference.name,
        macro_f1=float(macro_f1(first.sum(axis=0))),
        class_f1=class_f1(first.sum(axis=0)),
        others=tuple(
            ComparedRun(
                name=other.name,
                macro_f1=float(macro_f1(_matrices(other).sum(axis=0))),
                comparison=comparison,
                p_value=float(p_value),
                verdict=verdict(other.name, reference.name, comparison.difference, float(p_value)),
            )
            for other, comparison, p_value in zip(others, comparisons, corrected, strict=True)
        ),
    )


def _matrices(predictions: Scored) -> NDArray[np.int64]:
    """Confusion matrices (R, C, C) of the recordings in the order of their names."""
    tracks = sorted(predictions.tracks, key=lambda track: track.recording)
    return by_recording(tracks, lambda track: track.confusion(len(predictions.class_names)))[1]


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
