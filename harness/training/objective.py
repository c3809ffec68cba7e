"""What the one loop asks of an objective: the batch of a step, the loss of a batch, an evaluation, and all the state there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

from accelerate import Accelerator
from torch import Tensor, nn

from harness.errors import DataError


@dataclass(frozen=True)
class LoopSettings:
    """What the loop itself needs to know; the fields are recipe keys of the same names."""

    iterations: int
    batch: int
    optimizer: str
    learning_rate: float
    momentum: float
    betas: Sequence[float]
    weight_decay: float
    decay_everything: bool
    warmup: int
    warmup_from: float
    lowest_learning_rate: float
    clip_gradient: float
    evaluate_every: int
    checkpoint_every: int

    @classmethod
    def of(cls, recipe: Any) -> LoopSettings:
        """From a recipe with keys of these names."""
        return cls(**{entry.name: getattr(recipe, entry.name) for entry in fields(cls)})


class NetworkState:
    """The state of an objective that has none but its network's."""

    def export(self, network: nn.Module) -> dict[str, Tensor]:
        """All weights and buffers."""
        return dict(network.state_dict())

    def extra_state(self, network: nn.Module) -> dict[str, Tensor]:
        """Nothing beyond `export`."""
        return {}

    def restore(self, network: nn.Module, exported: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> None:
        """Takes up what a checkpoint holds. Raises DataError if it is of another network."""
        try:
            network.load_state_dict(dict(exported))
        except RuntimeError as error:
            raise DataError(f"the checkpoint is of another network: {error}", remedy="start anew with --fresh") from error


class Objective(Protocol):
    """A kind of training. Everything it does at a step is a function of the step, its seed and its data.

    Attributes
    ----------
    network : what is optimised; its parameters and buffers are part of every checkpoint.
    metric_name : the figure of `evaluate` by which the best checkpoint is chosen; None if there is no evaluation.
    """

    network: nn.Module
    metric_name: str | None

    def make_batch(self, step: int, rank: int, processes: int) -> Any:
        """What process `rank` of `processes` sees at `step`; runs in a worker process."""

    def loss(self, network: nn.Module, batch: Any, step: int, accelerator: Accelerator) -> Tensor:
        """The mean loss of this process's share; `network` is `self.network` as prepared for this process."""

    def after_step(self, network: nn.Module, step: int) -> None:
        """Whatever follows the optimizer's step, such as running averages; `network` is unwrapped."""

    def watch(self) -> dict[str, float]:
        """Figures of the last step to note beside its loss; functions of the run's inputs."""

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """Figures on held-out data, the same on every process; `network` is unwrapped."""

    def export(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights that a checkpoint is for: what predicts, or what is trained further."""

    def extra_state(self, network: nn.Module) -> dict[str, Tensor]:
        """Tensors beyond `export` that going on needs."""

    def restore(self, network: nn.Module, exported: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> None:
        """Takes up what `export` and `extra_state` gave."""

    def rate_factors(self) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
        """Groups of trainable parameters with their learning rate as a multiple of the schedule's."""

    def faults(self) -> list[str]:
        """What could not be read so far, one line each."""
