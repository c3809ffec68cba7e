"""What a report says of one run, gathered from its folder: scores, tracks, gaps, curves, and the tracks worth looking at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from harness import files
from harness.challenge import Challenge, Score
from harness.data.tracks import DataRoot, recording_of
from harness.errors import DataError
from harness.evaluation.evaluate import Evaluation, TrackReport, evaluate, track_report
from harness.evaluation.predictions import Scored, ScoredTrack
from harness.kinds.parts import Parts, parts_of
from harness.postprocess.chain import PostProcessing
from harness.report.densities import Densities, empty_densities
from harness.report.timeline import true_stretches
from harness.report.tracks import SmoothedPair
from harness.rows.labelled import has_labels, of_run
from harness.rows.predictions import RunPredictions
from harness.runs import scores, store
from harness.runs.store import Run
from harness.selection.expectation import Expectation, expect
from harness.training import metrics


@dataclass(frozen=True)
class FacelessStretch:
    """A stretch of frames without a face: its first frame (1-based), its length, and what lies on both its sides."""

    track: str
    first: int
    length: int
    place: str  # "start", "inside", "end" or "whole track"
    seconds: float | None


@dataclass(frozen=True)
class TrackSummary(TrackReport):
    """One track of a run's split in numbers.

    Attributes
    ----------
    missing : rows without a face; `longest` the longest stretch of them.
    changes, changes_before : how often a predicted class or unit changes, after and before smoothing; None of values, the latter
        also if nothing was smoothed.
    smoothed : whether smoothing acts on it.
    confidence : mean probability of the predicted class; None where answers are no classes.
    """

    missing: int
    longest: int
    changes: int | None
    changes_before: int | None
    smoothed: bool
    confidence: float | None


@dataclass(frozen=True)
class SplitSummary:
    """The scores of one split that a run holds: tracks, rows, seen and skipped frames, unreadable images, kind of score."""

    split: str
    tracks: int
    rows: int
    seen: int
    skipped: int
    unreadable: int
    kind: str


@dataclass(frozen=True, eq=False)
class RunContent:
    """One run on one split.

    Attributes
    ----------
    evaluation, unsmoothed : with and without smoothing; None where there are no labels, or nothing was smoothed.
    gaps : all stretches without a face, the longest first.
    chosen : names of the tracks to look at, and why.
    pair : makes the timeline of a track.
    curves : the lines of metrics.jsonl.
    tuned : what tuning or fitting stored with the run; empty if nothing was chosen on labels.
    densities : of a challenge of two values how many frames have which pair of them.
    scored, expectation : the predictions beside labels, and what they let expect of other recordings; None without labels.
    """

    run: Run
    manifest: Mapping[str, Any]
    split: str
    settings: PostProcessing
    challenge: Challenge
    evaluation: Evaluation | None
    unsmoothed: Evaluation | None
    tracks: tuple[TrackSummary, ...]
    gaps: tuple[FacelessStretch, ...]
    chosen: tuple[tuple[str, str], ...]
    pair: SmoothedPair
    curves: Sequence[Mapping[str, Any]]
    splits: tuple[SplitSummary, ...]
    tuned: Mapping[str, Any]
    densities: Densities | None = None
    scored: Scored | None = None
    expectation: Expectation | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def smoothed(self) -> bool:
        """Whether any track was smoothed."""
        return any(track.smoothed for track in self.tracks)

    @property
    def parts(self) -> Parts:
        """The parts of the challenge."""
        return parts_of(self.challenge)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, of one part or of all; none of a challenge without classes."""
        return self.challenge.class_names


def gather(
    run: Run,
    split: str,
    root: DataRoot,
    settings: PostProcessing,
    score: Score,
    frame_rate: float | None = None,
    timelines: int = 12,
) -> RunContent:
    """Reads a run's scores of `split` track by track; at most `timelines` tracks are chosen to be looked at.

    Raises DataError if the run has no complete scores of the split, MismatchError if they are of other rows than `root` has.
    """
    predictions = RunPredictions(run, split, settings, root, frame_rate)
    pair, challenge = SmoothedPair(predictions), predictions.parts.challenge
    labelled = has_labels(root, split)
    after = of_run(predictions, root) if labelled else _without_labels(predictions)
    summaries: list[TrackSummary] = []
    gaps: list[FacelessStretch] = []
    compared: list[ScoredTrack] = []
    before: list[ScoredTrack] = []
    densities = empty_densities(challenge)
    for track in after:
        densities = densities and densities.with_track(track)
        unsmoothed = pair.before(track)
        summaries.append(_summary(track, unsmoothed, challenge))
        gaps += _gaps(track, predictions)
        if labelled:
            compared.append(track)
            before.append(unsmoothed or track)
    smoothed = any(summary.smoothed for summary in summaries)
    evaluation = evaluate(compared, challenge, score, before if smoothed else None) if labelled else None
    scored = Scored(run.name, challenge, compared, score, run, settings.as_dict()) if labelled else None
    return RunContent(
        run=run,
        manifest=run.manifest,
        split=split,
        settings=settings,
        challenge=challenge,
        evaluation=evaluation,
        unsmoothed=evaluate(before, challenge, score) if labelled and smoothed else None,
        tracks=tuple(summaries),
        gaps=tuple(sorted(gaps, key=lambda gap: (-gap.length, gap.track, gap.first))),
        chosen=tuple(choose(summaries, timelines, predictions.parts)),
        pair=pair,
        curves=metrics.read(run),
        splits=tuple(_split_summaries(run)),
        tuned=_tuned(run),
        densities=densities,
        scored=scored,
        expectation=None if scored is None else expect(scored, split),
    )


def choose(tracks: Sequence[TrackSummary], count: int, parts: Parts) -> list[tuple[str, str]]:
    """At most `count` names of tracks worth looking at, each with the reason.

    Half of them the most wrong (without labels the least sure), then those with most missing frames, those that change most,
    the middle and the best; what is left is filled up with the most wrong.
    """
    if any(track.nearness is not None for track in tracks):
        ranked = sorted((track for track in tracks if track.nearness is not None), key=lambda track: track.nearness or 0.0)
    else:
        ranked = sorted(tracks, key=lambda track: track.confidence or 0.0)
    missing = sorted((track for track in tracks if track.missing), key=lambda track: -track.missing / track.rows)
    restless = sorted((track for track in tracks if track.changes), key=lambda track: -(track.changes or 0) / track.rows)
    middle = ranked[len(ranked) // 2 :][:1]
    wishes = [
        *((track, "worst") for track in ranked[: (count + 1) // 2]),
        *((track, "most frames without a face") for track in missing[: count // 6]),
        *((track, "changes most") for track in restless[: count // 6]),
        *((track, "middle") for track in middle),
        *((track, "best") for track in ranked[-1:]),
        *((track, "worst") for track in ranked),
    ]
    chosen: dict[str, str] = {}
    for track, why in wishes:
        if len(chosen) < count:
            chosen.setdefault(track.track, f"{why}: {_standing(track, parts)}")
    return list(chosen.items())


def _standing(track: TrackSummary, parts: Parts) -> str:
    """How good a track's answers are, in words; without labels how sure."""
    if track.nearness is not None:
        return f"{100 * track.nearness:.0f} % {'of its labelled frames correct' if parts.of_classes else 'near its labels'}"
    return "no label" if track.confidence is None else f"mean confidence {100 * track.confidence:.0f} %"


def drawn_alike(runs: Sequence[RunContent], count: int) -> list[RunContent]:
    """The runs with the same tracks to look at, at most `count`: the first wish of each run, then the second of each, ...

    What one run got most wrong is then seen beside what the others made of it. A run without one of these tracks leaves it out.
    """
    wishes = [wish for turn in zip_longest(*(run.chosen for run in runs)) for wish in turn if wish is not None]
    names = list(dict.fromkeys(name for name, _ in wishes))[:count]
    return [replace(run, chosen=tuple(_reasons(run, names))) for run in runs]


def _reasons(run: RunContent, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Those of the tracks that a run has, each with the reason why it is drawn."""
    own, summaries = dict(run.chosen), {track.track: track for track in run.tracks}
    for name in names:
        if name in summaries:
            yield name, own.get(name) or _standing(summaries[name], run.parts)


def _without_labels(predictions: RunPredictions) -> Iterator[ScoredTrack]:
    """The predictions of a split that nobody labelled, one at a time."""
    for prediction in predictions:
        name, rows = prediction.track, (prediction.classes, prediction.probabilities, ~prediction.imputed)
        answers, values, faces = (predictions.of_lines(name, one) for one in rows)
        plain = ScoredTrack(name, recording_of(name), predictions.parts.unlabelled(len(answers)), answers, faces)
        yield plain.decoded(answers, values, predictions.parts)


def _summary(track: ScoredTrack, before: ScoredTrack | None, challenge: Challenge) -> TrackSummary:
    return TrackSummary(
        **vars(track_report(track, challenge)),
        missing=int((~track.has_face).sum()),
        longest=max((length for _, length in true_stretches(~track.has_face)), default=0),
        changes=_changes(track, challenge),
        changes_before=None if before is None else _changes(before, challenge),
        smoothed=before is not None,
        confidence=track.confidence,
    )


def _changes(track: ScoredTrack, challenge: Challenge) -> int | None:
    """How often a class or a unit is another than in the row before; None where all answers are values."""
    whole = [place for place, field in enumerate(challenge.fields) if field.integral]
    answers = track.answers.reshape(len(track.answers), -1)[:, whole]
    return int((answers[1:] != answers[:-1]).sum()) if whole else None


def _gaps(track: ScoredTrack, predictions: RunPredictions) -> Iterator[FacelessStretch]:
    rows, rate, known = len(track.has_face), predictions.rate(track.name), predictions.tracks.get(track.name)
    frames = np.arange(1, rows + 1, dtype=np.int32)
    if known is not None and known.asked is not None:
        frames, rate = known.asked, None
    for start, length in true_stretches(~track.has_face):
        at_start, at_end = start == 0, start + length == rows
        place = "whole track" if at_start and at_end else "start" if at_start else "end" if at_end else "inside"
        yield FacelessStretch(track.name, int(frames[start]), length, place, None if rate is None else length / rate)


def _tuned(run: Run) -> Mapping[str, Any]:
    path = run.path / store.TUNED
    value = files.read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise DataError("not what tuning stores", path=path, remedy=f"`harness tune {run.name}` writes it anew")
    return value


def _split_summaries(run: Run) -> Iterator[SplitSummary]:
    for split in run.splits():
        index = scores.read_index(run, split)
        records = index.tracks.values()
        yield SplitSummary(
            split=split,
            tracks=len(records),
            rows=sum(record.rows for record in records),
            seen=sum(record.seen for record in records),
            skipped=sum(record.skipped for record in records),
            unreadable=sum(len(record.unreadable) for record in records),
            kind=index.kind,
        )
