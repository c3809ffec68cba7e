"""`harness crossval`: a training for each fold, and out-of-fold scores of all labelled tracks as a run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared.on_features import features_options, refuse_of_images
from harness.commands.shared.options import BATCH, say, workers_option
from harness.commands.shared.sections import Verb
from harness.commands.shared.training import extra_options, recipe_options, tracker_option
from harness.streams import show
from harness.words import number

if TYPE_CHECKING:
    from harness.data.tracks import DataRoot
    from harness.studies.fold_trainings import FoldTraining


@click.command("crossval", cls=Verb)
@recipe_options
@click.option(
    "--folds", "folds_path", type=click.Path(), default="folds.json", show_default=True, help="File of `harness folds`."
)
@click.option("--run", "run_name", default=None, help="Name of the run; its folds are NAME-fold-K. [default: RECIPE-cv]")
@extra_options
@features_options
@click.option("--flip", is_flag=True, help="Also score mirrored images, so that `harness tune` can choose TTA.")
@click.option(
    "--batch",
    type=BATCH,
    default=None,
    help="Images per forward pass when scoring, or windows of a model on features. [default: 64 images, 16 windows]",
)
@click.option("--fresh", is_flag=True, help="Delete the run of this name and its folds and start over.")
@tracker_option
@workers_option
def command(
    folds_path: str,
    run_name: str | None,
    flip: bool,
    batch: int | None,
    fresh: bool,
    trackers: tuple[str, ...],
    workers: int | None,
    **given: Any,
) -> None:
    """Train a recipe once for each fold of the train and val splits, and score each track with the model that never saw it.

    The scores are stored as the split oof of the run, to evaluate, compare and tune on. Predicting the test split with the run
    averages the models of all folds. What is done is kept when the command is interrupted and run again; `harness train --folds
    FILE --fold K --run NAME-fold-K` trains one of the folds on another machine. With --features a model on stored features is
    trained; where these were learned from the same labels, out-of-fold scores are optimistic, which is said.

    \b
    Example:
      harness folds --data /data/aff-wild2 --folds 5 --output folds.json
      harness crossval --recipe res50 --data /data/aff-wild2 --folds folds.json --run res50-cv
      harness crossval --recipe av-gate --features dinov2 --features audio-logmel --folds folds.json --run gate-cv
      harness evaluate res50-cv --split oof
      harness predict res50-cv --split test
    """
    from harness.commands.shared.options import worker_count
    from harness.commands.shared.training import stored_folds
    from harness.data.tracks import OUT_OF_FOLD
    from harness.runs.store import path_of

    chosen = _chosen(**given)
    folds = stored_folds(folds_path, chosen.root)

    from harness.inference.settings import Scoring
    from harness.studies.crossval import cross_train, predict_split
    from harness.training.session import Session

    session = Session(path_of(run_name or f"{chosen.name}-cv"), fresh, worker_count(workers), say, trackers)
    trained = cross_train(chosen.training, chosen.root, folds, session)
    if trained.exit_code is not None:
        raise SystemExit(trained.exit_code)
    for mirrored in (False, True) if flip else (False,):
        scoring = Scoring(batch=batch, flip=mirrored, workers=worker_count(workers))
        predict_split(trained.run, chosen.root, OUT_OF_FOLD, scoring, say)
    for fold, metric in enumerate(trained.metrics):
        show(f"fold {fold}: " + ("no labelled frame to score" if metric is None else f"{trained.metric} {number(metric)}"))
    show(f"out-of-fold scores of all labelled tracks: split {OUT_OF_FOLD} of {trained.run.path}")
    show(f"next: harness evaluate {shlex.quote(trained.run.name)} --split {OUT_OF_FOLD}")


@dataclass(frozen=True)
class _FoldsOf:
    """What is trained for each fold, on which data, and the recipe's name."""

    training: FoldTraining
    root: DataRoot
    name: str


def _chosen(
    recipe_name: str | None,
    data: str | None,
    changes: tuple[str, ...],
    seed: int | None,
    weights: str | None,
    from_scratch: bool,
    extra: str | None,
    extra_order: str | None,
    extra_share: float | None,
    features: tuple[str, ...],
    fps: float | None,
) -> _FoldsOf:
    from harness.commands.shared.training import chosen_recipe, chosen_temporal, named_extra
    from harness.errors import UsageError

    if features:
        refuse_of_images({"--weights": weights, "--from-scratch": from_scratch, "--extra": extra})
        temporal = chosen_temporal(recipe_name, data, changes, seed, fps, features)

        from harness.studies.fold_trainings import OnFeatures

        return _FoldsOf(OnFeatures(temporal.recipe, features), temporal.root, temporal.name)
    if fps is not None:
        raise UsageError("--fps is for models on features; a frame-wise one knows no time", expected="--features RUN")
    chosen = chosen_recipe(recipe_name, data, changes, seed, weights)
    faces = named_extra(extra, extra_order, extra_share, chosen.root.challenge)

    from harness.studies.fold_trainings import OnImages

    return _FoldsOf(OnImages(chosen.recipe, from_scratch, faces, extra_share), chosen.root, chosen.name)
