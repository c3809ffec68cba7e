"""From a recipe and a data root to a finished run: manifest, lock, network, loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import UsageError
from harness.images.device import make_accelerator
from harness.recipes.recipe import Recipe
from harness.training.loop import run_loop
from harness.training.network import InitialWeights, build_network, initial_weights
from harness.training.objective import LoopSettings
from harness.training.session import (
    Training,
    finished,
    open_run,
    refuse_uneven,
    say_unreadable,
    settled_precision,
    started_trackers,
    synchronised,
    training_manifest,
)
from harness.training.supervised import SupervisedObjective
from harness.training.trackers import refuse_unknown
from harness.training.training_data import TrainingData, on_splits
from models.classifier import Classifier


def train(
    recipe: Recipe,
    root: DataRoot,
    run_path: Path,
    *,
    fresh: bool,
    workers: int,
    from_scratch: bool,
    say: Callable[[str], None],
    data: TrainingData | None = None,
    strict: bool = False,
    trackers: Sequence[str] = (),
) -> Training:
    """Trains `recipe` on `data` of `root`, by default on its train split with validation on its val split.

    Goes on where an earlier call stopped. With `strict` an image that cannot be read is an error that names it, else it is left
    out and listed. `trackers` of Accelerate are told the figures beside metrics.jsonl.

    Raises MismatchError if the run there was made with other settings or data, LockedError if another process trains it, and
    DataError for missing data or weights.
    """
    for name in trackers:
        refuse_unknown(name)
    recipe = replace(recipe, precision=settled_precision(recipe.precision, run_path, fresh, say))
    data = on_splits(root) if data is None else data
    accelerator = make_accelerator(recipe.precision, recipe.loss_scale)
    refuse_uneven(recipe.batch, accelerator)
    weights = initial_weights(recipe, from_scratch)
    manifest = {
        **training_manifest(recipe, root, data),
        "weights": None if weights is None else weights.provenance,
    }
    # A run is thrown away for another only when the weights of the other are known to fit.
    network = _built(recipe, weights, say) if fresh else None
    with contextlib.ExitStack() as stack:
        run = open_run(run_path, manifest, fresh, accelerator, stack)
        done = finished(run, recipe.iterations, say)
        if done is not None:
            return Training(run, done, was_done=True)
        network = network or _built(recipe, weights, say)
        say(f"training on {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}, {recipe.precision}")
        objective = SupervisedObjective(synchronised(network, accelerator), recipe, data, len(EXPR.class_names), strict)
        outcome = run_loop(
            run,
            objective,
            LoopSettings.of(recipe),
            accelerator,
            workers=workers,
            metadata={"classes": ",".join(EXPR.class_names), "backbone": recipe.backbone},
            say=say if accelerator.is_main_process else lambda line: None,
            trackers=started_trackers(trackers, run, manifest, accelerator, say, stack),
        )
        say_unreadable(objective.faults(), "left out of training, missing in validation", say)
        return Training(run, outcome, was_done=False)


def _built(recipe: Recipe, weights: InitialWeights | None, say: Callable[[str], None]) -> Classifier:
    """The network with the weights it begins with."""
    # Channels last in memory: on a CPU the step is faster by two thirds, on a GPU with tensor cores as well.
    network: Classifier = build_network(recipe, len(EXPR.class_names)).to(memory_format=torch.channels_last)
    if weights is not None:
        load = (
            weights.load_into_classifier(network, EXPR.class_names)
            if recipe.weights_head
            else weights.load_into(network.backbone)
        )
        for line in load:
            say(line)
    _freeze(network, recipe.freeze_stages)
    return network


def _freeze(network: Classifier, stages: int) -> None:
    try:
        network.freeze(stages)
    except ValueError as error:
        raise UsageError(f"freeze_stages does not fit the backbone: {error}") from error
