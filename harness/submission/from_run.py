"""Writes the submission of a run's split from its decoded rows. Needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.challenge import format_of
from harness.data.sample import Sample
from harness.rows.predictions import RunPredictions
from harness.runs import provenance
from harness.runs.lineage import lineage, refuse_outdated
from harness.submission.build import build
from harness.submission.expected import rows_of


@dataclass
class Written:
    """What was written.

    Attributes
    ----------
    rows, imputed : rows in all, and those of them without a face.
    unreadable : images that could not be read, whose rows are among the imputed.
    tracks : number of tracks.
    faceless : tracks without any face.
    unsmoothed : tracks that were to be smoothed and were not, for their frame rate is unknown.
    """

    directory: Path
    rows: int = 0
    imputed: int = 0
    unreadable: int = 0
    tracks: int = 0
    faceless: list[str] = field(default_factory=list)
    unsmoothed: list[str] = field(default_factory=list)


def write_submission(
    predictions: RunPredictions, directory: Path, edition: int | None, sample: Sample | None, record: Mapping[str, Any]
) -> Written:
    """Writes the submission of a run's split, whole or not at all; `record` is added to submission.json.

    Of a track of which a submission asks for some frames only these are written, a frame as often as it is asked for.
    Raises MismatchError if the scores are not of what the run is now, or if it is written anew meanwhile.
    """
    run = predictions.run
    refuse_outdated(run, predictions.split)
    # Before the rows, after which is asked whether the run is still the same.
    of_run = lineage(run, predictions.split)
    records = predictions.index.tracks
    written = Written(directory, tracks=len(records), unsmoothed=predictions.unsmoothed())
    written.unreadable = sum(len(entry.unreadable) for entry in records.values())
    tracks = []
    for prediction in predictions:
        answers = predictions.of_lines(prediction.track, prediction.classes)
        tracks.append((prediction.track, answers))
        written.rows += len(answers)
        written.imputed += int(predictions.of_lines(prediction.track, prediction.imputed).sum())
        if prediction.imputed.all():
            written.faceless.append(prediction.track)
    made_from = {
        "runs": [of_run],
        "split": predictions.split,
        "code": {"git_commit": provenance.git_commit(), "versions": provenance.versions()},
        "data_fingerprint": None if predictions.root is None else predictions.root.fingerprint(),
        "data": run.manifest.get("data", {}),
        "postprocessing": predictions.settings.as_dict(),
        "frame_rate": predictions.frame_rate,
        "imputed_rows": written.imputed,
        **({"embedded": True} if predictions.root is not None and predictions.root.embedded else {}),
        **record,
    }
    asked = sample or _lists(predictions, edition)
    # Else another process could make both anew before the folder takes its name: its run with the answer of this one.
    with predictions.kept():
        build(directory, tracks, predictions.parts.challenge, edition, asked, made_from)
    return written


def _lists(predictions: RunPredictions, edition: int | None) -> Sample | None:
    """The lines that the lists of a challenge name which takes some frames only; None where every frame is answered."""
    tracks = [predictions.tracks[name] for name in predictions.index.tracks if name in predictions.tracks]
    if all(track.asked is None for track in tracks):
        return None
    return Sample(rows_of(tracks), format_of(predictions.parts.challenge.name, edition).header.encode())
