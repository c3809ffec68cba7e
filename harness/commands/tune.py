"""`harness tune`: post-processing chosen by nested folds over recordings."""

from __future__ import annotations

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, frame_rate_option, say
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show, show_json


@click.command("tune", cls=Verb)
@click.argument("run_names", metavar="RUN...", shell_complete=completion.runs, nargs=-1, required=True)
@click.option("--split", default="val", show_default=True, help="Split whose labels the choice is made on; never test.")
@data_option
@frame_rate_option
@click.option("--seed", cls=RareOption, type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the folds.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(run_names: tuple[str, ...], split: str, data: str | None, fps: float | None, seed: int, as_json: bool) -> None:
    """Choose how runs are post-processed, and keep what has a held-out gain.

    Smoothing and flip for all; temperature, override, decoder and bias of classes; temperature and thresholds of units; scale and
    shift of values.

    Each setting is chosen on four fifths of the recordings and judged on the others. It is kept if the recordings make a gain at
    least 80 % probable. The result is stored with the run, and predict and evaluate use it.

    \b
    Example:
      harness tune res50-a --split val
    """
    from harness import files
    from harness.commands.shared.next_steps import after_tuning
    from harness.commands.shared.next_steps import data_option as data_option_of
    from harness.commands.shared.progress import progress_bar
    from harness.commands.shared.submitting import root_of
    from harness.postprocess.smooth import describe_unsmoothed
    from harness.runs import store
    from harness.selection.describe import describe_tuning
    from harness.selection.scorer import ValidationSet, refuse_test
    from harness.selection.stored import stored_settings
    from harness.selection.tune import tune

    refuse_test(split)
    runs = [store.find(name) for name in run_names]
    for run in runs:
        files.refuse_unwritable(run.path / store.TUNED)
        validation = ValidationSet(split, root_of(run, data), seed, fps)
        tracks = validation.root.split(split)
        unknown = [track.name for track in tracks if track.frame_rate is None and fps is None]
        unsmoothed = describe_unsmoothed(unknown, len(tracks))
        if unsmoothed:
            say(unsmoothed)
        with progress_bar(f"tune {run.name}") as progress:
            tuning = tune(run, validation, stored_settings(run, untuned=True).settings, progress)
        tuning.store(run, validation)
        if as_json:
            show_json(files.json_text(tuning.as_dict(validation)))
            continue
        show(f"{run.name}, split {split}: {tuning.outcome.recordings} recordings")
        show("\n".join(describe_tuning(tuning)))
        show(f"stored: {run.path / store.TUNED}")
    if not as_json:
        show(f"next: {after_tuning(runs[0], split, root_of(runs[0], data))}{data_option_of(data)}")
