"""`harness inspect`: one track's timeline, as a picture or as text."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, postprocessing_options
from harness.commands.shared.sections import Verb
from harness.streams import show

if TYPE_CHECKING:
    from harness.data.tracks import DataRoot
    from harness.report.tracks import Inspected

PICTURES = (".png", ".svg")
LONGEST_NOTE = 400


@click.command("inspect", cls=Verb)
@click.argument("submission", metavar="SUBMISSION", shell_complete=completion.runs_and_submissions)
@click.argument("track", metavar="TRACK")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Draw a picture into this .png or .svg file.")
@click.option(
    "--width", type=click.IntRange(min=0), default=0, show_default="the terminal's", help="Width of the text in characters."
)
@data_option
@postprocessing_options
def command(submission: str, track: str, out: Path | None, width: int, data: str | None, **postprocessing: Any) -> None:
    """Show a track of a submission frame by frame: predicted class, units and values, labels, missing faces, and probabilities
    where they are known.

    SUBMISSION is a folder, a text file or an archive, of this program or of another team, or the name of a run; the options of
    post-processing are for runs.

    \b
    Examples:
      harness inspect submissions/res50-a 6-30-1920x1080
      harness inspect res50-a video2_left --out video2_left.png
    """
    from harness import files
    from harness.commands.shared.next_steps import data_option as data_option_of
    from harness.errors import UsageError
    from harness.findings import printable

    if out is not None and out.suffix.lower() not in PICTURES:
        raise UsageError("the picture is of an unknown kind", found=out.name, expected="a name ending in .png or .svg")
    if out is not None:
        files.refuse_unwritable(out)
    found = _find(submission, track, data, postprocessing)
    for note in found.notes:
        show(printable(note, LONGEST_NOTE))
    if out is None:
        _print(found, width)
        show(f"next: harness inspect {shlex.join((submission, track))}{data_option_of(data)} --out timeline.png")
    else:
        _draw(found, out)
        show(f"picture: {out}")


def _find(submission: str, track: str, data: str | None, postprocessing: dict[str, Any]) -> Inspected:
    from harness.commands.shared.options import make_postprocessing
    from harness.commands.shared.submitting import root_of
    from harness.report.tracks import of_run, of_submission, recorded_data
    from harness.runs import store
    from harness.submission.reader import challenge_of

    path = Path(submission)
    if path.exists() and not (path / "run.json").is_file():
        root = _data_at_hand(data, recorded_data(path), challenge_of(path))
        return of_submission(path, track, root, postprocessing["fps"])
    run = store.find(submission)
    settings, frame_rate = make_postprocessing(postprocessing, run)
    return of_run(run, track, settings, root_of(run, data), frame_rate)


def _data_at_hand(asked: str | None, recorded: str | None, challenge: str | None) -> DataRoot | None:
    """The data root asked for, of a challenge; else the one at hand, if there is any."""
    from harness.challenge import EXPR, challenge_named
    from harness.commands.shared.options import find_data
    from harness.data.scan import scan
    from harness.errors import DataError

    try:
        place = find_data(asked, recorded)
    except DataError:
        if asked is not None:
            raise
        return None
    return scan(place.path, challenge=challenge_named(challenge or EXPR.name))


def _print(found: Inspected, width: int) -> None:
    import shutil
    import sys

    from harness.report.text import alphabet, as_text

    columns = width or shutil.get_terminal_size().columns
    show(as_text(found.timeline, columns, alphabet(sys.stdout.encoding)), styled=True)


def _draw(found: Inspected, out: Path) -> None:
    from harness import files
    from harness.findings import printable
    from harness.report import figures
    from harness.report.timeline import draw

    with figures.drawing():
        figure = draw(found.timeline, printable(found.timeline.track, 80))
        files.write_bytes(out, figures.svg_bytes(figure) if out.suffix.lower() == ".svg" else figures.png_bytes(figure))
