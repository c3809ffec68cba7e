"""`harness report`: one self-contained HTML page about runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, postprocessing_options
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show

if TYPE_CHECKING:
    from harness.report.content import RunContent
    from harness.report.faces import Faces
    from harness.runs.store import Run

REPORTS = Path("reports")
LONGEST_STEM = 120
NOTE_SUFFIXES = (".txt", ".md")
LARGEST_NOTES = 100_000
MB = 1_000_000


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
@click.option("--faces", is_flag=True, help="Put small pictures of the faces into the page: personal data, so off by default.")
@click.option(
    "--faces-limit",
    cls=RareOption,
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    metavar="MB",
    help="Room in the page for all faces together.",
)
@click.option("--title", default="", help="Title of the page. [default: the names of the runs]")
@click.option("--notes", default="", metavar="TEXT", help="Text below the title, or the .txt or .md file that holds it.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="File to write. [default: reports/RUNS-SPLIT.html]")
def command(
    run_names: tuple[str, ...],
    split: str,
    data: str | None,
    labels: str | None,
    edition: int | None,
    timelines: int,
    faces: bool,
    faces_limit: float,
    title: str,
    notes: str,
    out: Path | None,
    **postprocessing: Any,
) -> None:
    """Write one page about runs: scores with intervals, classes, units and values, curves, timelines, gaps, comparison, settings,
    provenance.

    The first run is the one the others are compared with. The page is one file that loads nothing, to be opened, kept or mailed;
    in it two runs can be seen beside one another.

    \b
    Examples:
      harness report res50-a res50-b --split val
      harness report res50-a --faces --title "Backbone of Friday" --notes notes.md
    """
    from harness import files
    from harness.progress import TaskProgress
    from harness.report.page import render
    from harness.runs import store

    runs = [store.find(name) for name in dict.fromkeys(run_names)]
    place = out or REPORTS / f"{'+'.join(run.name for run in runs)[:LONGEST_STEM]}-{split}.html"
    files.refuse_unwritable(place)
    said = _read_notes(notes)
    contents = _gather(runs, split, data, labels, edition, timelines, postprocessing)
    pictures = _take_faces(contents, faces_limit) if faces else None
    with TaskProgress("timelines", sum(len(one.chosen) for one in contents), "timeline") as bar:
        page = render(contents, bar.update, pictures, title, said)
    files.write_text(place, page)
    show(f"report: {place} ({place.stat().st_size / MB:.1f} MB)")
    show("next: open it in a browser")


def _read_notes(notes: str) -> str:
    """The text itself, or that of the file it names. Raises DataError for a file that is not there or no text."""
    from harness import files
    from harness.errors import DataError

    if not notes.lower().endswith(NOTE_SUFFIXES) or "\n" in notes:
        return notes
    try:
        return files.read_bytes(Path(notes), LARGEST_NOTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the notes are not UTF-8 text", path=Path(notes), remedy="save them as UTF-8") from error


def _gather(
    runs: Sequence[Run],
    split: str,
    data: str | None,
    labels: str | None,
    edition: int | None,
    timelines: int,
    postprocessing: dict[str, Any],
) -> list[RunContent]:
    """What the page says of each run, with the same tracks to look at."""
    from harness.challenge import format_of
    from harness.commands.shared.options import make_postprocessing
    from harness.commands.shared.submitting import root_of
    from harness.progress import tracked
    from harness.report.content import drawn_alike, gather
    from harness.report.page import timelines_of_each
    from harness.rows.labelled import with_labels

    each = timelines_of_each(len(runs), timelines)
    contents = []
    for run in tracked(runs, "runs", len(runs), "run"):
        root = root_of(run, data)
        root = root if labels is None else with_labels(root, split, labels)
        settings, frame_rate = make_postprocessing(postprocessing, run)
        score = format_of(root.challenge.name, edition).score
        contents.append(gather(run, split, root, settings, score, frame_rate, each))
    return drawn_alike(contents, each)


def _take_faces(contents: Sequence[RunContent], limit: float) -> Faces:
    """The pictures of faces for the page, and a line about what that means."""
    from harness.progress import TaskProgress
    from harness.report.faces import faces_of
    from harness.words import counted

    with TaskProgress("faces", unit="picture") as bar:
        faces = faces_of(contents, round(MB * limit), bar.update)
    pictures = counted(faces.count, "picture")
    show(f"faces: {pictures} in the page, which are personal data: share it only with those who may see the data set")
    return faces
