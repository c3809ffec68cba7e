"""`harness best`: up to five submissions worth sending, made of all the runs there are."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import data_option, edition_option, frame_rate_option, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.runs.store import Run


@click.command("best")
@click.argument("run_names", metavar="[RUN...]", nargs=-1)
@click.option("--split", default="val", show_default=True, help="Split whose labels the choice is made on; never test.")
@data_option
@click.option("--most", type=click.IntRange(1, 5), default=5, show_default=True, help="How many submissions at most.")
@click.option("--union", is_flag=True, help="Interpolate a run where only others have a score, instead of refusing.")
@frame_rate_option
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the folds.")
@edition_option
@click.option("--json", "as_json", is_flag=True, help="Print the choice as JSON.")
def command(
    run_names: tuple[str, ...],
    split: str,
    data: str | None,
    most: int,
    union: bool,
    fps: float | None,
    seed: int,
    edition: int,
    as_json: bool,
) -> None:
    """Tune and ensemble all runs by nested folds, and write up to five different, validated submissions.

    Takes every run that was predicted on the split and on test, ensembles aside, or the runs named. Each candidate is judged on
    recordings that had no part in its choices; the best are kept that do not repeat one another.

    \b
    Example:
      harness best --split val
    """
    from harness import files
    from harness.commands.shared.progress import progress_bar
    from harness.commands.shared.submitting import SUBMISSIONS, root_of, submission_folder, write_and_validate
    from harness.runs import store
    from harness.selection.best import as_dict, choose
    from harness.selection.candidates import NAMES, PREFIX, CandidateMaker
    from harness.selection.describe import describe_choices
    from harness.selection.scorer import refuse_test
    from harness.submission.record import RECORD_NAME

    refuse_test(split)
    runs = _that_did_not_learn_from(split, [store.find(name) for name in run_names] or _runs_to_choose_from(split))
    files.refuse_unwritable(SUBMISSIONS, folder=True)
    say(f"{len(runs)} runs: {', '.join(run.name for run in runs)}")
    with progress_bar("candidates") as progress:
        maker = CandidateMaker(runs, split, root_of(runs[0], data), seed, fps, union, progress)
        candidates = maker.candidates()
    choices = choose(candidates, maker.tuned, maker.divisions, most)
    # What is said of each submission goes past the result, which is the choice.
    with contextlib.redirect_stdout(sys.stderr):
        for choice in choices:
            run, settings = store.find(choice.name), maker.settings[choice.name]
            write_and_validate(run, "test", settings, maker.root, edition, submission_folder(run.name, "test", None), fps)
    chosen = {choice.name for choice in choices}
    for name in (f"{PREFIX}{ending}" for ending in NAMES):
        if name not in chosen:
            # Those of an earlier choice, too: nobody could tell from their names that they are no longer the best.
            files.remove(store.path_of(name))
            if (SUBMISSIONS / name / RECORD_NAME).is_file():
                files.remove(SUBMISSIONS / name)
    if as_json:
        click.echo(files.json_text(as_dict(choices, dict(zip(runs[0].class_names, maker.tuned.tolist(), strict=True)))), nl=False)
        return
    click.echo("\n".join(describe_choices(choices)))
    click.echo(f"next: harness pack {SUBMISSIONS / choices[0].name}")


def _that_did_not_learn_from(split: str, runs: Sequence[Run]) -> Sequence[Run]:
    """Leaves out, by name, the runs whose scores of the split say nothing because they were trained on it."""
    from harness.errors import DataError
    from harness.runs.provenance import learned_from

    learners = {run.name: learned_from(run, split) for run in runs}
    for name, learned in learners.items():
        if learned:
            say(f"left out: {name}, because {', '.join(learned)} learned from tracks of {split}")
    kept = [run for run in runs if not learners[run.name]]
    if not kept:
        raise DataError(
            f"every run learned from tracks of {split}, so nothing can be chosen on it",
            found=", ".join(learners),
            remedy="choose on a split they did not see, or on the out-of-fold scores of `harness crossval` (--split oof)",
        )
    return kept


def _runs_to_choose_from(split: str) -> Sequence[Run]:
    from harness.errors import DataError
    from harness.runs import store
    from harness.selection.candidates import PREFIX

    runs = [
        run
        for run in store.every()
        if {split, "test"} <= set(run.splits()) and run.manifest.get("kind") != "ensemble" and not run.name.startswith(PREFIX)
    ]
    if not runs:
        raise DataError(
            f"no run was predicted on both {split} and test",
            path=store.RUNS,
            remedy=f"`harness predict RUN --split {split}` and `harness predict RUN --split test`",
        )
    return runs
