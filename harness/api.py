"""The harness from Python: what its verbs call, typed and stable. Everything here is a name of the package `harness`.

Each function imports what it needs: who validates a submission waits for no recipe and no data root.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.challenge import EXPR, challenge_named, format_of
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data.tracks import DataRoot
    from harness.evaluation.evaluate import Evaluation
    from harness.evaluation.predictions import Scored
    from harness.faces.video_prediction import VideoResult, VideoSettings
    from harness.inference.settings import Scoring
    from harness.postprocess.chain import PostProcessing
    from harness.runs.store import Run
    from harness.submission.checks import Verdict


WITHOUT_IMAGES = ("import", "ensemble")
"""Kinds of runs that hold answers and no network, so that their data may be labels and lists without any image."""


def open_data(
    path: str | Path | None = None, run: Run | None = None, sample: str | Path | None = None, challenge: str | None = None
) -> DataRoot:
    """The tracks of a data root: of `path`, else of the one that `run` was trained on.

    The crops are those the run was trained on; an imported run and an ensemble need none. `sample` is an official sample file to
    take instead of the root's own; `challenge` is by default the run's, else EXPR.

    Raises UsageError if neither names a data root, DataError naming what is wrong with it.
    """
    from harness.data.scan import scan
    from harness.recipes.places import crops_of

    manifest = {} if run is None else run.manifest
    place = path or manifest.get("where", {}).get("data")
    if place is None:
        raise UsageError("no data root was named", expected="its path, or a run that was trained on one")
    wanted = challenge_named(challenge or str(manifest.get("challenge", EXPR.name)))
    own = None if sample is None else Path(sample)
    answered = manifest.get("kind") in WITHOUT_IMAGES
    return scan(Path(place), crops=crops_of(manifest, Path(place)), sample=own, challenge=wanted, needs_images=not answered)


def predict(
    run: Run, root: DataRoot, split: str = "test", scoring: Scoring | None = None, say: Callable[[str], None] = lambda line: None
) -> bool:
    """Scores what is missing or stale of a split, stores it in the run, and returns whether the split is complete.

    A cross-validation scores with its folds. `say` is told what happens, a line at a time. Raises UsageError for an unknown split
    or setting, DataError for missing or damaged data, LockedError if another process scores the same.
    """
    from harness.inference.predict import predict as predict_run
    from harness.inference.settings import Scoring
    from harness.studies.crossval import is_crossval, predict_split

    asked = scoring or Scoring()
    if is_crossval(run):
        return predict_split(run, root, split, asked, say)
    return predict_run(run, root, split, asked, say).complete


def predict_video(
    run: Run,
    video: str | Path,
    out: str | Path | None = None,
    settings: VideoSettings | None = None,
    frame_rate: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> VideoResult:
    """The answers to each frame of a clip, as `harness predict --video` makes them: faces are cropped, scored and post-processed.

    Crops, text, table and annotated video lie below `out`, by default below the run's own folder; `settings` say whom to follow
    and how to find and score faces. `frame_rate` is used if the clip has none. Raises DataError if the clip cannot be read or the
    run has no network, MissingExtraError without PyAV or the detector.
    """
    from harness.faces.video_prediction import VideoSettings, default_directory
    from harness.faces.video_prediction import predict_video as predict_clip
    from harness.selection.stored import stored_settings

    stored, path = stored_settings(run), Path(video)
    directory = default_directory(run, path) if out is None else Path(out)
    rate = stored.frame_rate if frame_rate is None else frame_rate
    return predict_clip(run, path, directory, settings or VideoSettings(), stored.settings, rate, say=say)


def scored(
    what: Run | str | Path,
    root: DataRoot,
    split: str = "val",
    edition: int | None = None,
    settings: PostProcessing | None = None,
    frame_rate: float | None = None,
) -> Scored:
    """The answers of a run, or of the official text at a path, beside the labels of a split, track by track.

    `settings` and `frame_rate` are by default the post-processing that the run comes with; a text is what it is. Raises as
    `evaluate`.
    """
    from harness.evaluation.predictions import Scored
    from harness.rows.labelled import scored_run
    from harness.runs.store import Run
    from harness.selection.stored import stored_settings
    from harness.submission.reader import of_text

    if not isinstance(what, Run):
        answer, tracks = of_text(Path(what), root, split, edition)
        return Scored(str(what), answer.form.challenge, tracks, answer.form.score)
    if settings is None:
        stored = stored_settings(what)
        settings, frame_rate = stored.settings, stored.frame_rate if frame_rate is None else frame_rate
    return scored_run(what, split, root, settings, frame_rate, format_of(root.challenge.name, edition).score)


def evaluate(
    what: Run | str | Path,
    root: DataRoot,
    split: str = "val",
    edition: int | None = None,
    labels: str | Path | None = None,
) -> Evaluation:
    """The score of a run, or of the official text at a path, against the labels of a split, with intervals.

    A run is judged with the post-processing that it comes with, as `harness evaluate` does without options; nothing is stored.
    `edition` decides the score, by default that of the text, or the usual one. `labels` is a folder of label files to use instead
    of the split's own. Raises DataError if the split has no labels, or scores or text cannot be read.
    """
    from harness.evaluation.evaluate import evaluate as evaluate_tracks
    from harness.rows.labelled import with_labels

    found = scored(what, root if labels is None else with_labels(root, split, labels), split, edition)
    return evaluate_tracks(found.tracks, found.challenge, found.score, found.unsmoothed)


def validate(
    *paths: str | Path,
    sample: str | Path | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    rows: str | Path | None = None,
    challenge: str | None = None,
    edition: int | None = None,
) -> list[Verdict]:
    """What is to be said of each submission at `paths`: folders, text files or archives, or folders of submissions.

    They are checked against the first given of `sample`, `data` and `rows`, else against their own records. Raises DataError if
    there is no submission, or a reference cannot be read; a faulty submission is a verdict with findings.
    """
    from harness.submission import verdicts
    from harness.submission.checks import check

    places = [None if place is None else Path(place) for place in (sample, data, rows)]
    reference = verdicts.Reference(places[0], places[1], split, places[2])
    found = [submission for path in paths for submission in verdicts.submissions_at(Path(path))]
    return [check(submission, reference.of(submission), challenge, edition) for submission in found]
