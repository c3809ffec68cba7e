"""`harness train`: Accelerate training of a recipe; resumes by itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared.on_features import features_options, refuse_of_images
from harness.commands.shared.options import say, workers_option
from harness.commands.shared.sections import RareOption, Verb
from harness.commands.shared.training import extra_options, recipe_options, tracker_option
from harness.streams import show
from harness.words import counted, measured, number

if TYPE_CHECKING:
    from pathlib import Path

    from harness.data.tracks import DataRoot
    from harness.recipes.recipe import Recipe
    from harness.training.session import Training
    from harness.training.training_data import TrainingData

# What is appended to the recipe's name where no name is given, so that these runs do not meet.
ENDINGS = {"train": "", "train+val": "-trainval", "extra": "-extra"}


@click.command("train", cls=Verb)
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
@click.option("--strict", cls=RareOption, is_flag=True, help="Refuse an image that cannot be read instead of leaving it out.")
@features_options
@click.option("--fresh", is_flag=True, help="Delete the run of this name and start over.")
@tracker_option
@workers_option
def command(workers: int | None, **given: Any) -> None:
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

    asked = Asked(workers=worker_count(workers), **given)
    _tell(_train_on_features(asked) if asked.features else _train_on_images(asked))


@dataclass(frozen=True)
class Asked:
    """The options of `harness train`."""

    recipe_name: str | None
    data: str | None
    changes: tuple[str, ...]
    seed: int | None
    weights: str | None
    from_scratch: bool
    run_name: str | None
    on: str | None
    folds_path: str | None
    fold: int | None
    extra: str | None
    extra_order: str | None
    extra_share: float | None
    strict: bool
    features: tuple[str, ...]
    fps: float | None
    fresh: bool
    trackers: tuple[str, ...]
    workers: int

    def path(self, name: str) -> Path:
        """Where the run lies; `name` is that of its recipe."""
        from harness.runs.remedies import FOLD
        from harness.runs.store import path_of

        ending = ENDINGS[self.on or "train"] if self.fold is None else f"{FOLD}{self.fold}"
        return path_of(self.run_name or name + ending)


@dataclass(frozen=True)
class Trained:
    """A training that ended, what it learned from in which data root, and its recipe if it was a stage on extra faces alone."""

    training: Training
    learned: TrainingData
    root: DataRoot
    first_stage: Recipe | None = None


def _train_on_features(asked: Asked) -> Trained:
    from harness.commands.shared.training import chosen_temporal

    refuse_of_images(
        {
            "--weights": asked.weights,
            "--from-scratch": asked.from_scratch,
            "--extra": asked.extra,
            "--on extra": asked.on == "extra",
        }
    )
    chosen = chosen_temporal(asked.recipe_name, asked.data, asked.changes, asked.seed, asked.fps, asked.features)
    learned = _training_data(chosen.root, asked)

    from harness.training.start_temporal import train_temporal

    training = train_temporal(
        chosen.recipe,
        chosen.root,
        asked.features,
        asked.path(chosen.name),
        learned,
        fresh=asked.fresh,
        workers=asked.workers,
        say=say,
        trackers=asked.trackers,
    )
    return Trained(training, learned, chosen.root)


def _train_on_images(asked: Asked) -> Trained:
    from harness.commands.shared.training import chosen_recipe, named_extra
    from harness.errors import UsageError

    if asked.fps is not None:
        raise UsageError("--fps is for temporal models; a frame-wise one knows no time", expected="--features RUN")
    chosen = chosen_recipe(asked.recipe_name, asked.data, asked.changes, asked.seed, asked.weights)
    faces = named_extra(asked.extra, asked.extra_order, asked.extra_share, chosen.root.challenge)
    asked = _on_what_there_is(asked, chosen.root, faces is not None)
    if asked.on == "extra" and faces is None:
        raise UsageError("--on extra learns from extra images alone", expected="--extra FILE")
    learned = _training_data(chosen.root, asked)

    from harness.training.start import train
    from harness.training.training_data import with_extra

    if faces is not None:
        learned = with_extra(learned, faces, asked.extra_share)
    training = train(
        chosen.recipe,
        chosen.root,
        asked.path(chosen.name),
        fresh=asked.fresh,
        workers=asked.workers,
        from_scratch=asked.from_scratch,
        say=say,
        data=learned,
        strict=asked.strict,
        trackers=asked.trackers,
    )
    return Trained(training, learned, chosen.root, chosen.recipe if asked.on == "extra" else None)


def _on_what_there_is(asked: Asked, root: DataRoot, extra: bool) -> Asked:
    """The options; of a challenge for which no training labels were ever released, those of learning from extra faces alone.

    Raises UsageError if there are no extra faces either.
    """
    from harness.errors import UsageError

    name = root.challenge.name
    if root.challenge.training is not None or root.members("train") or asked.on == "extra" or asked.fold is not None:
        return asked
    if not extra:
        remedy = "a CSV of images with the column label: docs/data.md, Extra labelled faces"
        raise UsageError(f"no labels of {name} were ever released to learn from", expected="--extra FILE", remedy=remedy)
    say(f"{name} has no training labels in Aff-Wild2: learning from the extra faces alone")
    return replace(asked, on="extra")


def _training_data(root: DataRoot, asked: Asked) -> TrainingData:
    from harness.commands.shared.training import stored_folds
    from harness.errors import UsageError
    from harness.training.training_data import on_other_folds, on_splits

    if (asked.folds_path is None) != (asked.fold is None):
        raise UsageError("--folds and --fold go together", expected="--folds folds.json --fold 0")
    if asked.folds_path is None or asked.fold is None:
        return on_splits(root, asked.on or "train")
    if asked.on is not None:
        found = f"--fold {asked.fold} and --on {asked.on}"
        raise UsageError("a fold says what is learned from", found=found, expected="one of them")
    return on_other_folds(root, stored_folds(asked.folds_path, root), asked.fold)


def _tell(trained: Trained) -> None:
    """Ends with the code of the signal that stopped the training, or says how it went and what comes next.

    After a first stage on extra faces alone that is a training of the same backbone.
    """
    training, learned, recipe = trained.training, trained.learned, trained.first_stage
    if training.outcome.exit_code is not None:
        raise SystemExit(training.outcome.exit_code)
    if training.was_done:
        say(f"the run {training.run.name!r} is done: {counted(training.outcome.step, 'step')} (--fresh starts over)")
    metric = training.outcome.metric
    score = (
        ", no validation score" if metric is None else f", {measured(learned.metric)} {number(metric)} on {learned.validated_on}"
    )
    say(f"trained {counted(training.outcome.step, 'step')}{score}")
    if recipe is not None:
        from harness.recipes.starting import train_options

        weights = f"{training.run.path}/checkpoints/step-{training.outcome.step:08d}/model.safetensors"
        show(f"next: harness train {train_options(recipe.backbone, recipe.image_size, weights)}")
    else:
        from harness.commands.shared.next_steps import after_training

        show(f"next: {after_training(training.run, trained.root)}")
