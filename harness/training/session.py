"""What every kind of training begins with: a run's folder, its lock, and the checks that come before the first step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from harness import files
from harness.challenge import EXPR
from harness.data.tracks import DataRoot
from harness.errors import UsageError
from harness.images.batches import describe_unreadable
from harness.images.device import ACCELERATE_PRECISION, resolve_precision
from harness.recipes.places import completed, places, recorded
from harness.recipes.recipe import Recipe
from harness.recipes.temporal import TemporalRecipe
from harness.runs import checkpoints, provenance, store
from harness.runs.store import Run
from harness.training.loop import Outcome
from harness.training.trackers import Trackers
from harness.training.training_data import TrainingData


@dataclass(frozen=True)
class Training:
    """A training that ended: its run, how it ended, and whether there was nothing left to do."""

    run: Run
    outcome: Outcome
    was_done: bool


def training_manifest(recipe: Recipe | TemporalRecipe, root: DataRoot, data: TrainingData) -> dict[str, Any]:
    """What run.json says of every training with labels: recipe, seed, data and where this was done."""
    return {
        "kind": "training",
        "challenge": EXPR.name,
        "class_names": list(EXPR.class_names),
        "recipe": recorded(recipe),
        "seed": recipe.seed,
        "data": {**root.identity(), "crops": Path(recipe.crops).name, **data.provenance},
        "prior": data.prior(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": places(recipe, root.path),
    }


def refuse_uneven(batch: int, accelerator: Accelerator) -> None:
    """Raises UsageError unless the batch divides among the processes."""
    if batch % accelerator.num_processes:
        raise UsageError(
            "the batch does not divide among the processes",
            found=f"batch {batch}, {accelerator.num_processes} processes",
            expected="a batch that is a multiple of the number of processes",
        )


def settled_precision(precision: str, path: Path, fresh: bool, say: Callable[[str], None]) -> str:
    """The precision of the run at `path`: for `auto` the one it began in, so that it goes on so on other hardware."""
    resolved = resolve_precision(precision)
    run = Run(path)
    if precision != "auto" or fresh or not run.manifest_path.is_file():
        return resolved
    began = run.manifest.get("recipe", {}).get("precision")
    if began not in ACCELERATE_PRECISION or began == resolved:
        return resolved
    say(f"going on in {began}, as this run began; a new run would take {resolved} here")
    return str(began)


def open_run(path: Path, manifest: dict[str, Any], fresh: bool, accelerator: Accelerator, stack: contextlib.ExitStack) -> Run:
    """Makes or opens the run's folder on the main process and locks it there."""
    files.safe_name(path.name, "the run's name")
    if accelerator.is_main_process:
        files.make_directory(path)
        stack.enter_context(files.lock(path / store.LOCK, f"the run {path.name!r}"))
        if fresh:
            for entry in path.iterdir():
                if entry.name != store.LOCK:
                    files.remove(entry)
        run, _ = store.open_or_create(path, manifest, completed=completed)
        files.remove_temporaries(checkpoints.directory(run))
    accelerator.wait_for_everyone()
    return Run(path)


def finished(run: Run, iterations: int, say: Callable[[str], None]) -> Outcome | None:
    """How a run ended whose last checkpoint has all its steps; None if there is something left to do."""
    checkpoint = checkpoints.last(run, lambda error: say(f"passed over a damaged checkpoint: {error}"))
    if checkpoint is None or checkpoint.step < iterations:
        return None
    checkpoints.remove_older(run, checkpoint)  # a process killed right after its last save did not
    return Outcome(checkpoint.step, None, checkpoint.metric)


def started_trackers(
    names: Sequence[str],
    run: Run,
    manifest: Mapping[str, Any],
    accelerator: Accelerator,
    say: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> Trackers:
    """The trackers of these names, on the main process alone, told the recipe and ended with the stack."""
    trackers = Trackers(names if accelerator.is_main_process else (), run.path, manifest["recipe"], say)
    stack.callback(trackers.finish)
    return trackers


def synchronised(network: Any, accelerator: Accelerator) -> Any:
    """With several GPUs BatchNorm sees the whole batch; SyncBatchNorm has no CPU form, so there each process keeps its own."""
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return network


def say_unreadable(faults: Sequence[str], consequence: str, say: Callable[[str], None]) -> None:
    """Says which images could not be read, by any of the processes, each once; all processes have to come here."""
    for line in describe_unreadable(sorted(set(gather_object(list(faults)))), consequence):
        say(line)
