"""From a recipe and a data root to a finished run: its manifest and its network; the rest is every training's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from harness.data.tracks import DataRoot
from harness.errors import UsageError
from harness.kinds.parts import parts_of
from harness.recipes.recipe import Recipe
from harness.training.network import InitialWeights, build_network, initial_weights
from harness.training.optimization import LoopSettings
from harness.training.session import Session, Training, carry_out, settled, settled_decode_size, synchronised, training_manifest
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import TrainingData, on_splits
from models import lora
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
    session = Session(run_path, fresh, workers, say, trackers)
    recipe, accelerator = settled(recipe, session)
    if recipe.challenge != root.challenge.name:
        raise UsageError("recipe and data are of two challenges", found=f"{recipe.challenge} and {root.challenge.name}")
    columns = parts_of(root.challenge).columns
    data = on_splits(root) if data is None else data
    side = settled_decode_size(recipe.decode_size, recipe.test_resize, data.training, run_path, fresh, say)
    recipe = replace(recipe, decode_size=side)
    weights = initial_weights(recipe, from_scratch)
    manifest = {
        **training_manifest(recipe, root, data),
        "weights": None if weights is None else weights.provenance,
    }

    def build() -> SupervisedObjective:
        network = synchronised(started_network(recipe, columns, weights, say), accelerator)
        for line in small_statistics(network, recipe, accelerator.num_processes):
            say(line)
        if recipe.compile:
            # The compiler has a setting of its own, which make_accelerator leaves alone.
            torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())
            network.compile()
        return SupervisedObjective(network, recipe, data, strict)

    return carry_out(
        session,
        accelerator,
        LoopSettings.of(recipe),
        manifest,
        build,
        metadata={"classes": ",".join(columns), "backbone": str(manifest["recipe"]["backbone"])},
        about="training",
    )


def started_network(
    recipe: Recipe, columns: Sequence[str], weights: InitialWeights | None, say: Callable[[str], None]
) -> Classifier:
    """The network of a recipe with an output for each column, its weights loaded and told of, its first stages frozen."""
    # Channels last in memory: on a CPU the step is faster by two thirds, on a GPU with tensor cores as well.
    network = build_network(recipe, len(columns)).to(memory_format=torch.channels_last)
    if weights is not None:
        with_head = recipe.weights_head
        lines = weights.load_into_classifier(network, columns) if with_head else weights.load_into(network.backbone)
        for line in lines:
            say(line)
    try:
        network.freeze(recipe.freeze_stages)
    except ValueError as error:
        raise UsageError(f"freeze_stages does not fit the backbone: {error}") from error
    try:
        if recipe.lora:
            rank, scale, targets = recipe.lora, recipe.lora_scale, recipe.lora_targets
            adapted = lora.adapt(network.backbone, rank=rank, scale=scale, targets=targets, seed=recipe.seed)
            say(f"low-rank adaptation of {adapted} matrices; the backbone's other weights are held")
        if recipe.gradient_checkpointing:
            network.backbone.checkpoint_gradients()
    except ValueError as error:
        raise UsageError(f"the backbone cannot be trained so: {error}", found=recipe.backbone) from error
    return network


def small_statistics(network: nn.Module, recipe: Recipe, processes: int) -> list[str]:
    """A warning where BatchNorm is trained on parts of a batch, for then it is not the whole batch that it normalises by."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if recipe.accumulate == 1 or not any(layer.training and layer.weight.requires_grad for layer in layers):
        return []
    seen = -(-recipe.batch // (processes * recipe.accumulate))
    return [f"warning: BatchNorm normalises by {seen} images at a time (accumulate), not by those of the whole batch"]
