"""Timelines of tracks, from a run's stored scores or from a submission's text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import Challenge
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, HarnessError, near_names
from harness.evaluation.predictions import ScoredTrack
from harness.findings import printable
from harness.kinds.classes import ClassPart
from harness.kinds.parts import Parts, Placed, parts_of
from harness.kinds.reals import RealPart
from harness.kinds.units import UnitPart
from harness.postprocess.chain import PostProcessing
from harness.report.timeline import Timeline
from harness.rows.labelled import with_image
from harness.rows.predictions import RunPredictions
from harness.runs import store
from harness.runs.lineage import is_unchanged
from harness.runs.store import Run
from harness.submission.checks import check
from harness.submission.record import LARGEST_RECORD, RECORD_NAME, parse_record

# Far more frames than any recording has: ten hours at 30 frames a second.
LONGEST_TRACK = 1_080_000

# Values read from text are at most this far from those that were written.
WRITTEN_DIGITS = 1e-6


@dataclass(eq=False)
class SmoothedPair:
    """The predictions of a run's split after smoothing, and before it where smoothing acts on a track."""

    predictions: RunPredictions

    def __post_init__(self) -> None:
        """The same predictions frame by frame."""
        self._before = replace(self.predictions, settings=self.predictions.settings.frame_by_frame)

    def smooths(self, track: str) -> bool:
        """Whether smoothing changes anything in this track."""
        return self.predictions.settings.in_time and self.predictions.rate(track) is not None

    def before(self, track: ScoredTrack) -> ScoredTrack | None:
        """The same track's predictions before smoothing; None where smoothing changes nothing."""
        if not self.smooths(track.name):
            return None
        plain = self._before.predict(track.name)
        answers, values = (self.predictions.of_lines(track.name, rows) for rows in (plain.classes, plain.probabilities))
        return track.decoded(answers, values, self.predictions.parts)

    def timeline(self, name: str) -> Timeline:
        """The timeline of one track."""
        record, parts = self.predictions.index.tracks[name], self.predictions.parts
        after = self.predictions.predict(name)
        before = self._before.predict(name) if self.smooths(name) else None
        track = self.predictions.tracks.get(name)
        answered = by_kind(after.classes, parts)
        return Timeline(
            track=name,
            rows=record.rows,
            class_names=parts.challenge.class_names,
            decoded=answered.classes,
            imputed=after.imputed & asked_for(track, record.rows),
            probabilities=_of_classes(after.probabilities, parts),
            unsmoothed=None if before is None else _of_classes(before.probabilities, parts),
            units=answered.units,
            reals=answered.reals,
            rough_reals={} if before is None else by_kind(before.classes, parts).reals,
            frame_rate=self.predictions.rate(name),
            **_labels(None if track is None else track.labels, parts),
        )


def asked_for(track: Track | None, rows: int) -> NDArray[np.bool_]:
    """Which rows (rows,) a submission needs: all, or of a challenge that takes some frames those that its lists name."""
    wanted = np.ones(rows, dtype=bool)
    if track is not None and track.asked is not None:
        wanted[:] = False
        wanted[track.asked - 1] = True
    return wanted


@dataclass(eq=False)
class ByKind:
    """Rows of a track by the kind of their parts: the class (rows,), units and values (rows,) by name, NaN for no value."""

    classes: NDArray[np.int8] | None = None
    units: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    reals: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def by_kind(rows: NDArray[Any], parts: Parts) -> ByKind:
    """Answers or labels (rows, fields) of a track, or (rows,) of a challenge of one field, by the kind of their parts."""
    table, found = rows.reshape(len(rows), -1), ByKind()
    for own in parts.placed:
        _TAKEN[type(own.part)](found, own, table[:, own.fields])
    return found


def _take_classes(found: ByKind, own: Placed, columns: NDArray[Any]) -> None:
    found.classes = columns[:, 0].astype(np.int8)


def _take_units(found: ByKind, own: Placed, columns: NDArray[Any]) -> None:
    found.units |= {field.name: column.astype(np.int8) for field, column in zip(own.part.fields, columns.T, strict=True)}


def _take_reals(found: ByKind, own: Placed, columns: NDArray[Any]) -> None:
    (field,) = own.part.fields
    found.reals[field.name] = np.where(columns[:, 0] == field.ignore, np.nan, columns[:, 0])


_TAKEN: Mapping[type, Callable[[ByKind, Placed, NDArray[Any]], None]] = {
    ClassPart: _take_classes,
    UnitPart: _take_units,
    RealPart: _take_reals,
}


def _of_classes(values: NDArray[np.float64], parts: Parts) -> NDArray[np.float64] | None:
    """The probabilities (rows, C) among the columns (rows, columns); None of a challenge without classes."""
    own = parts.class_part
    return None if own is None else values[:, own.columns]


def _labels(labels: NDArray[Any] | None, parts: Parts) -> dict[str, Any]:
    """What a timeline says of labels."""
    if labels is None:
        return {}
    truth = by_kind(labels, parts)
    return {"labels": truth.classes, "unit_labels": truth.units, "real_labels": truth.reals}


@dataclass(frozen=True)
class Inspected:
    """A timeline, and what is to be said beside it: where it is from and what is not known, one sentence each."""

    timeline: Timeline
    notes: tuple[str, ...]


def of_run(run: Run, track: str, settings: PostProcessing, root: DataRoot | None, frame_rate: float | None) -> Inspected:
    """The timeline of a track in whichever split of the run holds it. Raises DataError with near names if none does."""
    names: list[str] = []
    for split in run.splits():
        predictions = RunPredictions(run, split, settings, root, frame_rate)
        if track in predictions.index.tracks:
            pair = SmoothedPair(predictions)
            note = "" if pair.smooths(track) or not settings.smooths else ", not smoothed: its frame rate is unknown"
            return Inspected(pair.timeline(track), (f"scores of the run {run.name}, split {split}{note}",))
        names += predictions.index.tracks
    raise _no_track(track, names, run.path)


def of_submission(path: Path, track: str, root: DataRoot | None, frame_rate: float | None) -> Inspected:
    """The timeline of a track in a submission's text, with the scores behind it as far as they are at hand.

    Scores are used if the submission's record names a run that is still the same below runs/ and decodes to the same classes.
    Raises DataError if the text is no submission, or with near names if it has no such track.
    """
    verdict = check(path)
    if verdict.form is None:
        raise DataError("not a submission", path=path, remedy=f"`harness validate {path}` says what is wrong")
    if track not in verdict.values:
        raise _no_track(track, list(verdict.values), path)
    is_frame = verdict.frames[track] > 0
    values, frames = verdict.values[track][is_frame], verdict.frames[track][is_frame]
    if not len(values):
        remedy = f"`harness validate {path}` names what is wrong"
        raise DataError(f"no row of the track {track!a} can be read", path=path, remedy=remedy)
    notes = [f"text of {path}: {verdict.form.name}"]
    errors = verdict.findings.number("error")
    if errors:
        count = f"{errors:,} error{'s' * (errors > 1)}"
        notes.append(f"the submission has {count}, so frames may be out of place; `harness validate {path}` names them")
    if frames.max() > LONGEST_TRACK:
        raise DataError(
            f"the track {track!a} is too long to be shown",
            path=path,
            found=f"frame {frames.max()}",
            expected=f"at most {LONGEST_TRACK:,}",
            remedy=f"`harness validate {path}` checks the image names",
        )
    if len(frames) < frames.max():
        notes.append(f"the text has {len(frames):,} of the frames 1 to {frames.max():,}; the others are shown as unknown")
    known, rows = _known_track(track, frames, root, verdict.form.challenge, notes)
    timeline = _of_values(track, frames, values, verdict.form.challenge, rows)
    with_scores = _from_record(path, timeline, frames, values, root, frame_rate, notes)
    timeline = with_scores or _with_data(timeline, known, verdict.form.challenge, frame_rate)
    return Inspected(timeline, tuple(notes))


def recorded_data(path: Path) -> str | None:
    """The data root of the run that the submission at `path` was made from, as that run remembers it; None if that is unknown."""
    try:
        runs = _record_content(path).get("runs", [])
        where = store.find(runs[0]["name"]).manifest.get("where", {})
        return str(where["data"]) if where.get("data") else None
    except (HarnessError, KeyError, IndexError, TypeError, AttributeError):
        return None


def _no_track(track: str, names: Sequence[str], path: Path) -> DataError:
    # Files of others may be called anything.
    known = tuple(printable(name) for name in names)
    found = near_names(printable(track), known) if known else "no tracks at all"
    return DataError(f"no track called {track!a}", path=path, found=found)


def _known_track(
    name: str, frames: NDArray[np.int32], root: DataRoot | None, challenge: Challenge, notes: list[str]
) -> tuple[Track | None, int]:
    """The track of the data root, if that is of this challenge and has it with as many rows, and how many rows it has."""
    rows = int(frames.max())
    known = None
    if root is not None and len(root.challenge.fields) == len(challenge.fields):
        known = next((track for track in root.tracks if track.name == name), None)
    if root is None or known is None:
        return None, rows
    # Where some frames of a track are asked for, it goes on after the last of them.
    if known.rows == rows or (known.asked is not None and known.rows > rows):
        return known, known.rows
    notes.append(f"{root.path} has {known.rows:,} rows of this track, so its labels are not shown")
    return None, rows


def _of_values(track: str, frames: NDArray[np.int32], values: NDArray[Any], challenge: Challenge, rows: int) -> Timeline:
    """The values (lines, fields) of a track's text by the kind of their fields, each at its frame (lines,)."""
    parts = parts_of(challenge)
    table = parts.unlabelled(rows).reshape(rows, -1)
    table[frames - 1] = values.reshape(len(values), -1)
    answered = by_kind(table, parts)
    return Timeline(track, rows, challenge.class_names, answered.classes, units=answered.units, reals=answered.reals)


def _record_content(path: Path) -> dict[str, Any]:
    place = path / RECORD_NAME
    return dict(parse_record(files.read_bytes(place, LARGEST_RECORD), str(place)).content) if place.is_file() else {}


def _from_record(
    path: Path,
    text: Timeline,
    frames: NDArray[np.int32],
    values: NDArray[Any],
    root: DataRoot | None,
    frame_rate: float | None,
    notes: list[str],
) -> Timeline | None:
    """The timeline with the scores of the run the submission was made from; None, and a note, if they are not those any more."""
    try:
        content = _record_content(path)
        if not content.get("runs"):
            return None
        made_from = content["runs"][0]
        name = str(made_from["name"])
        run = Run(store.RUNS / files.safe_name(name, "the run's name"))
        if not run.manifest_path.is_file():
            notes.append(f"made from the run {name}, which is not here: no probabilities")
            return None
        rate = content.get("frame_rate") if frame_rate is None else frame_rate
        predictions = RunPredictions(run, str(content["split"]), PostProcessing.from_dict(content["postprocessing"]), root, rate)
        answers = predictions.predict(text.track).classes
        timeline = SmoothedPair(predictions).timeline(text.track)
        same = is_unchanged(run, predictions.split, made_from) and len(answers) >= frames.max()
    except (HarnessError, KeyError, IndexError, TypeError) as error:
        notes.append(f"no probabilities: {str(error).splitlines()[0]}")
        return None
    # Values are written with fewer digits than they have.
    if not same or not np.allclose(answers[frames - 1].reshape(values.shape), values, rtol=0.0, atol=WRITTEN_DIGITS):
        notes.append(f"the run {name} has changed since: no probabilities")
        return None
    notes.append(f"probabilities from the run {name}")
    return timeline


def _with_data(timeline: Timeline, known: Track | None, challenge: Challenge, frame_rate: float | None) -> Timeline:
    """The timeline with labels, missing faces and frame rate of the data root's track, if it is known."""
    if known is None:
        return replace(timeline, frame_rate=frame_rate)
    labels = _labels(known.labels, parts_of(challenge))
    return replace(
        timeline, imputed=~with_image(known) & asked_for(known, known.rows), frame_rate=known.frame_rate or frame_rate, **labels
    )
