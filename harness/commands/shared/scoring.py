"""What evaluate and compare score: a run by its name, or a path with a submission's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import files
from harness.challenge import Score, format_of
from harness.commands.shared.options import find_data, make_postprocessing, say
from harness.commands.shared.submitting import root_of
from harness.data.tracks import DataRoot
from harness.errors import DataError
from harness.evaluation.evaluate import Evaluation, evaluate
from harness.evaluation.predictions import TrackPredictions
from harness.postprocess.smooth import describe_unsmoothed
from harness.runs import store
from harness.runs.provenance import learned_from
from harness.runs.store import Run

if TYPE_CHECKING:
    from harness.postprocess.chain import PostProcessing


@dataclass(frozen=True)
class Scored:
    """One thing to score, with the predictions that were read or made.

    `unsmoothed` are the predictions without smoothing, where smoothing changes anything; `settings` the post-processing of a run.
    `other_labels` says that the labels were given although the split has labels of its own.
    """

    name: str
    run: Run | None
    class_names: tuple[str, ...]
    score: Score
    tracks: Sequence[TrackPredictions]
    unsmoothed: Sequence[TrackPredictions] | None
    settings: dict[str, Any] | None
    other_labels: bool = False

    def evaluate(self) -> Evaluation:
        """The evaluation as it stands."""
        return evaluate(self.tracks, self.class_names, self.score)

    def evaluate_unsmoothed(self) -> Evaluation | None:
        """The evaluation without smoothing, None where there is no smoothing."""
        return None if self.unsmoothed is None else evaluate(self.unsmoothed, self.class_names, self.score)


def find_scored(
    name: str,
    split: str,
    data: str | None,
    edition: int | None,
    postprocessing: Mapping[str, Any],
    labels: str | None = None,
) -> Scored:
    """The predictions of the run called `name`, or of the text at that path, beside the labels of the split.

    `edition` decides how they are scored; by default it is that of the text, or the 5th. `labels` names a folder of label files
    to use instead of the split's own. Raises DataError if there is neither run nor text, or if the split has no labels.
    """
    from harness.data.scan import scan
    from harness.rows.labelled import has_labels

    form = format_of("EXPR", edition)
    if _is_run(name):
        run = store.find(name)
        settings, frame_rate = make_postprocessing(postprocessing, run)
        _say_what_was_learned_here(run, split)
        if not postprocessing.get("untuned"):
            _say_what_was_chosen_here(run, split)
        own = root_of(run, data)
        scored = _of_run(run, split, _labelled(own, split, labels), settings, frame_rate, form.score)
        return replace(scored, other_labels=labels is not None and has_labels(own, split))
    path = Path(name)
    if not path.exists():
        raise DataError(f"neither a run nor a file or folder is called {name!r}", remedy="`harness runs` lists the runs")
    return _of_text(path, split, _labelled(scan(find_data(data).path), split, labels), edition)


def _labelled(root: DataRoot, split: str, labels: str | None) -> DataRoot:
    from harness.rows.labelled import with_labels

    return root if labels is None else with_labels(root, split, labels)


def _say_what_was_learned_here(run: Run, split: str) -> None:
    """Warns that a score says nothing where a run was trained on what it is scored on."""
    learners = learned_from(run, split)
    if learners:
        say(f"warning: {', '.join(learners)} learned from these tracks, so the score says nothing about others")


def _say_what_was_chosen_here(run: Run, split: str) -> None:
    """Warns that a score flatters where a run's settings were chosen by the very labels it is scored on."""
    if not (run.path / store.TUNED).is_file():
        return
    tuned = files.read_json(run.path / store.TUNED)
    if tuned.get("split") == split:
        say(
            f"note: the post-processing of {run.name} was chosen on this split, so its score flatters; "
            f"what was chosen gained {tuned['inside']:+.3f} here and {tuned['outside']['value']:+.3f} outside the choice"
        )


def _is_run(name: str) -> bool:
    return any((place / "run.json").is_file() for place in (store.RUNS / name, Path(name)))


def _of_run(run: Run, split: str, root: DataRoot, settings: PostProcessing, frame_rate: float | None, score: Score) -> Scored:
    from harness.rows.labelled import labelled_tracks, of_run
    from harness.rows.predictions import RunPredictions

    labelled_tracks(root, split)
    predictions = RunPredictions(run, split, settings, root, frame_rate)
    tracks = of_run(predictions, root)
    unsmoothed = None
    if settings.in_time:
        unknown = predictions.unsmoothed()
        line = describe_unsmoothed(unknown, len(tracks))
        if line:
            say(line)
        if settings.seconds > 0 and len(unknown) < len(tracks):
            unsmoothed = of_run(RunPredictions(run, split, replace(settings, seconds=0.0), root, frame_rate), root)
    return Scored(run.name, run, run.class_names, score, tracks, unsmoothed, settings.as_dict())


def _of_text(path: Path, split: str, root: DataRoot, edition: int | None) -> Scored:
    from harness.submission.reader import of_text

    answer, tracks = of_text(path, root, split, edition)
    return Scored(str(path), None, answer.form.challenge.class_names, answer.form.score, tracks, None, None)
