"""`harness best`: up to five submissions worth sending, made of all the runs there are."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, edition_option, frame_rate_option, say
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show, show_json
from harness.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.selection.best import Choice


@click.command("best", cls=Verb)
@click.argument("run_names", metavar="[RUN...]", shell_complete=completion.runs, nargs=-1)
@click.option(
    "--split", help="Split whose labels the choice is made on; never test. [default: oof, or val if it judges more runs]"
)
@data_option
@click.option("--most", type=click.IntRange(1, 5), default=5, show_default=True, help="How many submissions at most.")
@click.option("--union", is_flag=True, help="Interpolate a run where only others have scores, instead of refusing.")
@frame_rate_option
@click.option("--seed", cls=RareOption, type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the folds.")
@edition_option
@click.option("--json", "as_json", is_flag=True, help="Print the choice as JSON.")
def command(
    run_names: tuple[str, ...],
    split: str | None,
    data: str | None,
    most: int,
    union: bool,
    fps: float | None,
    seed: int,
    edition: int | None,
    as_json: bool,
) -> None:
    """Tune and ensemble all runs by nested folds, and write up to five different, validated submissions.

    Takes every run that was predicted on the split and on test, ensembles aside, or the runs named. Each candidate is judged on
    recordings that had no part in its choices; the best are kept that do not repeat one another.

    Out-of-fold scores (`harness crossval`) judge by all labelled recordings, with intervals about half as wide as those of the
    validation split alone: they are the recommended yardstick.

    \b
    Examples:
      harness best
      harness best res50-cv apvit-cv --split oof
    """
    from harness import files
    from harness.commands.shared.alarms import drift_of, say_alarms
    from harness.commands.shared.progress import progress_bar
    from harness.commands.shared.submitting import SUBMISSIONS, root_of, submission_folder, write_and_validate
    from harness.runs import store
    from harness.selection.best import as_dict, choose
    from harness.selection.candidates import CandidateMaker, runs_to_choose_from, split_to_choose_on
    from harness.selection.describe import describe_choices
    from harness.selection.expectation import store as store_expectation
    from harness.selection.scorer import ValidationSet, refuse_test

    named = [store.find(name) for name in run_names]
    split = split or split_to_choose_on(named)
    refuse_test(split)
    runs, left_out = runs_to_choose_from(split, named)
    files.refuse_unwritable(SUBMISSIONS, folder=True)
    for line in (*left_out, f"{counted(len(runs), 'run')}: {', '.join(run.name for run in runs)}"):
        say(line)
    with files.lock(store.RUNS / ".best.lock", "what `harness best` makes"):
        validation = ValidationSet(split, root_of(runs[0], data), seed, fps)
        alarms = say_alarms(runs, validation.root, split)
        with progress_bar("candidates") as progress:
            maker = CandidateMaker(runs, validation, union, progress)
            choices = choose(maker.candidates(), maker.yardstick, maker.folds, most)
        # What is said of each submission goes past the result, which is the choice.
        with contextlib.redirect_stdout(sys.stderr):
            following = []
            for choice in choices:
                run, settings = store.find(choice.name), maker.settings[choice.name]
                store_expectation(run, choice.expectation, settings)
                place = submission_folder(run.name, "test", None)
                following.append(write_and_validate(run, "test", settings, validation.root, edition, place, fps))
        _remove_what_was_not_chosen(choices)
    if as_json:
        show_json(files.json_text(as_dict(choices, maker.yardstick, alarms)))
        return
    warnings = drift_of(store.find(choices[0].name), validation.root, split)
    show("\n".join([*(f"ALARM: {line}" for line in alarms), *describe_choices(choices), *warnings]))
    show(f"next: {following[0]}")


def _remove_what_was_not_chosen(choices: Sequence[Choice]) -> None:
    """Removes all other candidates, those of an earlier choice too: no name tells that they are no longer the best."""
    from harness import files
    from harness.commands.shared.submitting import SUBMISSIONS
    from harness.runs import store
    from harness.selection.candidates import NAMES, PREFIX
    from harness.submission.record import RECORD_NAME

    for name in {f"{PREFIX}{ending}" for ending in NAMES} - {choice.name for choice in choices}:
        files.remove(store.path_of(name))
        if (SUBMISSIONS / name / RECORD_NAME).is_file():
            files.remove(SUBMISSIONS / name)
