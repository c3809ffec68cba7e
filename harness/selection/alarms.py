"""Signs that a run knows labels it must not have seen, or that runs are copies: in what is stored of its answers to each split.

All of it looks at single frames as they were scored, before filling and smoothing, and needs no settings. A sign is no proof: an
alarm says what was found, with its figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import format_of
from harness.data.tracks import DataRoot, Track
from harness.evaluation.intervals import Jackknife, jackknife
from harness.kinds.parts import Parts
from harness.postprocess.chain import seen_values
from harness.rows.predictions import parts_of_run
from harness.runs import scores
from harness.runs.lineage import models_of
from harness.runs.store import Run
from harness.selection.yardstick import Yardstick
from harness.words import number, percent

# So many tracks of a split are looked at, evenly spaced: enough to see a leak by, and soon read.
MOST_TRACKS = 80

# With fewer recordings a difference between splits says nothing.
FEWEST_RECORDINGS = 5

# A difference counts from so many standard errors on, more of them between runs, of which there are many pairs; and from so large
# a part of what scores can differ by.
SURE_IN_ERRORS, SURE_OF_PAIRS = 4.0, 5.0
LEAST_SHARE = 0.05

# Two runs that agree on more than this of all frames are one run twice: other seeds of a recipe agree on 70 to 95 %.
COPY_FROM = 0.999

# An error this much smaller than that of recordings that err (the worst tenth), which must be so large, is none; in at least so
# many recordings.
EXACT_SHARE, ERRING, LEAST_ERROR, FEWEST_EXACT = 0.05, 0.9, 0.05, 3
# Labels change where they have so many frames on either side.
CHANGING_FRAMES = 10

# Nobody believes a score above the highest that was ever reported by more than a fifth.
BEYOND_REPORTED = 1.2


@dataclass(frozen=True)
class Known:
    """Answers to one track: frame numbers (S,), what single frames were decoded to (S, fields), and their mean probability."""

    frames: NDArray[np.int32]
    answers: NDArray[Any]
    sureness: float


@dataclass(eq=False)
class StoredAnswers:
    """What a run answers to single frames of its splits, each track read once."""

    run: Run
    root: DataRoot
    _known: dict[tuple[str, str], Known] = field(default_factory=dict)

    @cached_property
    def parts(self) -> Parts:
        """The parts of its challenge."""
        return parts_of_run(self.run)

    def tracks(self, split: str) -> list[Track]:
        """Some tracks of a split that the run has scored, evenly spaced; none of a split it has not."""
        if split not in self.run.splits():
            return []
        stored = scores.read_index(self.run, split).tracks
        tracks = [track for track in self.root.members(split) if track.name in stored and stored[track.name].rows == track.rows]
        return tracks[:: max(1, -(-len(tracks) // MOST_TRACKS))]

    def of(self, split: str, name: str) -> Known:
        """Its answers to a track."""
        if (split, name) not in self._known:
            stored = scores.read_track(self.run, split, name)
            values = seen_values(stored.score, scores.read_index(self.run, split).kind, self.parts)
            sure = [own.part.sureness(values[:, own.columns]) for own in self.parts.placed]
            self._known[split, name] = Known(
                stored.frame, self.parts.decode(values), float(np.mean(sure)) if len(values) else 0.0
            )
        return self._known[split, name]

    def sums(self, split: str) -> tuple[list[str], NDArray]:
        """The labelled recordings among its tracks, and the sums (R, size) over their scored frames."""
        found: dict[str, NDArray] = {}
        for track in self.tracks(split):
            if track.labels is not None:
                known = self.of(split, track.name)
                labels = track.labels.reshape(track.rows, -1)[known.frames - 1]
                if self.parts.labelled(labels).any():
                    found[track.recording] = found.get(track.recording, 0) + self.parts.sums(labels, known.answers)
        return list(found), np.stack([*found.values()]) if found else np.zeros((0, self.parts.size))


def alarms(runs: Sequence[Run], root: DataRoot, split: str) -> list[str]:
    """What is alarming about runs and their members on a split of `root`, one sentence each; nothing where all is well."""
    models = {model.name: model for run in runs for model, _ in models_of(run, split)}
    # An ensemble is like its members: these are compared with one another, not it with them.
    single = [StoredAnswers(model, root) for model in models.values() if not model.manifest.get("members")]
    whole = [StoredAnswers(run, root) for run in runs if run.manifest.get("members")]
    found = [line for one in (*single, *whole) for line in alarms_of_one(one, split)]
    return [*found, *(line for pair in combinations(single, 2) for line in alarms_of_two(*pair, split))]


def alarms_of_one(answers: StoredAnswers, split: str) -> Iterator[str]:
    """What one run's scores say: above those of what it learned from, hardly possible, or exact in some recordings alone."""
    run, (recordings, sums) = answers.run, answers.sums(split)
    if len(sums) < FEWEST_RECORDINGS or split in _learned(run):
        return
    score = format_of(answers.parts.challenge.name).score
    for easier in _to_be_scored_higher(run, split):
        other = answers.sums(easier)[1]
        if len(other) < FEWEST_RECORDINGS:
            continue
        # Only what both splits have enough of is compared.
        both = answers.parts.supported_over_recordings(sums) & answers.parts.supported_over_recordings(other)
        yardstick = Yardstick(answers.parts, score, tuple(both.tolist()))
        here, there = (jackknife(one, yardstick.of) for one in (sums, other))
        if _above(here, there, yardstick.width, SURE_IN_ERRORS, trusted=there):
            figures = f"{number(float(here.estimate))} on {split}, {number(float(there.estimate))} on {easier}"
            yield (
                f"{run.name} scores higher on {split} than on {easier} ({figures}, {score.words} of single frames): "
                f"were labels of {split} used in its training?"
            )
    exact = _exact(answers, sums)
    if len(exact) >= FEWEST_EXACT:
        names = ", ".join(recordings[place] for place in exact[:FEWEST_EXACT])
        yield (
            f"{run.name} is as good as exact in {len(exact)} of {len(sums)} recordings of {split} and errs in the others: "
            f"{names}, ... may have been learned"
        )
    value = float(answers.parts.score(sums.sum(axis=0), score))
    if score.reported is not None and not answers.root.embedded and value > BEYOND_REPORTED * score.reported:
        yield (
            f"{run.name} scores {number(value)} on {split}, {score.words} of single frames; the highest that was reported on "
            f"validation is {number(score.reported)}"
        )


def _to_be_scored_higher(run: Run, split: str) -> list[str]:
    """The splits on which a run has to score at least as high as on `split`: those it learned from; validation beside test."""
    learned = [name for name in _learned(run) if name != split]
    return [*learned, *(["val"] if split == "test" and "val" not in learned else [])]


def _above(higher: Jackknife, lower: Jackknife, width: float, errors: float, trusted: Jackknife) -> bool:
    """Whether one score is above the other by so many standard errors, and by a part of the `width` of all scores.

    How far recordings differ is measured where nothing is suspected: those that were learned differ from the others all the more.
    """
    difference = float(higher.estimate - lower.estimate)
    spread = float(trusted.standard_error) * np.sqrt(len(trusted.without))
    error = spread * np.sqrt(1 / len(higher.without) + 1 / len(lower.without))
    return difference > LEAST_SHARE * width and difference > errors * error


def _exact(answers: StoredAnswers, sums: NDArray) -> list[int]:
    """The recordings in which hardly anything is wrong though their labels change, if in others much is."""
    errors = answers.parts.error(sums)
    usual = float(np.quantile(errors, ERRING))
    exact = (usual >= LEAST_ERROR) & (errors <= EXACT_SHARE * usual) & answers.parts.varied(sums, CHANGING_FRAMES)
    return np.flatnonzero(exact).tolist()


def alarms_of_two(first: StoredAnswers, second: StoredAnswers, split: str) -> Iterator[str]:
    """What two runs say of each other: that they are copies, or agree otherwise on one split than on another unseen one."""
    if first.parts.columns != second.parts.columns:
        return
    here = agreement(first, second, split)
    if here is None:
        return
    if float(here.estimate) >= COPY_FROM:
        yield f"{first.run.name} and {second.run.name} give the same answers on {split}: to average them adds nothing"
        return
    known = {*_learned(first.run), *_learned(second.run)}
    for other in sorted({"val", "test"} - {split, *known}) if split not in known else ():
        there = agreement(first, second, other)
        if there is None:
            continue
        alike = min(here, there, key=lambda one: float(one.standard_error) * np.sqrt(len(one.without)))
        if _above(here, there, 1.0, SURE_OF_PAIRS, alike) or _above(there, here, 1.0, SURE_OF_PAIRS, alike):
            yield (
                f"{first.run.name} and {second.run.name} agree on {percent(float(here.estimate), 1)} of {split} and on "
                f"{percent(float(there.estimate), 1)} of {other}: one of them may know labels of one of the two"
            )


def _learned(run: Run) -> tuple[str, ...]:
    return tuple(run.manifest.get("data", {}).get("splits", ()))


def agreement(first: StoredAnswers, second: StoredAnswers, split: str) -> Jackknife | None:
    """How far two runs say the same of the frames that both scored, at most 1; None for too few recordings.

    That is the share of equal classes, of equal answers to units, and the CCC of values; of several parts the mean.
    """
    known = {track.name for track in second.tracks(split)}
    sums: dict[str, NDArray] = {}
    for track in first.tracks(split):
        if track.name in known:
            one, other = first.of(split, track.name), second.of(split, track.name)
            both, mine, its = np.intersect1d(one.frames, other.frames, assume_unique=True, return_indices=True)
            if len(both):
                own = first.parts.sums(one.answers[mine], other.answers[its])
                sums[track.recording] = sums.get(track.recording, 0) + own
    if len(sums) < FEWEST_RECORDINGS:
        return None
    return jackknife(np.stack([*sums.values()]), first.parts.likeness)
