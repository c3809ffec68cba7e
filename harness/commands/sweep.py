"""`harness sweep`: settings times seeds, trained, scored and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import BATCH, say, workers_option
from harness.commands.shared.sections import Verb
from harness.commands.shared.training import recipe_options
from harness.streams import show
from harness.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.studies.sweep import SweepOutcome


@click.command("sweep", cls=Verb)
@recipe_options
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="'KEY=VALUE ...'",
    help="Changes to the recipe that make a setting; repeat it for each. The first is the baseline; '' is the recipe itself.",
)
@click.option("--seeds", default="0,1,2", show_default=True, metavar="N,N", help="Seeds with which each setting is trained.")
@click.option(
    "--folds", type=click.Path(), default=None, help="File of `harness folds`: cross-validate, and compare out of fold."
)
@click.option("--run", "run_name", default=None, help="Name of the sweep and prefix of its runs. [default: RECIPE-sweep]")
@click.option("--batch", type=BATCH, default=64, show_default=True, help="Images per forward pass when scoring.")
@workers_option
def command(
    recipe_name: str | None,
    data: str | None,
    changes: tuple[str, ...],
    seed: int | None,
    weights: str | None,
    from_scratch: bool,
    settings: tuple[str, ...],
    seeds: str,
    folds: str | None,
    run_name: str | None,
    batch: int,
    workers: int | None,
) -> int:
    """Train a recipe under several settings with several seeds, and compare them on the val split, or out of fold with --folds.

    Each GPU runs one training at a time. A setting that fails does not stop the others. Run again, it goes on
    where it stopped. The table has means over seeds with intervals over seeds and recordings; what is chosen is told by nested
    folds, because the top line of a table is optimistic. Everything is stored in runs/NAME-sweep.json.

    \b
    Example:
      harness sweep --recipe res50 --data /data/aff-wild2 --setting '' --setting 'batch=64 learning_rate=2.5e-3' --seeds 0,1,2
    """
    from harness.commands.shared.options import worker_count
    from harness.commands.shared.training import chosen_recipe
    from harness.data.tracks import OUT_OF_FOLD
    from harness.errors import UsageError
    from harness.inference.settings import Scoring
    from harness.studies.sweep import devices, planned, sweep

    if seed is not None:
        raise UsageError("a sweep has several seeds", expected="--seeds 0,1,2")
    chosen = chosen_recipe(recipe_name, data, changes, None, weights)
    count = worker_count(workers)
    shared = ["--data", str(chosen.root.path), "--workers", str(count), *(part for one in changes for part in ("--set", one))]
    shared += [*(["--recipe", recipe_name] if recipe_name else []), *(["--weights", weights] if weights else [])]
    shared += ["--from-scratch"] if from_scratch else []
    name = run_name or f"{chosen.name}-sweep"
    runs = planned(name, _settings(settings), _seeds(seeds), shared, folds)
    split = "val" if folds is None else OUT_OF_FOLD
    outcome = sweep(runs, chosen.root, split, Scoring(batch=batch, workers=count), devices(), say)
    if outcome.exit_code is not None:
        raise SystemExit(outcome.exit_code)
    return _tell(name, split, outcome)


def _settings(texts: Sequence[str]) -> list[list[str]]:
    """Each setting as its changes; without any, the recipe itself."""
    import shlex

    from harness.commands.shared.options import split_changes
    from harness.errors import UsageError

    try:
        found = [shlex.split(text) for text in texts or ("",)]
    except ValueError as error:
        raise UsageError(f"--setting has an unclosed quote: {error}") from error
    for changes in found:
        split_changes(changes)
    if len({tuple(sorted(changes)) for changes in found}) != len(found):
        raise UsageError("two settings are the same", found="; ".join(texts))
    return found


def _seeds(text: str) -> list[int]:
    from harness.errors import UsageError

    try:
        found = [int(one) for one in text.split(",")]
    except ValueError as error:
        raise UsageError("--seeds wants whole numbers", found=text, expected="such as 0,1,2") from error
    if len(set(found)) != len(found):
        raise UsageError("a seed is given twice", found=text)
    return found


def _tell(name: str, split: str, outcome: SweepOutcome) -> int:
    """Writes and prints what was found; exit code 1 where a training failed."""
    from harness import files
    from harness.errors import EXIT_DONE, EXIT_FINDINGS
    from harness.runs.store import RUNS

    found, path = outcome.compared, RUNS / f"{name}.json"
    files.write_json(path, {"split": split, "failed": outcome.failed, "compared": None if found is None else found.as_dict()})
    for run in outcome.failed:
        show(f"failed: {run}")
    if found is not None:
        for one in found.scores:
            interval = "" if one.low is None or one.high is None else f"  [{number(one.low)}, {number(one.high)}]"
            seeds = ", ".join(map(number, one.seeds))
            show(f"{number(one.mean)}{interval}  {one.setting}  (seeds: {seeds})")
        outside = found.held_out_gain
        show(
            f"best setting: {number(found.held_out)} held out by nested folds, {number(found.top_mean)} in sample (the top line)"
        )
        show(f"held-out gain over the first setting: {outside.value:+.3f}, P(gain > 0) = {percent(outside.probability)}")
        show(f"chosen: {found.chosen}")
    show(f"stored: {path}")
    return EXIT_FINDINGS if outcome.failed else EXIT_DONE
