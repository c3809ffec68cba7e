"""From a recipe and a data root to a finished run: manifest, lock, network, loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch

from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.images.device import make_accelerator, resolve_precision
from harness.recipes.recipe import Recipe
from harness.runs import provenance
from harness.runs.store import Run
from harness.training.loop import Outcome, run_loop
from harness.training.network import build_network, initial_weights
from harness.training.objective import LoopSettings
from harness.training.session import finished, open_run, refuse_uneven, started_trackers, synchronised
from harness.training.supervised import SupervisedObjective
from harness.training.trackers import refuse_unknown
from harness.training.training_data import TrainingData, on_splits
from models.classifier import Classifier


@dataclass(frozen=True)
class Training:
    """A training that ended: its run, how it ended, and whether there was nothing left to do."""

    run: Run
    outcome: Outcome
    was_done: bool


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
    trackers: Sequence[str] = (),
) -> Training:
    """Trains `recipe` on `data` of `root`, by default on its train split with validation on its val split.

    Goes on where an earlier call stopped. `trackers` of Accelerate are told the figures beside metrics.jsonl.

    Raises MismatchError if the run there was made with other settings or data, LockedError if another process trains it, and
    DataError for missing data or weights.
    """
    for name in trackers:
        refuse_unknown(name)
    recipe = replace(recipe, precision=resolve_precision(recipe.precision))
    data = on_splits(root) if data is None else data
    accelerator = make_accelerator(recipe.precision)
    refuse_uneven(recipe.batch, accelerator)
    weights = initial_weights(recipe, from_scratch)
    manifest = {
        "kind": "training",
        "challenge": EXPR.name,
        "class_names": list(EXPR.class_names),
        "recipe": recipe.as_dict(),
        "seed": recipe.seed,
        "data": {"fingerprint": root.fingerprint(), "crops": recipe.crops, **data.provenance},
        "prior": data.prior(),
        "weights": None if weights is None else weights.provenance,
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": str(root.path.resolve())},
    }
    with contextlib.ExitStack() as stack:
        run = open_run(run_path, manifest, fresh, accelerator, stack)
        done = finished(run, recipe.iterations, say)
        if done is not None:
            return Training(run, done, was_done=True)
        # Channels last in memory: on a CPU the step is faster by two thirds, on a GPU with tensor cores as well.
        network = build_network(recipe, len(EXPR.class_names)).to(memory_format=torch.channels_last)
        if weights is not None:
            for line in weights.load_into(network.backbone):
                say(line)
        _freeze(network, recipe.freeze_stages)
        say(f"training on {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}, {recipe.precision}")
        objective = SupervisedObjective(synchronised(network, accelerator), recipe, data, len(EXPR.class_names), say)
        try:
            outcome = run_loop(
                run,
                objective,
                LoopSettings(**{entry.name: getattr(recipe, entry.name) for entry in fields(LoopSettings)}),
                accelerator,
                workers=workers,
                metadata={"classes": ",".join(EXPR.class_names), "backbone": recipe.backbone},
                say=say if accelerator.is_main_process else lambda line: None,
                trackers=started_trackers(trackers, run, manifest, accelerator, say, stack),
            )
        except torch.OutOfMemoryError as error:
            raise DataError(
                "the batch does not fit into the memory of the GPU",
                found=f"batch {recipe.batch}, {accelerator.num_processes} processes, {recipe.precision}",
                remedy="take more GPUs, freeze more stages, or a smaller batch with a lower learning rate (--set batch=64)",
            ) from error
        for line in objective.faults()[:10]:
            say(f"could not be read, left out of training: {line}")
        return Training(run, outcome, was_done=False)


def _freeze(network: Classifier, stages: int) -> None:
    try:
        network.freeze(stages)
    except ValueError as error:
        raise UsageError(f"freeze_stages does not fit the backbone: {error}") from error
