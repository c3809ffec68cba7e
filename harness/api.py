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
    from harness.inference.settings import Scoring
    from harness.runs.store import Run
    from harness.submission.checks import Verdict


def open_data(
    path: str | Path | None = None, run: Run | None = None, sample: str | Path | None = None, challenge: str | None = None
) -> DataRoot:
    """The tracks of a data root: of `path`, else of the one that `run` was trained on.

    The crops are those the run was trained on. `sample` is an official sample file to take instead of the root's own; `challenge`
    is by default the run's, else EXPR.

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
    return scan(Path(place), crops=crops_of(manifest, Path(place)), sample=own, challenge=wanted)


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


def evaluate(what: Run | str | Path, root: DataRoot, split: str = "val", edition: int | None = None) -> Evaluation:
    """The score of a run, or of the official text at a path, against the labels of a split, with intervals.

    A run is judged with the post-processing that it comes with, as `harness evaluate` does without options; nothing is stored.
    `edition` decides the score, by default that of the text, or the usual one. Raises DataError if the split has no labels, or
    scores or text cannot be read.
    """
    from harness.evaluation.evaluate import evaluate as evaluate_tracks
    from harness.rows.labelled import scored_run
    from harness.runs.store import Run
    from harness.selection.stored import stored_settings
    from harness.submission.reader import of_text

    if not isinstance(what, Run):
        answer, tracks = of_text(Path(what), root, split, edition)
        return evaluate_tracks(tracks, answer.form.challenge, answer.form.score)
    stored = stored_settings(what)
    score = format_of(root.challenge.name, edition).score
    scored = scored_run(what, split, root, stored.settings, stored.frame_rate, score)
    return evaluate_tracks(scored.tracks, scored.challenge, scored.score, scored.unsmoothed)


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
