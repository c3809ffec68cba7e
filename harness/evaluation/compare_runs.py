"""Several predictions of the same tracks, each compared with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, MismatchError, UsageError
from harness.evaluation.compare import Comparison, compare, holm, verdict
from harness.evaluation.plain import plain
from harness.evaluation.predictions import TrackPredictions, by_recording
from harness.kinds.f1 import Floats, class_f1, macro_f1

MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class NamedPredictions:
    """The predictions of a run, a submission or a text file."""

    name: str
    class_names: tuple[str, ...]
    tracks: Sequence[TrackPredictions]


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

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values that JSON can hold."""
        value = plain(self)
        assert isinstance(value, dict)
        return value


def compare_runs(reference: NamedPredictions, others: Sequence[NamedPredictions], seed: int = 0) -> RunComparison:
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


def _matrices(predictions: NamedPredictions) -> NDArray[np.int64]:
    """Confusion matrices (R, C, C) of the recordings in the order of their names."""
    tracks = sorted(predictions.tracks, key=lambda track: track.recording)
    return by_recording(tracks, lambda track: track.confusion(len(predictions.class_names)))[1]


def _refuse_other_labels(reference: NamedPredictions, other: NamedPredictions) -> None:
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
