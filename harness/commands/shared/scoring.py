"""What evaluate and compare score: a run by its name, or a path with a submission's text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.challenge import format_of
from harness.commands.shared.options import find_data, make_postprocessing, say
from harness.commands.shared.submitting import root_of
from harness.data.tracks import DataRoot
from harness.errors import DataError
from harness.evaluation.predictions import Scored
from harness.runs import store


def find_scored(
    name: str,
    split: str,
    data: str | None,
    edition: int | None,
    postprocessing: Mapping[str, Any],
    labels: str | None = None,
) -> tuple[Scored, bool]:
    """The predictions of the run called `name`, or of the text at that path, and whether other labels than the split's are used.

    `edition` decides how they are scored; by default it is that of the text, or the 5th. `labels` names a folder of label files
    to use instead of the split's own. Raises DataError if there is neither run nor text, or if the split has no labels.
    """
    from harness.data.scan import scan
    from harness.rows.labelled import has_labels, scored_run
    from harness.selection.stored import cautions
    from harness.submission.reader import of_text

    score = format_of("EXPR", edition).score
    if any((place / "run.json").is_file() for place in (store.RUNS / name, Path(name))):
        run = store.find(name)
        settings, frame_rate = make_postprocessing(postprocessing, run)
        for line in cautions(run, split, postprocessing.get("untuned", False)):
            say(line)
        own = root_of(run, data)
        scored = scored_run(run, split, _labelled(own, split, labels), settings, frame_rate, score)
        for line in scored.notes:
            say(line)
        return scored, labels is not None and has_labels(own, split)
    path = Path(name)
    if not path.exists():
        raise DataError(f"neither a run nor a file or folder is called {name!r}", remedy="`harness runs` lists the runs")
    answer, tracks = of_text(path, _labelled(scan(find_data(data).path), split, labels), split, edition)
    return Scored(str(path), answer.form.challenge.class_names, tracks, answer.form.score), False


def _labelled(root: DataRoot, split: str, labels: str | None) -> DataRoot:
    from harness.rows.labelled import with_labels

    return root if labels is None else with_labels(root, split, labels)
