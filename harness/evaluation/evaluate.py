"""Everything there is to say about the answers to a split: scores with intervals, columns, recordings, calibration, shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Score, is_sparse, usual_score
from harness.errors import DataError
from harness.evaluation.calibration import Calibration, calibration
from harness.evaluation.intervals import Estimate, Jackknife, estimates, jackknife, measured_coverage, score_interval
from harness.evaluation.predictions import ScoredTrack, by_recording
from harness.evaluation.shifts import Shifts, score_shifts
from harness.kinds.part import Measure
from harness.kinds.parts import Parts, Placed, parts_of
from harness.words import counted

# How many recordings are named that move a score most.
MOST_INFLUENTIAL = 5


@dataclass(frozen=True)
class ColumnReport:
    """One class, unit or value: its frames and recordings, and the most influential one, which moves what it is judged by most.

    Attributes
    ----------
    part : what it is a column of.
    frames : those labelled as the class, or active of the unit, or labelled at all with the value.
    recordings : how many have such a frame.
    hangs_on : the most influential recording; None of a column without any frame.
    largest_share : the share of `frames` in that recording.
    without : what the column is judged by, over all other recordings.
    """

    name: str
    part: str
    frames: int
    recordings: int
    hangs_on: str | None
    largest_share: float
    without: float


@dataclass(frozen=True)
class Influence:
    """A recording, its labelled frames, and the score of all others."""

    recording: str
    frames: int
    without: float


@dataclass(frozen=True, eq=False)
class FrameSet:
    """Scores over one set of labelled frames.

    Attributes
    ----------
    frames : how many have a label in any field.
    usual_score : the challenge's score in its usual edition (harness.challenge.usual_score).
    supported_score : the same over the columns with enough frames.
    score : the challenge's score in the edition asked for.
    measures : all measures by name, those of columns and those of all columns of a part together.
    supported_measures : the latter over the columns with enough frames.
    columns : every class, unit and value.
    sums : (size,), see harness.kinds.parts.
    """

    frames: int
    usual_score: Estimate
    supported_score: Estimate
    score: Estimate
    measures: Mapping[str, Estimate]
    supported_measures: Mapping[str, Estimate]
    columns: tuple[ColumnReport, ...]
    sums: NDArray


@dataclass(frozen=True)
class TrackReport:
    """One track: labelled frames, those of them with a face, and its scores.

    Attributes
    ----------
    nearness : how near answers and labels are (harness.kinds.parts.Parts.nearness); None for a track without labels.
    measures : what it scores, over the columns its labels have; nothing of a part without labels.
    most_labelled, most_answered : of each part the class, unit or part of the range that most frames have; parts without any
        are left out.
    """

    track: str
    recording: str
    rows: int
    labelled: int
    with_face: int
    nearness: float | None
    measures: Mapping[str, float]
    most_labelled: Mapping[str, str]
    most_answered: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The evaluation of a split's answers.

    Attributes
    ----------
    supported : the columns with enough labelled frames to be judged.
    score : the challenge's score in the edition asked for.
    recordings : how many recordings have a labelled frame.
    coverage : how often a 95 % interval held the truth in simulations of at most so many recordings, None where none were made.
    all_labelled, with_face : scores over all labelled frames, imputed ones included, and over those that have a face, if any has.
    constant, constant_score : the answer (fields,) that scores best when it is always given, and its usual score.
    influences : the recordings without which the usual score changes most; where it has several terms, those of each as well.
    shifts : the usual score at shifted labels; None where frames do not follow one another.
    calibration : of the classes of the labelled frames with a face; None where there are no probabilities of classes.
    """

    challenge: Challenge
    supported: tuple[str, ...]
    score: Score
    recordings: int
    coverage: float | None
    all_labelled: FrameSet
    with_face: FrameSet | None
    constant: NDArray
    constant_score: float
    influences: Mapping[str, tuple[Influence, ...]]
    shifts: Shifts | None
    calibration: Calibration | None
    tracks: tuple[TrackReport, ...]

    @property
    def parts(self) -> Parts:
        """The parts of the challenge."""
        return parts_of(self.challenge)


def evaluate(
    tracks: Sequence[ScoredTrack],
    challenge: Challenge,
    score: Score | None = None,
    unsmoothed: Sequence[ScoredTrack] | None = None,
) -> Evaluation:
    """Scores the answers to a split; `score` is that of the edition asked for, by default the usual one.

    Shifted labels are looked for in the `unsmoothed` answers to the same tracks where there are any: smoothing hides them.

    Raises DataError if no frame of `tracks` is labelled, ValueError if a label or answer is not one of its field's.
    """
    parts, usual = parts_of(challenge), usual_score(challenge)
    labelled = [track for track in tracks if parts.labelled(track.labels).any()]
    if not labelled:
        raise DataError("no frame is labelled, so there is nothing to score", found=_some(tracks))
    judge = _Judge(parts, usual, score or usual, labelled)
    frames = judge.frame_set(with_face=False)
    constant = parts.constant(frames.sums)
    always = np.sum([parts.sums(track.labels, np.resize(constant, track.labels.shape)) for track in labelled], axis=0)
    return Evaluation(
        challenge=challenge,
        supported=tuple(name for name, enough in zip(parts.columns, judge.supported, strict=True) if enough),
        score=score or usual,
        recordings=len(judge.recordings),
        coverage=measured_coverage(len(judge.recordings), usual),
        all_labelled=frames,
        with_face=judge.frame_set(with_face=True) if judge.has_faces else None,
        constant=constant,
        constant_score=float(parts.score(always, usual)),
        influences=judge.influences(),
        shifts=None if is_sparse(challenge) else score_shifts(labelled if unsmoothed is None else unsmoothed, challenge),
        calibration=_calibration(labelled),
        tracks=tuple(track_report(track, challenge) for track in tracks),
    )


class _Judge:
    """Measures the answers to labelled tracks, over all frames and over those with a face, recording by recording."""

    def __init__(self, parts: Parts, usual: Score, score: Score, tracks: Sequence[ScoredTrack]) -> None:
        self.parts, self.usual, self.score, self.tracks = parts, usual, score, tracks
        self.recordings, self.sums = by_recording(tracks, [track.sums(parts) for track in tracks])
        self.supported = parts.supported_over_recordings(self.sums)
        self.judging = parts.judging(self.supported)
        self.pooled = tuple(name for name, measure in parts.measures.items() if not measure.column)

    @property
    def has_faces(self) -> bool:
        """Whether any labelled frame has a face."""
        return bool(self._rows(with_face=True).any())

    def frame_set(self, with_face: bool) -> FrameSet:
        """Scores over all labelled frames, or over those that have a face."""
        tracks, parts = self.tracks, self.parts
        sums = by_recording(tracks, [track.sums(parts, with_face) for track in tracks])[1] if with_face else self.sums
        result = jackknife(sums, self._scores)
        low, high = np.array(self._bounds()).T
        usual, supported, score, *rest = estimates(result, partial(score_interval, low=low, high=high))
        names = tuple(parts.measures)
        return FrameSet(
            frames=int(self._rows(with_face).sum()),
            usual_score=usual,
            supported_score=supported,
            score=score,
            measures=dict(zip(names, rest[: len(names)], strict=True)),
            supported_measures=dict(zip(self.pooled, rest[len(names) :], strict=True)),
            columns=self._columns(sums),
            sums=sums.sum(axis=0),
        )

    def influences(self) -> dict[str, tuple[Influence, ...]]:
        """The recordings that the usual score and each of its terms hang on most."""
        terms = [name for _, name in self.usual.parts]
        found = {"score": self._influences(jackknife(self.sums, lambda sums: self.parts.score(sums, self.usual)))}
        for name in terms if len(terms) > 1 else ():
            found[name] = self._influences(jackknife(self.sums, self.parts.measures[name].of))
        return found

    def _influences(self, result: Jackknife) -> tuple[Influence, ...]:
        order = np.argsort(-np.abs(result.influence), kind="stable")[:MOST_INFLUENTIAL]
        rows = self._rows(with_face=False)
        return tuple(Influence(self.recordings[r], int(rows[r]), float(result.without[r])) for r in order)

    def _rows(self, with_face: bool) -> NDArray[np.int64]:
        """The labelled rows (R,) of each recording."""
        counts = [self.parts.labelled(one.labels[one.has_face] if with_face else one.labels).sum() for one in self.tracks]
        return by_recording(self.tracks, [np.asarray(count, dtype=np.int64) for count in counts])[1]

    def _scores(self, sums: NDArray) -> NDArray[np.float64]:
        """The usual score, that of supported columns, the edition's, all measures, and those of supported columns (..., n)."""
        parts, judging = self.parts, self.judging
        scores = [parts.score(sums, self.usual), judging.score(sums, self.usual), parts.score(sums, self.score)]
        measures = [measure.of(sums) for measure in parts.measures.values()]
        return np.stack([*scores, *measures, *(judging.measure(sums, name) for name in self.pooled)], axis=-1)

    def _bounds(self) -> list[tuple[float, float]]:
        measures = [*self.parts.measures.values(), *(self.parts.measures[name] for name in self.pooled)]
        scores = [self.parts.bounds(score) for score in (self.usual, self.usual, self.score)]
        return [*scores, *((measure.low, measure.high) for measure in measures)]

    def _columns(self, sums: NDArray) -> tuple[ColumnReport, ...]:
        frames, result = self.parts.column_frames(sums), jackknife(sums, self.parts.column_scores)
        of_part = [own.part.name for own in self.parts.placed for _ in own.part.columns]
        reports = []
        for c, (name, part) in enumerate(zip(self.parts.columns, of_part, strict=True)):
            total, moved = frames[:, c].sum(), np.abs(result.influence[:, c])
            # Among recordings that move it equally, the one with most frames.
            most = max(range(len(sums)), key=lambda r: (moved[r], frames[r, c]))
            reports.append(
                ColumnReport(
                    name=name,
                    part=part,
                    frames=int(total),
                    recordings=int((frames[:, c] > 0).sum()),
                    hangs_on=self.recordings[most] if total else None,
                    largest_share=float(frames[most, c] / total) if total else 0.0,
                    without=float(result.without[most, c]),
                )
            )
        return tuple(reports)


def _calibration(tracks: Sequence[ScoredTrack]) -> Calibration | None:
    known = [track.reliability for track in tracks if track.reliability is not None]
    return calibration(known) if len(known) == len(tracks) else None


def track_report(track: ScoredTrack, challenge: Challenge) -> TrackReport:
    """One track in numbers; without labels there are no scores."""
    parts = parts_of(challenge)
    sums, rows = track.sums(parts), parts.labelled(track.labels)
    return TrackReport(
        track=track.name,
        recording=track.recording,
        rows=len(track.labels),
        labelled=int(rows.sum()),
        with_face=int((track.has_face & rows).sum()),
        nearness=float(parts.nearness(sums)) if rows.any() else None,
        measures={measure.name: float(measure.of(sums[own.sums])) for own in parts.placed for measure in _of_track(own, sums)},
        most_labelled=parts.most_frequent(track.labels),
        most_answered=parts.most_frequent(track.answers),
    )


def _of_track(own: Placed, sums: NDArray) -> Sequence[Measure]:
    """What is measured of a part in one track: over the columns its labels have, all of them together where there are several."""
    there = own.part.column_frames(sums[own.sums]) > 0
    return own.part.judging(tuple(there.tolist())).pooled if there.any() else ()


def _some(tracks: Sequence[ScoredTrack]) -> str:
    return f"{counted(len(tracks), 'track')} without labels: {', '.join(track.name for track in tracks[:3])}"
