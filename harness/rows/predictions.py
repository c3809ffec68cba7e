"""A run's stored scores to rows: each track post-processed and decoded. Needs no model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR
from harness.data.tracks import DataRoot, Track, every_nth
from harness.errors import DataError, MismatchError
from harness.kinds.parts import Parts, parts_named
from harness.postprocess.chain import PostProcessing, answers_of, row_values, seen_values
from harness.runs import scores, store
from harness.runs.lineage import run_digest
from harness.runs.remedies import scoring_remedy
from harness.runs.scores import FLIPPED, ScoreIndex, TrackRecord
from harness.runs.store import Run
from harness.words import counted


@dataclass(frozen=True, eq=False)
class PredictedTrack:
    """One track's rows.

    Attributes
    ----------
    probabilities : (rows, columns), of a challenge of values these.
    classes : the decoded answers: int8 (rows,) of a challenge of one field, else (rows, fields).
    imputed : bool (rows,), which rows are filled for want of a face.
    """

    track: str
    probabilities: NDArray[np.float64]
    classes: NDArray[Any]
    imputed: NDArray[np.bool_]


@dataclass(eq=False)
class RunPredictions:
    """The post-processed predictions of one split of a run, one track at a time.

    Attributes
    ----------
    root : the data set, for frame rates and skipped frames; None where only scores are at hand, which are then not smoothed.
    frame_rate : frames per second for tracks whose rate is unknown.
    stride : takes only every stride-th stored score of a track, as if the others had been skipped when the run was scored.
    digest : sha256 of the index of the scores that are read.

    Raises DataError if the run has no complete scores of the split, MismatchError if its rows are not those of the data root or
    if mirrored scores are wanted and are not of the same checkpoint and settings.
    """

    run: Run
    split: str
    settings: PostProcessing
    root: DataRoot | None
    frame_rate: float | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        """Reads the index of the scores, and looks whether they are of these data."""
        self._version = self._version_now()
        self.digest = self._version[1]
        self.index: ScoreIndex = scores.read_index(self.run, self.split)
        self.flipped = mirrored_index(self.run, self.split, self.index) if self.settings.flip else None
        self.tracks: dict[str, Track] = {track.name: track for track in self.root.members(self.split)} if self.root else {}
        if self.root is not None:
            self._compare(self.root)
        self.parts = parts_of_run(self.run)
        self.prior = prior_of(self.run, self.root)

    def _compare(self, root: DataRoot) -> None:
        """A submission has the rows of the data root of today; scores of other rows must be made again."""
        there = {name: track.rows for name, track in self.tracks.items()}
        if there and there != self.index.rows:
            names = [name for name in {**there, **self.index.rows} if there.get(name) != self.index.rows.get(name)]
            first = names[0]
            raise MismatchError(
                f"the scores are of other tracks or rows than the data root (in {counted(len(names), 'track')})",
                path=root.path,
                found=f"{first}: {self.index.rows.get(first, 'no')} rows in the scores, {there.get(first, 'none')} in the data",
                remedy=f"score these data: {scoring_remedy(self.run, self.split)}",
            )

    def rate(self, name: str) -> float | None:
        """The frame rate by which a track is smoothed; None where it is unknown."""
        track = self.tracks.get(name)
        known = None if track is None else track.frame_rate
        return known if known is not None else self.frame_rate

    def of_lines(self, name: str, rows: NDArray[Any]) -> NDArray[Any]:
        """Of what the frames of a track have (rows, ...), that of the lines a submission needs (lines, ...)."""
        track = self.tracks.get(name)
        return rows if track is None else track.of_lines(rows)

    def unsmoothed(self) -> list[str]:
        """The tracks that are to be smoothed and cannot be, for their frame rate is unknown."""
        return [name for name in self.index.tracks if self.settings.in_time and self.rate(name) is None]

    def __iter__(self) -> Iterator[PredictedTrack]:
        """The rows of every track. Raises MismatchError after the last if the run was rewritten while they were read.

        Nobody who only reads holds a lock: a run may lie where nothing can be written.
        """
        yield from map(self.predict, self.index.tracks)
        self._refuse_rewritten("its scores were read")

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """For the block that writes what was read: until its end no other run can be put in the place of this one.

        Raises MismatchError if the run was rewritten before, LockedError if that is being done.
        """
        with store.kept(self.run):
            self._refuse_rewritten("its answer was made")
            yield

    def _refuse_rewritten(self, meanwhile: str) -> None:
        if self._version_now() != self._version:
            raise MismatchError(
                f"the run {self.run.name!r} was rewritten while {meanwhile}",
                path=self.run.path,
                remedy="run the same command again",
            )

    def _version_now(self) -> list[str]:
        """What stands for the run and for all scores that are read of it."""
        splits = [self.split, self.split + FLIPPED] if self.settings.flip else [self.split]
        return [run_digest(self.run), *(scores.index_digest(self.run, split) for split in splits)]

    def predict(self, name: str) -> PredictedTrack:
        """The rows of one track."""
        record = self.index.tracks[name]
        stored, probabilities = seen_frames(
            self.run, self.parts, self.split, name, self.index, self.flipped, self.settings.temperature
        )
        frames = every_nth(stored, self.stride)
        rows, imputed = row_values(
            frames,
            probabilities[np.searchsorted(stored, frames)],
            record.rows,
            self.rate(name),
            self.settings,
            self.parts,
            self.prior,
            np.concatenate([self._skipped(name, record, stored), np.setdiff1d(stored, frames)]),
        )
        return PredictedTrack(name, rows, answers_of(rows, self.settings, self.rate(name), self.parts), imputed)

    def _skipped(self, name: str, record: TrackRecord, scored: NDArray[np.int32]) -> NDArray[np.int64]:
        """Frames with an image that were left out on purpose."""
        track = self.tracks.get(name)
        if record.skipped == 0 or track is None:
            return np.empty(0, dtype=np.int64)
        missing = np.union1d(scored, np.array(record.unreadable, dtype=np.int64))
        return np.setdiff1d(track.frames, missing).astype(np.int64)


def mirrored_index(run: Run, split: str, index: ScoreIndex) -> ScoreIndex:
    """The index of the scores of a split's mirrored images, to be averaged with those of `index`.

    Raises DataError if there are none, MismatchError if another checkpoint or other settings made them.
    """
    flipped = scores.read_index(run, split + FLIPPED)
    there, wanted = flipped.made_by(_OF_MIRRORING), index.made_by(_OF_MIRRORING)
    differing = [key for key in sorted(there.keys() | wanted.keys()) if there.get(key) != wanted.get(key)]
    if differing:
        raise MismatchError(
            f"the flipped scores of split {split!r} of {run.name} were not made as those they would be averaged with",
            path=scores.directory(run, split + FLIPPED),
            found="; ".join(f"{key} {there.get(key)}" for key in differing),
            expected="; ".join(f"{key} {wanted.get(key)}" for key in differing),
            remedy=scoring_remedy(run, split, flip=True, fresh=True),
        )
    return flipped


# What differs between the scores of a split and those of its mirrored images. The key of a set of features tells, too, whether
# the images were mirrored.
_OF_MIRRORING = ("flip", "features")


def seen_frames(
    run: Run,
    parts: Parts,
    split: str,
    name: str,
    index: ScoreIndex,
    flipped: ScoreIndex | None,
    temperature: float | tuple[float, ...],
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The numbers (S,) of a track's seen frames and their probabilities (S, C), with mirrored images averaged in if `flipped`.

    Raises MismatchError if the mirrored scores are of other frames.
    """
    stored = scores.read_track(run, split, name)
    probabilities = seen_values(stored.score, index.kind, parts, temperature)
    if flipped is not None:
        mirrored = scores.read_track(run, split + FLIPPED, name)
        if not np.array_equal(mirrored.frame, stored.frame):
            raise MismatchError(
                f"the flipped scores of the track {name} of {run.name}, split {split!r}, are of other frames",
                path=scores.directory(run, split + FLIPPED) / f"{name}.npz",
                found=f"{len(mirrored.frame)} frames",
                expected=f"the {len(stored.frame)} frames of the scores that are not flipped",
                remedy=scoring_remedy(run, split, flip=True, fresh=True),
            )
        probabilities = 0.5 * (probabilities + seen_values(mirrored.score, flipped.kind, parts, temperature))
    return stored.frame, probabilities


def parts_of_run(run: Run) -> Parts:
    """The parts of the challenge a run answers, by its name and columns in run.json; runs that name none are of EXPR."""
    return parts_named(str(run.manifest.get("challenge", EXPR.name)), run.class_names, str(run.manifest_path))


def prior_of(run: Run, root: DataRoot | None) -> list[float]:
    """What a track without any face is predicted as: the run's own shares and means, the data root's, or the official ones."""
    stored = run.manifest.get("prior")
    if stored:
        try:
            return [float(value) for value in stored]
        except (TypeError, ValueError) as error:
            raise DataError(
                "'prior' holds something else than numbers", path=run.manifest_path, found=str(stored)[:80]
            ) from error
    parts = parts_of_run(run)
    labels = [track.labels for track in (root.members("train") if root is not None else ()) if track.labels is not None]
    sums = np.sum([parts.label_only_sums(one) for one in labels], axis=0) if labels else np.zeros(parts.size)
    official = parts.challenge.training_frames
    if sums.sum() == 0 and official:
        return [float(value) for value in np.array(official) / np.sum(official)]
    return [float(value) for value in parts.prior(sums)]
