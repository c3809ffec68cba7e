"""The self-supervised objectives: views of unlabelled crops, a method's loss, and diagnostics against collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.batches import ImageBatch, ImageRequest, read_batch
from harness.images.sampling import LabelledFrames, TrainingSampler, augmentation_uniforms
from harness.recipes.pretraining import PretrainingRecipe
from models.ssl.base import PretrainingMethod


@dataclass
class PretrainingBatch:
    """This process's share of a step: decoded images and their uniform numbers."""

    images: ImageBatch
    uniforms: Tensor

    def pin_memory(self) -> PretrainingBatch:
        """The same with all that goes to a GPU in memory that it fetches by itself; the loader asks for it."""
        return PretrainingBatch(self.images.pin_memory(), self.uniforms.pin_memory())


def unlabelled_frames(tracks: Sequence[Track]) -> LabelledFrames:
    """Every frame with an image, as a table for the sampler; labels are not looked at."""
    counts = [len(track.frames) for track in tracks]
    frames = np.concatenate([np.empty(0, np.int32), *(track.frames for track in tracks)])
    index = np.repeat(np.arange(len(tracks), dtype=np.int32), counts)
    return LabelledFrames(index, frames.astype(np.int32), np.zeros(len(frames), dtype=np.int8))


class PretrainingObjective:
    """One method of models.ssl on the crops of some tracks, as an objective of the one loop.

    Parameters
    ----------
    method : networks and loss, with all their state.
    recipe : all settings.
    tracks : whose crops are seen.
    """

    def __init__(self, method: PretrainingMethod, recipe: PretrainingRecipe, tracks: Sequence[Track]) -> None:
        self.network: nn.Module = method
        self.method = method
        self.recipe = recipe
        self.tracks = list(tracks)
        self.metric_name: str | None = None
        self.sampler = TrainingSampler(
            unlabelled_frames(self.tracks),
            frame_step=recipe.frame_step,
            frame_draw="fresh",
            balance="none",
            balance_threshold=0.0,
            classes=1,
            seed=recipe.seed,
        )
        self._watched: dict[str, Tensor] = {}
        self._faults: dict[str, None] = {}

    def make_batch(self, step: int, rank: int, processes: int) -> PretrainingBatch:
        """The share of process `rank` in the batch of `step`."""
        batch = self.recipe.batch
        samples = self.sampler.step_samples(step, batch)[rank::processes]
        uniforms = augmentation_uniforms(self.recipe.seed, step, batch, self.method.uniforms)[rank::processes]
        frames = self.sampler.frames
        requests = [ImageRequest(self.tracks[frames.track[row]], int(frames.frame[row])) for row in samples]
        return PretrainingBatch(read_batch(requests, self.recipe.decode_size), torch.from_numpy(uniforms))

    def loss(self, network: nn.Module, batch: PretrainingBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The method's loss of this share; an unreadable image is listed, and the next readable one is seen twice."""
        images = self._readable(batch.images)
        views = self.method.make_views(
            images.to(accelerator.device, non_blocking=True), batch.uniforms.to(accelerator.device, non_blocking=True)
        )
        figures = network(*views)
        self._watched = {name: value for name, value in figures.items() if name != "loss"}
        loss: Tensor = figures["loss"]
        return loss

    def _readable(self, batch: ImageBatch) -> Tensor:
        for _, reason in batch.faults:
            self._faults[reason] = None
        readable = np.flatnonzero(batch.readable.numpy())
        if len(readable) == len(batch.images):
            return batch.images
        if len(readable) == 0:
            raise DataError(
                "none of a batch's images can be read", found=batch.faults[0][1], remedy="`harness doctor` names them"
            )
        nearest = readable[np.searchsorted(readable, np.arange(len(batch.images))) % len(readable)]
        return batch.images[torch.from_numpy(nearest)]

    def after_step(self, network: nn.Module, step: int) -> None:
        """Moves the slow networks and fills queues, as the method wants."""
        assert isinstance(network, PretrainingMethod)
        network.after_step(step, self.recipe.iterations)

    def watch(self) -> dict[str, float]:
        """The last step's diagnostics: similarities of positives and warped negatives, deviation of features."""
        return {name: float(value) for name, value in self._watched.items()}

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """Nothing: what the features are worth is measured by `harness probe`."""
        return {}

    def export(self, network: nn.Module) -> dict[str, Tensor]:
        """All of the method's networks."""
        return dict(network.state_dict())

    def extra_state(self, network: nn.Module) -> dict[str, Tensor]:
        """Nothing beyond `export`."""
        return {}

    def restore(self, network: nn.Module, exported: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> None:
        """Takes up what a checkpoint holds. Raises DataError if it is of another method or network."""
        try:
            network.load_state_dict(dict(exported))
        except RuntimeError as error:
            raise DataError(f"the checkpoint is of another network: {error}", remedy="start anew with --fresh") from error

    def rate_factors(self) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
        """All trainable parameters, at the schedule's rate."""
        return [(1.0, [(name, value) for name, value in self.network.named_parameters() if value.requires_grad])]

    def faults(self) -> list[str]:
        """The images that could not be read so far."""
        return list(self._faults)


def build_method(recipe: PretrainingRecipe, backbone: Any) -> PretrainingMethod:
    """The method of a recipe around `backbone`, its other networks drawn from torch's global generator.

    Raises ValueError if the method does not suit the backbone.
    """
    from models import ssl
    from models.ssl.warp import LocalWarp

    options = recipe.method_options()
    if recipe.method == "contrawarping":
        options["warp"] = LocalWarp(recipe.warp_points, recipe.warp_magnitude, directions=recipe.warp_directions)
    return ssl.create(recipe.method, backbone, **options)
