"""What every kind of training begins with: a run's folder, its lock, and the checks that come before the first step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from harness import files
from harness.errors import UsageError
from harness.runs import checkpoints, store
from harness.runs.store import Run
from harness.training.loop import Outcome
from harness.training.trackers import Trackers

LOCK = ".lock"


def refuse_uneven(batch: int, accelerator: Accelerator) -> None:
    """Raises UsageError unless the batch divides among the processes."""
    if batch % accelerator.num_processes:
        raise UsageError(
            "the batch does not divide among the processes",
            found=f"batch {batch}, {accelerator.num_processes} processes",
            expected="a batch that is a multiple of the number of processes",
        )


def open_run(path: Path, manifest: dict[str, Any], fresh: bool, accelerator: Accelerator, stack: contextlib.ExitStack) -> Run:
    """Makes or opens the run's folder on the main process and locks it there."""
    files.safe_name(path.name, "the run's name")
    if accelerator.is_main_process:
        files.make_directory(path)
        stack.enter_context(files.lock(path / LOCK, f"the run {path.name!r}"))
        if fresh:
            for entry in path.iterdir():
                if entry.name != LOCK:
                    files.remove(entry)
        run, _ = store.open_or_create(path, manifest)
        files.remove_temporaries(checkpoints.directory(run))
    accelerator.wait_for_everyone()
    return Run(path)


def finished(run: Run, iterations: int, say: Callable[[str], None]) -> Outcome | None:
    """How a run ended whose last checkpoint has all its steps; None if there is something left to do."""
    checkpoint = checkpoints.last(run, lambda error: say(f"passed over a damaged checkpoint: {error}"))
    if checkpoint is None or checkpoint.step < iterations:
        return None
    checkpoints.remove_older(run)  # a process killed right after its last save did not
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
