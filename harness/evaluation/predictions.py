"""What is scored: the answers to each track beside its labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import MACRO_F1, Challenge, Score
from harness.evaluation.calibration import Reliability, reliability
from harness.kinds.parts import Parts, parts_of
from harness.runs.store import Run


@dataclass(frozen=True, eq=False)
class ScoredTrack:
    """The answers to one track and its labels, row by row.

    Attributes
    ----------
    name, recording : the track and the recording it was filmed in.
    labels : int8 (rows,) of a challenge of one field, else (rows, fields), int8 or float64; each field's `ignore` where nobody
        labelled the frame.
    answers : the same of what was predicted, in every row.
    has_face : (rows,) bool, False where the face is missing and the answer imputed.
    reliability : what the labelled frames with a face contribute to a reliability diagram, and
    confidence : the mean probability of the decoded class; None for answers read from text and for those that are no classes.
    """

    name: str
    recording: str
    labels: NDArray[Any]
    answers: NDArray[Any]
    has_face: NDArray[np.bool_]
    reliability: Reliability | None = None
    confidence: float | None = None

    def sums(self, parts: Parts, with_face: bool = False) -> NDArray:
        """The sums (size,) over the labelled frames, or over those that have a face."""
        kept = self.has_face if with_face else slice(None)
        return parts.sums(self.labels[kept], self.answers[kept])

    def decoded(self, answers: NDArray[Any], values: NDArray[np.float64], parts: Parts) -> ScoredTrack:
        """The same track with answers decoded from probabilities and values (rows, columns), of which only sums are kept.

        The probabilities of a split fill gigabytes; its labels and classes take two bytes a row.
        """
        own, faces = parts.class_part, self.has_face
        if own is None:
            return replace(self, answers=answers)
        labels, classes = (rows.reshape(len(rows), -1)[:, own.fields] for rows in (self.labels, answers))
        probabilities = values[:, own.columns]
        chosen = np.take_along_axis(probabilities, classes.astype(np.intp), axis=1)
        return replace(
            self,
            answers=answers,
            reliability=reliability(probabilities[faces], labels[faces, 0]),
            confidence=float(chosen.mean()) if len(chosen) else 0.0,
        )


@dataclass(frozen=True, eq=False)
class Scored:
    """What is evaluated or compared: the predictions of a run, a submission or a text file.

    Attributes
    ----------
    score : the challenge's score in the edition asked for.
    run, settings : the run and its post-processing as plain values; None for a text.
    scores : sha256 of the index of the run's scores that were read.
    unsmoothed : the predictions without smoothing, where smoothing changes anything.
    held_out : the sums (R, size) of the labelled recordings in the order of their names, each under settings that were chosen
        without it; None where nothing was chosen by these labels, or that is not known.
    notes : what is to be said of the predictions, one line each.
    seeds : where several seeds of a recipe stand for it, all of them by name; the rest is then that of the first.
    """

    name: str
    challenge: Challenge
    tracks: Sequence[ScoredTrack]
    score: Score = MACRO_F1
    run: Run | None = None
    settings: dict[str, Any] | None = None
    scores: str | None = None
    unsmoothed: Sequence[ScoredTrack] | None = None
    held_out: NDArray | None = None
    notes: tuple[str, ...] = ()
    seeds: Mapping[str, Scored] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """The parts of the challenge."""
        return parts_of(self.challenge)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes; none of a challenge of values."""
        return self.challenge.class_names


def by_recording(tracks: Sequence[ScoredTrack], sums: Iterable[NDArray]) -> tuple[list[str], NDArray]:
    """Recordings in order of appearance, and for each the sum (R, size) of the `sums` (size,) of its tracks, left and right."""
    found: dict[str, NDArray] = {}
    for track, own in zip(tracks, sums, strict=True):
        found[track.recording] = found[track.recording] + own if track.recording in found else own
    return list(found), np.stack(list(found.values()))


def sums_by_recording(scored: Scored) -> tuple[list[str], NDArray]:
    """The recordings with a labelled frame in the order of their names, and their sums (R, size)."""
    parts = scored.parts
    labelled = sorted((track for track in scored.tracks if parts.labelled(track.labels).any()), key=lambda track: track.recording)
    if not labelled:
        return [], np.zeros((0, parts.size), dtype=parts.dtype)
    return by_recording(labelled, [track.sums(parts) for track in labelled])
