"""`harness report`: one self-contained HTML page about runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, postprocessing_options
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show

REPORTS = Path("reports")
LONGEST_STEM = 120


@click.command("report", cls=Verb)
@click.argument("run_names", metavar="RUN...", shell_complete=completion.runs, nargs=-1, required=True)
@click.option("--split", default="val", show_default=True, help="Split to report on; without labels there are no scores.")
@data_option
@click.option("--labels", type=click.Path(), default=None, help="Folder of label files to use instead of the split's own.")
@postprocessing_options
@click.option(
    "--edition", cls=RareOption, type=int, default=None, help="Edition whose score is computed. [default: the usual one]"
)
@click.option(
    "--timelines", type=click.IntRange(min=1), default=12, show_default=True, help="Tracks drawn for each run; tables name all."
)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="File to write. [default: reports/RUNS-SPLIT.html]")
def command(
    run_names: tuple[str, ...],
    split: str,
    data: str | None,
    labels: str | None,
    edition: int | None,
    timelines: int,
    out: Path | None,
    **postprocessing: Any,
) -> None:
    """Write one page about runs: scores with intervals, classes, units and values, curves, timelines, gaps, comparison, settings,
    provenance.

    The first run is the one the others are compared with. The page is one file that loads nothing, to be opened, kept or mailed.

    \b
    Example:
      harness report res50-a res50-b --split val
    """
    from harness import files
    from harness.challenge import format_of
    from harness.commands.shared.options import make_postprocessing
    from harness.commands.shared.submitting import root_of
    from harness.progress import TaskProgress, tracked
    from harness.report.content import gather
    from harness.report.page import render, timelines_of_each
    from harness.rows.labelled import with_labels
    from harness.runs import store

    runs = [store.find(name) for name in dict.fromkeys(run_names)]
    place = out or REPORTS / f"{'+'.join(run.name for run in runs)[:LONGEST_STEM]}-{split}.html"
    files.refuse_unwritable(place)
    each = timelines_of_each(len(runs), timelines)
    contents = []
    for run in tracked(runs, "runs", len(runs), "run"):
        root = root_of(run, data)
        root = root if labels is None else with_labels(root, split, labels)
        settings, frame_rate = make_postprocessing(postprocessing, run)
        score = format_of(root.challenge.name, edition).score
        contents.append(gather(run, split, root, settings, score, frame_rate, each))
    with TaskProgress("timelines", sum(len(one.chosen) for one in contents), "timeline") as bar:
        page = render(contents, bar.update)
    files.write_text(place, page)
    show(f"report: {place} ({place.stat().st_size / 1e6:.1f} MB)")
    show("next: open it in a browser")
