"""What evaluate and compare score: a run by its name, or a path with a submission's text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.challenge import EXPR, challenge_named
from harness.commands.shared.options import find_data, given_settings, make_postprocessing, say
from harness.commands.shared.submitting import root_of
from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.evaluation.predictions import Scored
from harness.runs import store
from harness.runs.lineage import learned_from, outdated


@dataclass(frozen=True)
class Found:
    """What there is to score, beside labels of `root`; `by_hand` says why this is not the run's own evaluation of the split."""

    scored: Scored
    root: DataRoot
    by_hand: str | None = None


def find_scored(
    name: str,
    split: str,
    data: str | None,
    edition: int | None,
    postprocessing: Mapping[str, Any],
    labels: str | None = None,
    challenge: str | None = None,
) -> Found:
    """The predictions of the run called `name`, or of the text at that path, beside the labels of the split.

    `edition` decides how they are scored; by default it is that of the text, or the usual one. `challenge` is what a text
    answers, by default what its first lines tell. `labels` names a folder of label files to use instead of the split's own.

    Raises DataError if there is neither run nor text, or if the split has no labels, UsageError for a run of another challenge.
    """
    from harness.api import scored
    from harness.data.scan import scan
    from harness.report.tracks import recorded_data
    from harness.rows.labelled import has_labels
    from harness.submission.reader import challenge_of

    if any((place / "run.json").is_file() for place in (store.RUNS / name, Path(name))):
        run = store.find(name)
        settings, frame_rate = make_postprocessing(postprocessing, run)
        learners = learned_from(run, split)
        if learners:
            say(f"warning: {', '.join(learners)} learned from these tracks, so the score says nothing about others")
        for line in outdated(run, split):
            say(f"warning: {line}")
        own = root_of(run, data)
        if challenge is not None and challenge_named(challenge).name != own.challenge.name:
            raise UsageError(f"the run {name} is of {own.challenge.name}", found=f"--challenge {challenge}")
        labelled = _labelled(own, split, labels)
        found = scored(run, labelled, split, edition, settings, frame_rate)
        for line in found.notes:
            say(line)
        if labels is not None and has_labels(own, split):
            return Found(found, labelled, f"these are not the labels that the split {split!r} has itself")
        if given_settings(postprocessing) or postprocessing.get("untuned") or postprocessing.get("fps") is not None:
            return Found(found, labelled, "this is not the post-processing that the run comes with")
        return Found(found, labelled)
    path = Path(name)
    if not path.exists():
        raise DataError(f"neither a run nor a file or folder is called {name!r}", remedy="`harness runs` lists the runs")
    told = challenge_named(challenge or challenge_of(path) or EXPR.name)
    root = _labelled(scan(find_data(data, recorded_data(path)).path, challenge=told, needs_images=False), split, labels)
    return Found(scored(path, root, split, edition), root)


def _labelled(root: DataRoot, split: str, labels: str | None) -> DataRoot:
    from harness.rows.labelled import with_labels

    return root if labels is None else with_labels(root, split, labels)
