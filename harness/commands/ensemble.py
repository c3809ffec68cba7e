"""`harness ensemble`: the mean of the probabilities of runs, as a run and a submission."""

from __future__ import annotations

from typing import Any

import click

from harness.commands.options import data_option, postprocessing_options, say


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
@click.option("--edition", type=int, default=5, show_default=True, help="Edition whose submission format is written.")
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
    edition: int,
    out: str | None,
    **postprocessing: Any,
) -> None:
    """Average the probabilities of runs over every split that all of them hold.

    Runs whose classes, tracks or frames differ are refused with a list of the differences.

    With --fit the gain is reported on recordings that had no part in the fit, and labels of a test split are never read.

    \b
    Examples:
      harness ensemble res50-a apvit-a --weights 0.6,0.4
      harness ensemble res50-a apvit-a --fit val
    """
    from harness import files
    from harness.commands.options import make_postprocessing
    from harness.commands.progress import progress_bar
    from harness.commands.submitting import root_of, submission_folder, write_and_validate
    from harness.errors import UsageError
    from harness.runs import store
    from harness.selection.describe import describe_fit
    from harness.selection.ensemble import Member, default_name, ensemble, parse_weights
    from harness.selection.fit_ensemble import fit_ensemble
    from harness.selection.scorer import refuse_test

    runs = [store.find(run_name) for run_name in run_names]
    if fit is not None and weights is not None:
        raise UsageError("weights are either given or fitted", found="--weights and --fit")
    members = [Member(run, share) for run, share in zip(runs, parse_weights(weights, len(runs)), strict=True)]
    run_path = store.path_of(name or default_name(runs))
    directory = submission_folder(run_path.name, "test", out)
    files.refuse_unwritable(run_path, folder=True)
    fitted = None
    if fit is not None:
        refuse_test(fit)
        root = root_of(runs[0], data)
        with progress_bar("fit") as progress:
            fitted = fit_ensemble(runs, fit, root, seed, postprocessing["fps"], bias, progress)
        members = fitted.mixture.members(runs)
        click.echo("\n".join(describe_fit(fitted)))
    run, splits = ensemble(members, run_path, union, fresh)
    say(f"averaged {len(runs)} runs over {', '.join(splits)} into {run.path}")
    if fit is not None and fitted is not None:
        files.write_json(run.path / store.TUNED, fitted.as_dict(fit, seed))
    if "test" in splits:
        root = root_of(run, data)
        settings = make_postprocessing(postprocessing, run)
        write_and_validate(run, "test", settings, root, edition, directory, postprocessing["fps"])
    else:
        click.echo(f"next: harness evaluate {run.name} --split {splits[0]}")
