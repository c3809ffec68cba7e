"""When a checkpoint is taken up and when one is written; what is in it stands in state, how it appears in runs.checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from accelerate import Accelerator
from torch import nn

from harness.errors import DataError
from harness.runs import checkpoints
from harness.runs.checkpoints import Checkpoint
from harness.runs.store import Run
from harness.training import state
from harness.training.objective import Objective


class CheckpointSaver:
    """Saves and restores the whole state of a training."""

    def __init__(
        self, run: Run, objective: Objective, accelerator: Accelerator, network: Any, optimizer: Any, metadata: Mapping[str, str]
    ) -> None:
        self.run = run
        self.objective = objective
        self.accelerator = accelerator
        self.network: nn.Module = accelerator.unwrap_model(network)
        self.optimizer = optimizer
        self.metadata = metadata
        self.saved_step = -1

    def resume(self, say: Callable[[str], None]) -> int:
        """Takes up the newest whole checkpoint; returns the number of steps done, 0 without any checkpoint."""
        skipped: list[DataError] = []
        checkpoint = checkpoints.last(self.run, skipped.append)
        for error in skipped:
            say(f"skipped a damaged checkpoint: {error}")
        if checkpoint is None:
            return 0
        self.objective.restore(
            self.network,
            state.load_tensors(checkpoint.path / state.MODEL),
            state.load_tensors(checkpoint.path / state.EXTRA),
        )
        state.load_optimizer(checkpoint.path, self.optimizer.optimizer, self.accelerator.scaler)
        self.saved_step = checkpoint.step
        say(f"resumed at step {checkpoint.step} from {checkpoint.path}")
        return checkpoint.step

    def save(self, step: int, metric: float | None) -> Checkpoint | None:
        """Writes a checkpoint on the main process, then removes the older ones; the others wait."""
        checkpoint = None
        failure: DataError | None = None
        if self.accelerator.is_main_process:
            try:
                checkpoint = checkpoints.write(
                    self.run,
                    step,
                    metric,
                    lambda place: state.save(
                        place,
                        self.objective.export(self.network),
                        self.objective.extra_state(self.network),
                        self.optimizer.optimizer,
                        self.accelerator.scaler,
                        self.metadata,
                    ),
                )
                checkpoints.remove_older(self.run, checkpoint)
            except DataError as error:
                failure = error
        if failure is not None:
            raise failure
        self.accelerator.wait_for_everyone()
        self.saved_step = step
        return checkpoint
