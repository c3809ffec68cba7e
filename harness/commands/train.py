"""`harness train`: Accelerate training of a recipe; resumes by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import say, workers_option
from harness.commands.shared.training import extra_options, recipe_options, tracker_option

if TYPE_CHECKING:
    from harness.data.tracks import DataRoot
    from harness.recipes.recipe import Recipe
    from harness.training.session import Training
    from harness.training.training_data import TrainingData

# What is appended to the recipe's name where no name is given, so that these runs do not meet.
ENDINGS = {"train": "", "train+val": "-trainval", "extra": "-extra"}


@click.command("train")
@recipe_options
@click.option(
    "--run", "run_name", default=None, help="Name of the run. [default: the recipe's name, with -fold-K, -trainval or -extra]"
)
@click.option(
    "--on",
    type=click.Choice(list(ENDINGS)),
    default=None,
    help="What to learn from; on train+val nothing is left to validate on. [default: train]",
)
@click.option("--folds", "folds_path", type=click.Path(), default=None, help="File of `harness folds`.")
@click.option(
    "--fold", type=click.IntRange(min=0), default=None, help="With --folds: learn from the others, validate on this one."
)
@extra_options
@click.option("--strict", is_flag=True, help="Refuse an image that cannot be read instead of leaving it out.")
@click.option(
    "--features",
    multiple=True,
    metavar="RUN",
    help="Learn from the stored features of this run, with a temporal recipe; several are put side by side.",
)
@click.option("--fps", type=float, default=None, help="With --features: short for --set fps=N, the rate where none is known.")
@click.option("--fresh", is_flag=True, help="Throw the run of this name away and start anew.")
@tracker_option
@workers_option
def command(
    recipe_name: str | None,
    data: str | None,
    changes: tuple[str, ...],
    seed: int | None,
    weights: str | None,
    from_scratch: bool,
    run_name: str | None,
    on: str | None,
    folds_path: str | None,
    fold: int | None,
    extra: str | None,
    extra_order: str | None,
    extra_share: float | None,
    strict: bool,
    features: tuple[str, ...],
    fps: float | None,
    fresh: bool,
    trackers: tuple[str, ...],
    workers: int | None,
) -> None:
    """Train a recipe on the train split and validate on the val split, or on the tracks that --on or --folds name.

    The run resumes by itself where it was stopped, killed or interrupted, and ends with the same bytes on a CPU. On several GPUs:
    accelerate launch -m harness train ...

    \b
    Examples:
      harness train --recipe res50 --data /data/aff-wild2 --weights ContraWarping_R50.pth --run res50-a
      harness train --recipe res50 --data /data/aff-wild2 --folds folds.json --fold 0
      harness train --recipe res50 --data /data/aff-wild2 --extra affectnet.csv --extra-order affectnet --extra-share 0.3
      harness train --recipe temporal-transformer --data /data/aff-wild2 --features res50-a
    """
    from harness.commands.shared.options import worker_count
    from harness.commands.shared.training import chosen_recipe, chosen_temporal, named_extra
    from harness.errors import UsageError
    from harness.runs.store import path_of

    if features:
        refused = {"--weights": weights, "--from-scratch": from_scratch, "--extra": extra, "--on extra": on == "extra"}
        _refuse_for_features([option for option, given in refused.items() if given])
        temporal = chosen_temporal(recipe_name, data, changes, seed, fps, features)
        learned = _training_data(temporal.root, on, folds_path, fold)

        from harness.training.start_temporal import train_temporal

        path = path_of(run_name or temporal.name + _ending(on, fold))
        _tell(
            train_temporal(
                temporal.recipe, temporal.root, features, path, learned, fresh=fresh, workers=worker_count(workers), say=say
            ),
            learned,
        )
        return
    if fps is not None:
        raise UsageError("--fps is for temporal models; a frame-wise one knows no time", expected="--features RUN")
    chosen = chosen_recipe(recipe_name, data, changes, seed, weights)
    faces = named_extra(extra, extra_order, extra_share)
    if on == "extra" and faces is None:
        raise UsageError("--on extra learns from extra images alone", expected="--extra FILE")
    learned = _training_data(chosen.root, on, folds_path, fold)

    from harness.training.start import train
    from harness.training.training_data import with_extra

    if faces is not None:
        learned = with_extra(learned, faces, extra_share)

    training = train(
        chosen.recipe,
        chosen.root,
        path_of(run_name or chosen.name + _ending(on, fold)),
        fresh=fresh,
        workers=worker_count(workers),
        from_scratch=from_scratch,
        say=say,
        data=learned,
        strict=strict,
        trackers=trackers,
    )
    _tell(training, learned, chosen.recipe if on == "extra" else None)


def _refuse_for_features(options: list[str]) -> None:
    from harness.errors import UsageError

    if options:
        raise UsageError(f"{options[0]} is about images; with --features nothing but stored features is learned from")


def _ending(on: str | None, fold: int | None) -> str:
    return ENDINGS[on or "train"] if fold is None else f"-fold-{fold}"


def _tell(training: Training, learned: TrainingData, recipe: Recipe | None = None) -> None:
    """Ends with the code of the signal that stopped the training, or says how it went and what comes next.

    After a first stage on extra faces alone that is a training of the backbone of `recipe`.
    """
    if training.outcome.exit_code is not None:
        raise SystemExit(training.outcome.exit_code)
    if training.was_done:
        say(f"the run {training.run.name!r} is done: {training.outcome.step} steps (--fresh starts anew)")
    metric = training.outcome.metric
    score = ", no validation score" if metric is None else f", macro-F1 {metric:.4f} on {learned.validated_on}"
    say(f"trained {training.outcome.step} steps{score}")
    if recipe is not None:
        from harness.recipes.starting import train_options

        weights = f"{training.run.path}/checkpoints/step-{training.outcome.step:08d}/model.safetensors"
        click.echo(f"next: harness train {train_options(recipe.backbone, recipe.image_size, weights)}")
    else:
        click.echo(f"next: harness predict {training.run.name} --split test")


def _training_data(root: DataRoot, on: str | None, folds_path: str | None, fold: int | None) -> TrainingData:
    from harness.commands.shared.training import stored_folds
    from harness.errors import UsageError
    from harness.training.training_data import on_other_folds, on_splits

    if (folds_path is None) != (fold is None):
        raise UsageError("--folds and --fold go together", expected="--folds folds.json --fold 0")
    if folds_path is None or fold is None:
        return on_splits(root, on or "train")
    if on is not None:
        raise UsageError("a fold says what is learned from", found=f"--fold {fold} and --on {on}", expected="one of them")
    return on_other_folds(root, stored_folds(folds_path, root), fold)
