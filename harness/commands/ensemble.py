"""`harness ensemble`: the mean of the probabilities of runs, as a run and a submission."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from harness.commands.shared.options import data_option, edition_option, postprocessing_options, say
from harness.streams import show


@click.command("ensemble")
@click.argument("run_names", metavar="RUN...", nargs=-1, required=True)
@click.option("--weights", default=None, help="One weight for each run, with commas between. [default: equal]")
@click.option("--fit", metavar="SPLIT", default=None, help="Fit temperatures, weights and class bias to this split's labels.")
@click.option("--bias/--no-bias", default=True, help="Whether --fit may add a class bias.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the folds of --fit.")
@click.option("--union", is_flag=True, help="Interpolate a run where only others have a score, instead of refusing.")
@click.option("--run", "name", default=None, help="Name of the new run. [default: the runs' names joined by +]")
@click.option("--fresh", is_flag=True, help="Throw the ensemble of this name away and make it anew.")
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
    union: bool,
    name: str | None,
    fresh: bool,
    data: str | None,
    edition: int | None,
    out: str | None,
    **postprocessing: Any,
) -> None:
    """Average the probabilities of runs over every split that all of them hold.

    Runs whose classes, tracks or frames differ are refused with a list of the differences.

    The temperature and the mirrored images that were tuned for a run count for its part, and the smoothing of the run with the
    middle window for all; class bias and decoder are not taken over, tune the ensemble for these. --untuned leaves all aside.

    With --fit the gain is reported on recordings that had no part in the fit, and labels of a test split are never read.

    \b
    Examples:
      harness ensemble res50-a apvit-a --weights 0.6,0.4
      harness ensemble res50-a apvit-a --fit val
    """
    from harness import files
    from harness.commands.shared.alarms import say_alarms
    from harness.commands.shared.options import given_settings, make_postprocessing
    from harness.commands.shared.progress import progress_bar
    from harness.commands.shared.submitting import root_of, submission_folder, write_and_validate
    from harness.runs import store
    from harness.selection.describe import describe_fit
    from harness.selection.ensemble import comparable, default_name, ensemble, parse_weights, plan_ensemble, refuse_place
    from harness.selection.fit_ensemble import fit_ensemble
    from harness.selection.scorer import ValidationSet, refuse_test

    runs = [store.find(run_name) for run_name in run_names]
    _refuse_what_is_fitted(fit, weights, postprocessing["temperature"])
    untuned, given = postprocessing["untuned"], given_settings(postprocessing)
    plan = plan_ensemble(runs, parse_weights(weights, len(runs)), fit, untuned, given.get("flip"))
    for line in plan.notes:
        say(line)
    place = store.path_of(name or default_name(runs))
    refuse_place(place, runs)
    directory = submission_folder(place.name, "test", out)
    files.refuse_unwritable(place, folder=True)
    members, fitted = list(plan.members), None
    if fit is not None:
        refuse_test(fit)
        comparable(members, union)
        say_alarms(runs, root_of(runs[0], data), fit)
        validation = ValidationSet(fit, root_of(runs[0], data), seed, postprocessing["fps"] or plan.shared.frame_rate)
        with progress_bar("fit") as progress:
            fitted = fit_ensemble(members, validation, bias, progress, replace(plan.shared.settings, **given))
        members = fitted.outcome.choice.members(members)
        show("\n".join(describe_fit(fitted)))
    run, splits = ensemble(members, place, union, fresh, plan.shared)
    say(f"averaged {len(runs)} runs over {', '.join(splits)} into {run.path}")
    if fitted is not None:
        fitted.store(run, validation)
    if "test" not in splits:
        show(f"next: harness evaluate {run.name} --split {splits[0]}")
        return
    root = root_of(run, data)
    # What was just fitted is meant to be used; left aside are the members' own settings.
    settings, frame_rate = make_postprocessing({**postprocessing, "untuned": untuned and fit is None}, run)
    write_and_validate(run, "test", settings, root, edition, directory, frame_rate)


def _refuse_what_is_fitted(fit: str | None, weights: str | None, temperature: float | None) -> None:
    from harness.errors import UsageError

    if fit is not None and weights is not None:
        raise UsageError("weights are either given or fitted", found="--weights and --fit")
    if fit is not None and temperature is not None:
        raise UsageError("temperatures are either given or fitted", found="--temperature and --fit")
