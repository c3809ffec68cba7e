"""The self-supervised objectives: views of unlabelled crops, a method's loss, and diagnostics against collapse."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from harness import files
from harness.data.landmarks import Landmarks
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.batches import ImageBatch, ImageRequest, read_batch
from harness.images.sampling import LabelledFrames, TrainingSampler, augmentation_uniforms
from harness.recipes.pretraining import PretrainingRecipe
from harness.runs.store import Run
from harness.training.objective import Objective
from models.ssl.base import PretrainingMethod
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE
from models.ssl.views import view_sheet
from models.weights.exporting import backbone_bytes

BACKBONE = "backbone.safetensors"
VIEWS = "views.png"
SHOWN_IMAGES = 8


@dataclass
class PretrainingBatch:
    """This process's share of a step: decoded images, their uniform numbers, and their landmarks if any are known."""

    images: ImageBatch
    uniforms: Tensor
    landmarks: Tensor | None = None


def unlabelled_frames(tracks: Sequence[Track]) -> LabelledFrames:
    """Every frame with an image, as a table for the sampler; labels are not looked at."""
    counts = [len(track.frames) for track in tracks]
    frames = np.concatenate([np.empty(0, np.int32), *(track.frames for track in tracks)])
    index = np.repeat(np.arange(len(tracks), dtype=np.int32), counts)
    return LabelledFrames(index, frames.astype(np.int32), np.zeros(len(frames), dtype=np.int8))


class PretrainingObjective(Objective):
    """One method of models.ssl on the crops of some tracks, as an objective of the one loop.

    Parameters
    ----------
    method : networks and loss, with all their state.
    recipe : all settings.
    tracks : whose crops are seen.
    landmarks : facial points of some images; None takes the method's template for all.
    """

    def __init__(
        self,
        method: PretrainingMethod,
        recipe: PretrainingRecipe,
        tracks: Sequence[Track],
        landmarks: Landmarks | None = None,
    ) -> None:
        self.network: nn.Module = method
        self.method = method
        self.recipe = recipe
        self.tracks = list(tracks)
        self.landmarks = landmarks
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
        return self.read(samples, uniforms)

    def read(self, samples: NDArray[np.int64], uniforms: NDArray[np.float32]) -> PretrainingBatch:
        """The images of rows of the sampler's table, with their landmarks."""
        frames = self.sampler.frames
        requests = [ImageRequest(self.tracks[frames.track[row]], int(frames.frame[row])) for row in samples]
        landmarks = None if self.landmarks is None else torch.from_numpy(self._landmarks_of(requests, self.landmarks))
        return PretrainingBatch(read_batch(requests, self.recipe.decode_size), torch.from_numpy(uniforms), landmarks)

    def _landmarks_of(self, requests: Sequence[ImageRequest], known: Landmarks) -> NDArray[np.float32]:
        """The points (B, 68, 2) of the images, the template where the table has none."""
        template = np.asarray(TEMPLATE, dtype=np.float32) / np.float32(TEMPLATE_SIDE)
        found = [known.of(request.track.name, request.frame) for request in requests]
        return np.stack([template if points is None else points for points in found])

    def loss(self, network: nn.Module, batch: PretrainingBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The method's loss of this share; an unreadable image is listed, and the next readable one is seen twice."""
        rows = self._readable(batch.images)
        views = self.method.make_views(
            batch.images.images[rows].to(accelerator.device, non_blocking=True),
            batch.uniforms.to(accelerator.device, non_blocking=True),
            None if batch.landmarks is None else batch.landmarks[rows].to(accelerator.device, non_blocking=True),
        )
        figures = network(*views)
        self._watched = {name: value for name, value in figures.items() if name != "loss"}
        loss: Tensor = figures["loss"]
        return loss

    def _readable(self, batch: ImageBatch) -> Tensor | slice:
        """The rows of a batch to see: all of them, or for one that cannot be read the next that can."""
        for _, reason in batch.faults:
            self._faults[reason] = None
        readable = np.flatnonzero(batch.readable.numpy())
        if len(readable) == len(batch.images):
            return slice(None)
        if len(readable) == 0:
            raise DataError(
                "none of a batch's images can be read", found=batch.faults[0][1], remedy="`harness doctor` names them"
            )
        nearest = readable[np.searchsorted(readable, np.arange(len(batch.images))) % len(readable)]
        return torch.from_numpy(nearest)

    def after_step(self, network: nn.Module, step: int) -> None:
        """Moves the slow networks and fills queues, as the method wants."""
        assert isinstance(network, PretrainingMethod)
        network.after_step(step, self.recipe.iterations)

    def watch(self) -> dict[str, float]:
        """The last step's diagnostics: similarities of positives and warped negatives, deviation of features."""
        return {name: float(value) for name, value in self._watched.items()}

    def faults(self) -> list[str]:
        """The images that could not be read so far."""
        return list(self._faults)

    def begin(self, run: Run) -> None:
        """Writes the views of the first images of step 0 as a PNG: a row for each image, a column for each view."""
        rows = self.sampler.step_samples(0, min(SHOWN_IMAGES, self.recipe.batch))
        batch = self.read(rows, augmentation_uniforms(self.recipe.seed, 0, len(rows), self.method.uniforms))
        views = self.method.make_views(batch.images.images, batch.uniforms, batch.landmarks)
        shown = [view for view in views if view.dim() == 4]
        sheet = view_sheet(shown, self.method.backbone.mean, self.method.backbone.std)
        buffer = io.BytesIO()
        Image.fromarray(sheet.numpy()).save(buffer, "PNG")
        files.write_bytes(run.path / VIEWS, buffer.getvalue())

    def end(self, run: Run) -> None:
        """Writes the backbone."""
        recipe = self.recipe
        # No name of the run: the same pre-training gives the same bytes under any.
        revision = {key: str(value) for key, value in recipe.recorded_revision().items()}
        weights = run.manifest.get("weights")
        began = {} if weights is None else {"weights_sha256": weights["sha256"]}
        origin = {"method": recipe.method, **revision, **began, "iterations": str(recipe.iterations), "seed": str(recipe.seed)}
        files.write_bytes(run.path / BACKBONE, backbone_bytes(self.method.backbone, recipe.backbone, origin=origin))


def build_method(recipe: PretrainingRecipe, backbone: Any) -> PretrainingMethod:
    """The method of a recipe around `backbone`, its other networks drawn from torch's global generator.

    Raises ValueError if the method does not suit the backbone.
    """
    from models import ssl
    from models.ssl.views import ViewSettings
    from models.ssl.warp import LocalWarp

    options = {**recipe.method_options(), "views": ViewSettings(**recipe.view_options())}
    if recipe.method == "contrawarping":
        options["warp"] = LocalWarp(
            recipe.warp_points,
            recipe.warp_magnitude,
            (recipe.warp_radius[0], recipe.warp_radius[1]),
            recipe.warp_directions,
            recipe.warp_family,
        )
    return ssl.create(recipe.method, backbone, **options)
