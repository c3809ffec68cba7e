"""Predictions to score: of a run's stored scores, beside the labels of a data root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Score, formats_of, is_sparse, usual_score
from harness.data.annotations import load_labels
from harness.data.multitask import read_multitask
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.evaluation.predictions import Scored, ScoredTrack
from harness.findings import raise_first_error
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
    """`root` with the labels of a split taken from `directory`.

    It holds an annotation file for each of the tracks; of a challenge whose files have the rows of many tracks, such files. For
    labels that lie outside the annotation folders, as those of the embedded test split. Raises DataError if a file or a track is
    absent, or if its lines are not those of the track.
    """
    if is_sparse(root.challenge):
        return _with_listed_labels(root, split, Path(directory))
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


def _with_listed_labels(root: DataRoot, split: str, directory: Path) -> DataRoot:
    """The same for files with the rows of many tracks, which have to be those of the challenge's list."""
    paths = sorted(directory.glob("*.txt"))
    if not paths:
        raise DataError("there is no label file", path=directory, expected="files with rows of images and their labels")
    listed = {name: label_file for path in paths for name, label_file in read_multitask(path, root.challenge).items()}
    raise_first_error([finding for label_file in listed.values() for finding in label_file.findings])
    of_split = set(root.members(split))
    tracks = []
    for track in root.tracks:
        if track in of_split:
            found = listed.get(track.name)
            if found is None or not np.array_equal(np.asarray(found.asked), np.asarray(track.asked)):
                rows = "no row" if found is None else f"{len(found.labels if found.asked is None else found.asked)} rows"
                expected = f"the {track.lines} images of the challenge's list, in its order"
                raise DataError(f"the labels do not fit the track {track.name}", path=directory, found=rows, expected=expected)
            track = replace(track, labels=found.labels)
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
    return Scored(
        run.name,
        challenge,
        tracks,
        score or usual_score(challenge),
        run,
        settings.as_dict(),
        predictions.digest,
        unsmoothed,
        notes=notes,
    )


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
