"""`harness ensemble`: the mean of the probabilities or values of runs, as a run and a submission."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, edition_option, postprocessing_options, say
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show
from harness.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.postprocess.chain import PostProcessing
    from harness.runs.store import Run
    from harness.selection.ensemble import Member
    from harness.selection.fit_ensemble import EnsembleFit
    from harness.selection.scorer import ValidationSet


@click.command("ensemble", cls=Verb)
@click.argument("run_names", metavar="RUN...", shell_complete=completion.runs, nargs=-1, required=True)
@click.option("--weights", default=None, help="One weight for each run, with commas between. [default: equal]")
@click.option("--fit", metavar="SPLIT", default=None, help="Fit temperatures, weights and an adjustment to this split's labels.")
@click.option(
    "--bias/--no-bias", default=True, help="Whether --fit may add an adjustment: class bias, thresholds, scale and shift."
)
@click.option(
    "--seed", cls=RareOption, type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the folds of --fit."
)
@click.option(
    "--chosen-on",
    cls=RareOption,
    metavar="SPLIT",
    default=None,
    help="Labels of this split chose these runs among others: a score on it is called optimistic.",
)
@click.option("--union", is_flag=True, help="Interpolate a run where only others have scores, instead of refusing.")
@click.option("--run", "name", default=None, help="Name of the new run. [default: the runs' names joined by +]")
@click.option("--fresh", is_flag=True, help="Replace the ensemble of this name.")
@data_option
@postprocessing_options
@edition_option
@click.option("--out", type=click.Path(), default=None, help="Folder of the submission. [default: submissions/NAME]")
def command(
    run_names: tuple[str, ...],
    weights: str | None,
    fit: str | None,
    bias: bool,
    seed: int,
    chosen_on: str | None,
    union: bool,
    name: str | None,
    fresh: bool,
    data: str | None,
    edition: int | None,
    out: str | None,
    **postprocessing: Any,
) -> None:
    """Average the probabilities or values of runs over every split that all of them hold.

    Runs whose classes, tracks or frames differ are refused with a list of the differences.

    The temperature and TTA (flip) that were tuned for a run are used for that run; the smoothing of the run with the middle
    window is used for all. Class bias and decoder are not taken over: tune the ensemble for these. --untuned ignores all of it.

    With --fit the gain is reported on recordings that had no part in the fit, and labels of a test split are never read.

    \b
    Examples:
      harness ensemble res50-a apvit-a --weights 0.6,0.4
      harness ensemble res50-a apvit-a --fit val
    """
    from harness import files
    from harness.commands.shared.options import given_settings, make_postprocessing, with_given
    from harness.commands.shared.submitting import root_of, submission_folder, write_and_validate
    from harness.runs import store
    from harness.selection.ensemble import comparable, default_name, ensemble, parse_weights, plan_ensemble, refuse_place
    from harness.selection.scorer import ValidationSet

    runs = [store.find(run_name) for run_name in run_names]
    _refuse_what_is_fitted(fit, weights, postprocessing["temperature"])
    completions = _picks(chosen_on, runs)
    untuned, flip = postprocessing["untuned"], given_settings(postprocessing).get("flip")
    plan = plan_ensemble(runs, parse_weights(weights, len(runs)), fit, untuned, flip)
    for line in plan.notes:
        say(line)
    place = store.path_of(name or default_name(runs))
    refuse_place(place, runs)
    directory = submission_folder(place.name, "test", out)
    files.refuse_unwritable(place, folder=True)
    members = list(plan.members)
    if fit is not None:
        comparable(members, union)
        validation = ValidationSet(fit, root_of(runs[0], data), seed, postprocessing["fps"] or plan.shared.frame_rate)
        base = with_given(plan.shared.settings, postprocessing, runs[0])
        fitted = _fitted(members, validation, bias, base)
        members = fitted.outcome.choice.members(members)
        completions.append(partial(fitted.store, validation=validation))
    run, splits = ensemble(members, place, union, fresh, plan.shared, completions)
    say(f"averaged {counted(len(runs), 'run')} over {', '.join(splits)} into {run.path}")
    if "test" not in splits:
        show(f"next: harness evaluate {shlex.quote(run.name)} --split {splits[0]}")
        return
    root = root_of(run, data)
    # What was just fitted is meant to be used; left aside are the members' own settings.
    settings, frame_rate = make_postprocessing({**postprocessing, "untuned": untuned and fit is None}, run)
    write_and_validate(run, "test", settings, root, edition, directory, frame_rate)


def _fitted(members: Sequence[Member], validation: ValidationSet, bias: bool, base: PostProcessing) -> EnsembleFit:
    """Fits members to the labels, and tells what that gains and what is alarming about them."""
    from harness.commands.shared.alarms import say_alarms
    from harness.commands.shared.progress import progress_bar
    from harness.selection.describe import describe_fit
    from harness.selection.fit_ensemble import fit_ensemble

    say_alarms([member.run for member in members], validation.root, validation.split)
    with progress_bar("fit") as progress:
        fitted = fit_ensemble(members, validation, bias, progress, base)
    show("\n".join(describe_fit(fitted)))
    return fitted


def _picks(split: str | None, runs: Sequence[Run]) -> list[Callable[[Run], None]]:
    """What notes with the ensemble that the labels of a split chose its members.

    Raises UsageError for a test split, and for one that none of the runs holds: nothing would ever be called optimistic.
    """
    from harness.errors import UsageError, near_names
    from harness.selection.history import note_pick
    from harness.selection.scorer import refuse_test

    if split is None:
        return []
    refuse_test(split)
    held = sorted({name for run in runs for name in run.splits()})
    if split not in held:
        raise UsageError(f"--chosen-on names no split of these runs: {split!r}", expected=near_names(split, held))
    return [partial(note_pick, split=split)]


def _refuse_what_is_fitted(fit: str | None, weights: str | None, temperature: object) -> None:
    from harness.errors import UsageError
    from harness.selection.scorer import refuse_test

    if fit is not None:
        refuse_test(fit)
    if fit is not None and weights is not None:
        raise UsageError("weights are either given or fitted", found="--weights and --fit")
    if fit is not None and temperature is not None:
        raise UsageError("temperatures are either given or fitted", found="--temperature and --fit")
