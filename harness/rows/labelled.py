"""Predictions to score: of a run's stored scores, beside the labels of a data root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Score, formats_of, usual_score
from harness.data.annotations import load_labels
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.evaluation.predictions import Scored, ScoredTrack
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing
from harness.postprocess.smooth import describe_unsmoothed
from harness.rows.predictions import PredictedTrack, RunPredictions
from harness.runs.store import Run


def has_labels(root: DataRoot, split: str) -> bool:
    """Whether any frame of a split is labelled."""
    parts = parts_of(root.challenge)
    return any(track.labels is not None and bool(parts.labelled(track.labels).any()) for track in root.members(split))


def labelled_tracks(root: DataRoot, split: str) -> tuple[Track, ...]:
    """The tracks of a split.

    Raises DataError if none of them has a labelled frame.
    """
    tracks = root.split(split)
    if not has_labels(root, split):
        raise DataError(
            f"the split {split!r} has no labels, so nothing can be scored on it",
            path=root.path,
            expected="annotation files of its tracks",
            remedy="score another split, for example --split val",
        )
    return tracks


def with_labels(root: DataRoot, split: str, directory: str | Path) -> DataRoot:
    """`root` with the labels of a split taken from `directory`, which holds an annotation file for each of its tracks.

    For labels that lie outside the annotation folders, as those of the embedded test split. Raises DataError if a file is absent
    or has another number of lines than the track has rows.
    """
    tracks = []
    of_split = set(root.members(split))
    editions = tuple(dict.fromkeys(form.challenge for form in reversed(formats_of(root.challenge))))
    for track in root.tracks:
        if track in of_split:
            path = Path(directory) / f"{track.name}.txt"
            labels = load_labels(path, editions)
            if len(labels) != track.rows:
                raise DataError(
                    "the labels do not fit the track", path=path, found=f"{len(labels)} labels", expected=f"{track.rows} rows"
                )
            track = replace(track, labels=labels)
        tracks.append(track)
    return replace(root, tracks=tuple(tracks))


def scored_run(
    run: Run, split: str, root: DataRoot, settings: PostProcessing, frame_rate: float | None = None, score: Score | None = None
) -> Scored:
    """A run's predictions of a split, with and without smoothing, beside the labels of `root`.

    Raises DataError if the split has no labels, and as RunPredictions does.
    """
    labelled_tracks(root, split)
    predictions = RunPredictions(run, split, settings, root, frame_rate)
    tracks, unknown = of_run(predictions, root), predictions.unsmoothed()
    unsmoothed = None
    if settings.in_time and len(unknown) < len(tracks):
        unsmoothed = of_run(replace(predictions, settings=settings.frame_by_frame), root)
    line = describe_unsmoothed(unknown, len(tracks))
    notes = () if line is None else (line,)
    challenge = predictions.parts.challenge
    return Scored(run.name, challenge, tracks, score or usual_score(challenge), run, settings.as_dict(), unsmoothed, notes=notes)


def of_run(predictions: RunPredictions, root: DataRoot) -> list[ScoredTrack]:
    """The predictions of a run's split beside the labels of `root`, whose tracks they cover, line by line."""
    tracks = labelled_tracks(root, predictions.split)
    images = any(len(track.frames) for track in tracks)
    by_name = {track.name: track for track in tracks}

    def scored(prediction: PredictedTrack) -> ScoredTrack:
        track = by_name[prediction.track]
        # Annotations may lie there without any crops; then only the run knows which frames it saw.
        faces = _was_readable(track, predictions) if images else ~prediction.imputed
        labels, answers = track.of_lines(labels_of(track, root.challenge)), track.of_lines(prediction.classes)
        plain = ScoredTrack(track.name, track.recording, labels, answers, track.of_lines(faces))
        return plain.decoded(answers, track.of_lines(prediction.probabilities), predictions.parts)

    return [scored(prediction) for prediction in predictions]


def labels_of(track: Track, challenge: Challenge) -> NDArray:
    """The labels of a track, (rows,) of a challenge of one field, else (rows, fields); all "not labelled" if it has none."""
    return parts_of(challenge).unlabelled(track.rows) if track.labels is None else track.labels


def _was_readable(track: Track, predictions: RunPredictions) -> NDArray[np.bool_]:
    """Which rows (rows,) have an image that the run did not find unreadable."""
    seen = with_image(track)
    seen[np.array(predictions.index.tracks[track.name].unreadable, dtype=np.int64) - 1] = False
    return seen


def with_image(track: Track) -> NDArray[np.bool_]:
    """Which rows (rows,) have an image."""
    seen = np.zeros(track.rows, dtype=bool)
    seen[track.frames - 1] = True
    return seen
