"""`harness crossval`: a training for each fold, and out-of-fold scores of all labelled tracks as a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import say, workers_option
from harness.commands.shared.training import extra_options, recipe_options, tracker_option

if TYPE_CHECKING:
    pass


@click.command("crossval")
@recipe_options
@click.option("--folds", "folds_path", type=click.Path(), default="folds.json", show_default=True, help="Of `harness folds`.")
@click.option("--run", "run_name", default=None, help="Name of the run; its folds are NAME-fold-K. [default: RECIPE-cv]")
@extra_options
@click.option("--flip", is_flag=True, help="Score mirrored images too, so that tune can choose them.")
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Images per forward pass when scoring.")
@click.option("--fresh", is_flag=True, help="Throw the run of this name and its folds away and start anew.")
@tracker_option
@workers_option
def command(
    recipe_name: str | None,
    data: str | None,
    changes: tuple[str, ...],
    seed: int | None,
    weights: str | None,
    from_scratch: bool,
    folds_path: str,
    run_name: str | None,
    extra: str | None,
    extra_order: str | None,
    extra_share: float | None,
    flip: bool,
    batch: int,
    fresh: bool,
    trackers: tuple[str, ...],
    workers: int | None,
) -> None:
    """Train a recipe once for each fold of the train and val splits, and score each track with the model that never saw it.

    The scores are the split oof of the run, to evaluate, compare and tune on. Predicting the test split with the run averages the
    models of all folds. What is done is kept when the command is interrupted and run again; `harness train --folds FILE --fold K
    --run NAME-fold-K` trains one of the folds on another machine.

    \b
    Example:
      harness folds --data /data/aff-wild2 --folds 5 --output folds.json
      harness crossval --recipe res50 --data /data/aff-wild2 --folds folds.json --run res50-cv
      harness evaluate res50-cv --split oof
      harness predict res50-cv --split test
    """
    from harness.commands.shared.options import worker_count
    from harness.commands.shared.training import chosen_recipe, named_extra, stored_folds
    from harness.data.tracks import OUT_OF_FOLD
    from harness.runs.store import path_of

    chosen = chosen_recipe(recipe_name, data, changes, seed, weights)
    folds = stored_folds(folds_path, chosen.root)
    faces = named_extra(extra, extra_order, extra_share)

    from harness.inference.settings import Scoring
    from harness.studies.crossval import cross_train, predict_split

    path = path_of(run_name or f"{chosen.name}-cv")
    trained = cross_train(
        chosen.recipe,
        chosen.root,
        folds,
        path,
        fresh=fresh,
        workers=worker_count(workers),
        from_scratch=from_scratch,
        say=say,
        extra=faces,
        extra_share=extra_share,
        trackers=trackers,
    )
    if trained.exit_code is not None:
        raise SystemExit(trained.exit_code)
    for mirrored in (False, True) if flip else (False,):
        scoring = Scoring(batch=batch, flip=mirrored, workers=worker_count(workers))
        predict_split(trained.run, chosen.root, OUT_OF_FOLD, scoring, say)
    for fold, metric in enumerate(trained.metrics):
        click.echo(f"fold {fold}: " + ("nothing labelled to score" if metric is None else f"macro-F1 {metric:.4f}"))
    click.echo(f"out-of-fold scores of all labelled tracks: split {OUT_OF_FOLD} of {trained.run.path}")
    click.echo(f"next: harness evaluate {trained.run.name} --split {OUT_OF_FOLD}")
