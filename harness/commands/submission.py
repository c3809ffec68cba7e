"""`harness submission`: decode and write again with other settings, no model needed."""

from __future__ import annotations

from typing import Any

import click

from harness.commands.shared.options import data_option, edition_option, postprocessing_options


@click.command("submission")
@click.argument("run_name", metavar="RUN")
@click.option("--split", default="test", show_default=True, help="train, val or test.")
@data_option
@postprocessing_options
@edition_option
@click.option("--out", type=click.Path(), default=None, help="Folder of the submission. [default: submissions/RUN, or RUN-SPLIT]")
def command(run_name: str, split: str, data: str | None, edition: int | None, out: str | None, **postprocessing: Any) -> None:
    """Write the submission of a run's stored scores again, with other post-processing or for another edition.

    \b
    Example:
      harness submission res50-a --smooth 0.8 --kernel gaussian --out submissions/res50-a-gaussian
    """
    from harness.commands.shared.options import make_postprocessing
    from harness.commands.shared.submitting import root_of, submission_folder, write_and_validate
    from harness.runs import store

    run = store.find(run_name)
    directory = submission_folder(run.name, split, out)
    settings, frame_rate = make_postprocessing(postprocessing, run)
    write_and_validate(run, split, settings, root_of(run, data), edition, directory, frame_rate)
