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
from harness.images.sampling import LabelledFrames, NearbyFrames, TrackSampler, TrainingSampler, augmentation_uniforms
from harness.recipes.pretraining import PretrainingRecipe
from harness.recipes.starting import BACKBONE
from harness.runs.store import Run
from harness.training.objective import Objective
from models.ssl.base import Partners, PretrainingMethod
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE
from models.ssl.views import view_sheet
from models.weights.exporting import backbone_bytes

VIEWS = "views.png"
SHOWN_IMAGES = 8


@dataclass
class PretrainingBatch:
    """This process's share of a step: decoded images, their uniform numbers, and their landmarks if any are known.

    `partners` are what the second views show where that is not the same images, with landmarks of their own.
    """

    images: ImageBatch
    uniforms: Tensor
    landmarks: Tensor | None = None
    partners: ImageBatch | None = None
    partner_landmarks: Tensor | None = None


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
        frames = unlabelled_frames(self.tracks)
        self.sampler = _sampler(frames, recipe)
        self.nearby = NearbyFrames(frames, _reach(self.tracks, recipe), recipe.seed) if recipe.pairs_frames else None
        self._watched: dict[str, Tensor] = {}
        self._faults: dict[str, None] = {}

    def make_batch(self, step: int, rank: int, processes: int) -> PretrainingBatch:
        """The share of process `rank` in the batch of `step`."""
        return self.first_of(step, self.recipe.batch, rank, processes)

    def first_of(self, step: int, count: int, rank: int = 0, processes: int = 1) -> PretrainingBatch:
        """The share of process `rank` in the first `count` samples of `step`."""
        samples = self.sampler.step_samples(step, count)
        uniforms = augmentation_uniforms(self.recipe.seed, step, count, self.method.uniforms)[rank::processes]
        images, landmarks = self._read(samples[rank::processes])
        batch = PretrainingBatch(images, torch.from_numpy(uniforms), landmarks)
        if self.nearby is not None:
            partners = self.nearby.step_partners(step, samples)[rank::processes]
            batch.partners, batch.partner_landmarks = self._read(partners)
        return batch

    def _read(self, rows: NDArray[np.int64]) -> tuple[ImageBatch, Tensor | None]:
        """The images of rows of the sampler's table, with their landmarks."""
        frames = self.sampler.frames
        requests = [ImageRequest(self.tracks[frames.track[row]], int(frames.frame[row])) for row in rows]
        landmarks = None if self.landmarks is None else torch.from_numpy(self._landmarks_of(requests, self.landmarks))
        return read_batch(requests, self.recipe.decode_size), landmarks

    def _landmarks_of(self, requests: Sequence[ImageRequest], known: Landmarks) -> NDArray[np.float32]:
        """The points (B, 68, 2) of the images, the template where the table has none."""
        template = np.asarray(TEMPLATE, dtype=np.float32) / np.float32(TEMPLATE_SIDE)
        found = [known.of(request.track.name, request.frame) for request in requests]
        return np.stack([template if points is None else points for points in found])

    def loss(self, network: nn.Module, batch: PretrainingBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The method's loss of this share; an unreadable image is listed, and the next readable one is seen twice."""
        figures = network(*self._views(batch, self._readable(batch), accelerator.device))
        self._watched = {name: value for name, value in figures.items() if name != "loss"}
        loss: Tensor = figures["loss"]
        return loss

    def _views(self, batch: PretrainingBatch, rows: Tensor | slice, device: torch.device) -> tuple[Tensor, ...]:
        """The method's views of the images of some rows, under the numbers of all."""

        def placed(values: Tensor) -> Tensor:
            return values[rows].to(device, non_blocking=True)

        landmarks, theirs = (None if points is None else placed(points) for points in (batch.landmarks, batch.partner_landmarks))
        return self.method.make_views(
            placed(batch.images.images),
            batch.uniforms.to(device, non_blocking=True),
            landmarks,
            None if batch.partners is None else Partners(placed(batch.partners.images), theirs),
        )

    def _readable(self, batch: PretrainingBatch) -> Tensor | slice:
        """The rows of a batch to see: all of them, or for one that cannot be read the next that can; partners go with theirs."""
        parts = [batch.images] if batch.partners is None else [batch.images, batch.partners]
        faults = [reason for part in parts for _, reason in part.faults]
        self._faults |= dict.fromkeys(faults)
        readable = np.flatnonzero(np.logical_and.reduce([part.readable.numpy() for part in parts]))
        count = len(batch.images.images)
        if len(readable) == count:
            return slice(None)
        if len(readable) == 0:
            raise DataError("none of a batch's images can be read", found=faults[0], remedy="`harness doctor` names them")
        nearest = readable[np.searchsorted(readable, np.arange(count)) % len(readable)]
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
        batch = self.first_of(0, min(SHOWN_IMAGES, self.recipe.batch))
        shown = [view for view in self._views(batch, slice(None), torch.device("cpu")) if view.dim() == 4]
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


def _sampler(frames: LabelledFrames, recipe: PretrainingRecipe) -> TrainingSampler | TrackSampler:
    """Which frames are seen at which step."""
    if recipe.sampling == "tracks":
        return TrackSampler(frames, recipe.frame_step, recipe.seed)
    return TrainingSampler(
        frames,
        frame_step=recipe.frame_step,
        frame_draw="fresh",
        balance="none",
        balance_threshold=0.0,
        classes=1,
        seed=recipe.seed,
    )


def _reach(tracks: Sequence[Track], recipe: PretrainingRecipe) -> NDArray[np.int64]:
    """How many frames apart the two of a pair may be, by track. Raises DataError if the rate of a recording is unknown."""
    rates = [recipe.fps if track.frame_rate is None else track.frame_rate for track in tracks]
    for track, rate in zip(tracks, rates, strict=True):
        if rate is None and len(track.frames):
            raise DataError(
                f"the frame rate of the recording {track.recording} is unknown",
                remedy="`harness doctor DATA --videos DIR` measures the rates, --set fps=30 says that of all without one",
            )
    # Rounding takes no frame away, as it would of 0.29 seconds at 100 frames per second.
    return np.array([int(recipe.positive_seconds * (rate or 0) + 1e-6) for rate in rates], dtype=np.int64)


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
