"""Everything there is to say about the predictions of a split: scores with intervals, classes, recordings, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.challenge import MACRO_F1, Score
from harness.errors import DataError
from harness.evaluation.calibration import Calibration, calibration
from harness.evaluation.intervals import Estimate, estimates, jackknife, measured_coverage
from harness.evaluation.predictions import ScoredTrack, by_recording
from harness.evaluation.shifts import Shifts, score_shifts
from harness.kinds.confusion import confusion, supported_over_recordings
from harness.kinds.f1 import accuracy, class_f1, class_scores, macro_f1

# How many recordings are named that move the macro-F1 most.
MOST_INFLUENTIAL = 5


@dataclass(frozen=True)
class ClassReport:
    """One class: its scores, its labelled frames and recordings, and the most influential one, which moves its F1 most.

    `largest_share` is the share of the class's frames in that recording, `f1_without` the F1 of all others; for a class without
    any frame there is none.
    """

    name: str
    precision: float
    recall: float
    f1: Estimate
    frames: int
    recordings: int
    most_influential: str | None = field(metadata={"json": "hangs_on"})
    largest_share: float
    f1_without: float


@dataclass(frozen=True)
class Influence:
    """A recording, its labelled frames, and the macro-F1 of all others."""

    recording: str
    frames: int
    macro_f1_without: float


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Scores over one set of labelled frames.

    Attributes
    ----------
    macro_f1 : over all classes; `supported_macro_f1` over the classes with enough frames.
    score : the challenge's score in the edition asked for.
    confusion : (C, C) int64, rows are labels.
    """

    frames: int
    macro_f1: Estimate
    supported_macro_f1: Estimate
    accuracy: Estimate
    score: float
    confusion: NDArray[np.int64]
    classes: tuple[ClassReport, ...]


@dataclass(frozen=True)
class TrackReport:
    """One track: labelled frames, those of them with a face, and its scores.

    `f1` is the mean over the classes its labels have; None for a track without labels.
    """

    track: str
    recording: str
    rows: int
    labelled: int
    with_face: int
    accuracy: float | None
    f1: float | None
    most_labelled: str | None
    most_predicted: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The evaluation of a split's predictions.

    Attributes
    ----------
    supported : the classes with enough labelled frames to be judged.
    recordings : how many recordings have a labelled frame.
    coverage : how often a 95 % interval held the truth in simulations of at most so many recordings, None for fewer than tried.
    all_labelled, with_face : scores over all labelled frames, imputed ones included, and over those that have a face, if any has.
    constant, constant_macro_f1 : the class that scores best when it is always predicted, and its score.
    influences : the recordings without which the macro-F1 changes most.
    calibration : of the labelled frames with a face; None where there are no probabilities.
    """

    class_names: tuple[str, ...]
    supported: tuple[str, ...]
    score_name: str
    recordings: int
    coverage: float | None
    all_labelled: FrameSet
    with_face: FrameSet | None
    constant: str
    constant_macro_f1: float
    influences: tuple[Influence, ...]
    shifts: Shifts
    calibration: Calibration | None
    tracks: tuple[TrackReport, ...]


def evaluate(
    tracks: Sequence[ScoredTrack],
    class_names: Sequence[str],
    score: Score = MACRO_F1,
    unsmoothed: Sequence[ScoredTrack] | None = None,
) -> Evaluation:
    """Scores the predictions of a split.

    Shifted labels are looked for in the `unsmoothed` predictions of the same tracks where there are any: smoothing hides them.

    Raises DataError if no frame of `tracks` is labelled, ValueError if a label or prediction is not one of the classes.
    """
    names = tuple(class_names)
    labelled = [track for track in tracks if (track.labels >= 0).any()]
    if not labelled:
        raise DataError("no frame is labelled, so there is nothing to score", found=_some(tracks))
    recordings, matrices = by_recording(labelled, lambda track: _confusion(track, len(names)))
    _, seen = by_recording(labelled, lambda track: _confusion(track, len(names), with_face=True))
    frames = matrices.sum(axis=(0, 2))
    constants = 2.0 * frames / (frames + frames.sum()) / len(names)
    supported = supported_over_recordings(matrices.sum(axis=2))
    return Evaluation(
        class_names=names,
        supported=tuple(name for name, enough in zip(names, supported, strict=True) if enough),
        score_name=str(score),
        recordings=len(recordings),
        coverage=measured_coverage(len(recordings)),
        all_labelled=_frame_set(recordings, matrices, names, supported, score),
        with_face=_frame_set(recordings, seen, names, supported, score) if seen.any() else None,
        constant=names[int(constants.argmax())],
        constant_macro_f1=float(constants.max()),
        influences=_influences(recordings, matrices),
        shifts=score_shifts(labelled if unsmoothed is None else unsmoothed, len(names)),
        calibration=_calibration(labelled),
        tracks=tuple(track_report(track, names) for track in tracks),
    )


def _frame_set(
    recordings: Sequence[str],
    matrices: NDArray[np.int64],
    names: tuple[str, ...],
    supported: NDArray[np.bool_],
    score: Score,
) -> FrameSet:
    """Scores of the confusion matrices (R, C, C) of recordings."""

    def scores(counts: NDArray) -> NDArray[np.float64]:
        f1 = class_f1(counts)
        pooled = np.stack([f1.mean(axis=-1), f1[..., supported].mean(axis=-1), accuracy(counts)], axis=-1)
        return np.concatenate([pooled, f1], axis=-1)

    result = jackknife(matrices, scores)
    macro, supported_macro, share, *f1 = estimates(result)
    total = matrices.sum(axis=0)
    return FrameSet(
        frames=int(total.sum()),
        macro_f1=macro,
        supported_macro_f1=supported_macro,
        accuracy=share,
        score=float(challenge_scores(total, score)),
        confusion=total,
        classes=_class_reports(recordings, matrices, names, f1, result.without[:, -len(names) :]),
    )


def challenge_scores(confusion: NDArray, score: Score) -> NDArray[np.float64]:
    """The score of a challenge of classes, as editions define it, of confusion matrices (..., C, C).

    Raises ValueError for a score that has other measures than macro-F1 and accuracy.
    """
    measures = {"macro_f1": macro_f1, "accuracy": accuracy}
    unknown = [measure for _, measure in score.parts if measure not in measures]
    if unknown:
        raise ValueError(f"a confusion matrix does not say {unknown[0]}")
    total: NDArray[np.float64] = np.sum([weight * measures[measure](confusion) for weight, measure in score.parts], axis=0)
    return total


def _class_reports(
    recordings: Sequence[str], matrices: NDArray[np.int64], names: tuple[str, ...], f1: Sequence[Estimate], without: NDArray
) -> tuple[ClassReport, ...]:
    scores = class_scores(matrices.sum(axis=0))
    frames = matrices.sum(axis=2)
    reports = []
    for c, name in enumerate(names):
        total = int(frames[:, c].sum())
        # Among recordings that move the F1 equally, the one with most frames of the class.
        most = max(range(len(recordings)), key=lambda r: (abs(f1[c].value - without[r, c]), frames[r, c]))
        reports.append(
            ClassReport(
                name=name,
                precision=float(scores.precision[c]),
                recall=float(scores.recall[c]),
                f1=f1[c],
                frames=total,
                recordings=int((frames[:, c] > 0).sum()),
                most_influential=recordings[most] if total else None,
                largest_share=float(frames[most, c] / total) if total else 0.0,
                f1_without=float(without[most, c]),
            )
        )
    return tuple(reports)


def _influences(recordings: Sequence[str], matrices: NDArray[np.int64]) -> tuple[Influence, ...]:
    result = jackknife(matrices, macro_f1)
    order = np.argsort(-np.abs(result.influence), kind="stable")[:MOST_INFLUENTIAL]
    return tuple(Influence(recordings[r], int(matrices[r].sum()), float(result.without[r])) for r in order)


def _confusion(track: ScoredTrack, classes: int, with_face: bool = False) -> NDArray[np.int64]:
    """Confusion matrix (C, C) of the labelled frames, or of those that have a face."""
    kept = track.has_face if with_face else slice(None)
    return confusion(track.labels[kept], track.answers[kept], classes)


def _calibration(tracks: Sequence[ScoredTrack]) -> Calibration | None:
    known = [track.reliability for track in tracks if track.reliability is not None]
    return calibration(known) if len(known) == len(tracks) else None


def track_report(track: ScoredTrack, names: tuple[str, ...]) -> TrackReport:
    """One track in numbers; without labels there are no scores."""
    counts = _confusion(track, len(names))
    labelled = int(counts.sum())
    present = counts.sum(axis=1) > 0
    return TrackReport(
        track=track.name,
        recording=track.recording,
        rows=len(track.labels),
        labelled=labelled,
        with_face=int((track.has_face & (track.labels >= 0)).sum()),
        accuracy=float(accuracy(counts)) if labelled else None,
        f1=float(class_f1(counts)[present].mean()) if labelled else None,
        most_labelled=names[int(counts.sum(axis=1).argmax())] if labelled else None,
        most_predicted=names[int(np.bincount(track.answers, minlength=len(names)).argmax())],
    )


def _some(tracks: Sequence[ScoredTrack]) -> str:
    return f"{len(tracks)} tracks without labels: {', '.join(track.name for track in tracks[:3])}"
