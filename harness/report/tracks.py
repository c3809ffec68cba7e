"""Timelines of tracks, from a run's stored scores or from a submission's text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR, Challenge
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, HarnessError, near_names
from harness.evaluation.predictions import ScoredTrack
from harness.findings import printable
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
        return track.decoded(plain.classes, plain.probabilities, self.predictions.parts)

    def timeline(self, name: str) -> Timeline:
        """The timeline of one track."""
        record = self.predictions.index.tracks[name]
        after = self.predictions.predict(name)
        before = self._before.predict(name) if self.smooths(name) else None
        track = self.predictions.tracks.get(name)
        return Timeline(
            track=name,
            rows=record.rows,
            class_names=self.predictions.index.class_names,
            decoded=after.classes,
            labels=None if track is None else track.labels,
            imputed=after.imputed,
            probabilities=after.probabilities,
            unsmoothed=None if before is None else before.probabilities,
            frame_rate=self.predictions.rate(name),
        )


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
    timeline = _of_values(track, frames, values, verdict.form.challenge)
    if timeline.class_names == EXPR.class_names and timeline.decoded is not None:
        with_scores = _from_record(path, track, timeline.decoded, root, frame_rate, notes)
        timeline = with_scores or _with_data(timeline, root, frame_rate, notes)
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


def _of_values(track: str, frames: NDArray[np.int32], values: NDArray[Any], challenge: Challenge) -> Timeline:
    """The values (rows, fields) of a track's text by the kind of their fields, each at its frame (rows,)."""
    rows = int(frames.max())
    decoded = None
    units, reals = {}, {}
    for column, one in enumerate(challenge.fields):
        if one.kind == "real":
            reals[one.name] = np.full(rows, np.nan)
            reals[one.name][frames - 1] = values[:, column]
            continue
        labels = np.full(rows, -1, np.int8)
        labels[frames - 1] = values[:, column]
        if one.kind == "class":
            decoded = labels
        else:
            units[one.name] = labels
    return Timeline(track, rows, challenge.class_names, decoded, units=units, reals=reals)


def _record_content(path: Path) -> dict[str, Any]:
    place = path / RECORD_NAME
    return dict(parse_record(files.read_bytes(place, LARGEST_RECORD), str(place)).content) if place.is_file() else {}


def _from_record(
    path: Path, track: str, decoded: NDArray[np.int8], root: DataRoot | None, frame_rate: float | None, notes: list[str]
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
        timeline = SmoothedPair(predictions).timeline(track)
        same = is_unchanged(run, predictions.split, made_from)
    except (HarnessError, KeyError, IndexError, TypeError) as error:
        notes.append(f"no probabilities: {str(error).splitlines()[0]}")
        return None
    if not same or timeline.decoded is None or not np.array_equal(timeline.decoded, decoded):
        notes.append(f"the run {name} has changed since: no probabilities")
        return None
    notes.append(f"probabilities from the run {name}")
    return timeline


def _with_data(timeline: Timeline, root: DataRoot | None, frame_rate: float | None, notes: list[str]) -> Timeline:
    """The timeline with labels, missing faces and frame rate of the data root, if it has this track with as many rows."""
    known: Track | None = None
    if root is not None:
        known = next((track for track in root.tracks if track.name == timeline.track), None)
        if known is not None and known.rows != timeline.rows:
            notes.append(f"{root.path} has {known.rows:,} rows of this track, so its labels are not shown")
            known = None
    if known is None:
        return replace(timeline, frame_rate=frame_rate)
    return replace(timeline, labels=known.labels, imputed=~with_image(known), frame_rate=known.frame_rate or frame_rate)
