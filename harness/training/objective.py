"""What the one loop asks of an objective: the batch of a step, the loss of a batch, an evaluation, and all the state there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from harness.errors import DataError
from harness.runs.store import Run


class Objective(ABC):
    """A kind of training. Everything it does at a step is a function of the step, its seed and its data.

    Attributes
    ----------
    network : what is optimised; its parameters and buffers are part of every checkpoint.
    metric_name : the figure of `evaluate` by which the best checkpoint is chosen; None if there is no evaluation.
    unreadable_are : what is done with images that cannot be read, in words.
    memory_savers : what to try besides a smaller batch where one does not fit into memory, in words.
    """

    network: nn.Module
    metric_name: str | None = None
    unreadable_are: str = "left out"
    memory_savers: str = "more frozen stages or GPUs"

    @abstractmethod
    def make_batch(self, step: int, rank: int, processes: int) -> Any:
        """What process `rank` of `processes` sees at `step`; runs in a worker process."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Any, step: int, accelerator: Accelerator) -> Tensor:
        """The mean loss of this process's share; `network` is `self.network` as prepared for this process."""

    def portions(self, batch: Any) -> list[tuple[float, Any]]:
        """The parts of a share that are worked on one after the other, each with the weight of its loss; by default one."""
        return [(1.0, batch)]

    def begin(self, run: Run) -> None:  # noqa: B027 - most have nothing to do here
        """Whatever is to be written into the run's folder before the first step; called on the main process."""

    def after_step(self, network: nn.Module, step: int) -> None:  # noqa: B027 - most have nothing to do here
        """Whatever follows the optimizer's step, such as running averages; `network` is unwrapped."""

    def watch(self) -> dict[str, float]:
        """Figures of the last step to note beside its loss; functions of the run's inputs."""
        return {}

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """Figures on held-out data, the same on every process; `network` is unwrapped."""
        return {}

    def end(self, run: Run) -> None:  # noqa: B027 - most have nothing to do here
        """Whatever is to be written when all steps are done; called on the main process."""

    def export(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights that a checkpoint is for: what predicts, or what is trained further. By default all weights and buffers."""
        return dict(network.state_dict())

    def extra_state(self, network: nn.Module) -> dict[str, Tensor]:
        """Tensors beyond `export` that going on needs."""
        return {}

    def restore(self, network: nn.Module, exported: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> None:
        """Takes up what `export` and `extra_state` gave. Raises DataError if it is of another network."""
        try:
            network.load_state_dict(dict(exported))
        except RuntimeError as error:
            raise DataError(f"the checkpoint is of another network: {error}", remedy="start over with --fresh") from error

    def rate_factors(self) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
        """Groups of trainable parameters with their learning rate as a multiple of the schedule's; by default one of all."""
        return [(1.0, [(name, value) for name, value in self.network.named_parameters() if value.requires_grad])]

    def faults(self) -> list[str]:
        """What could not be read so far, one line each."""
        return []
