"""The supervised objective: cross-entropy of a frame's logits with its label, validated by pooled macro-F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.batches import ImageBatch, ImageRequest, read_batch
from harness.images.sampling import TrainingSampler, augmentation_uniforms, labelled_frames, with_pictures
from harness.images.transforms import Augmentation, augment, prepare_test
from harness.images.workers import loader
from harness.kinds.parts import parts_of
from harness.recipes.recipe import Recipe
from harness.training.criterion import criterion_of
from harness.training.losses.pool import over_processes
from harness.training.objective import Objective
from harness.training.training_data import TrainingData
from harness.training.validation import pooled_figures, score_of, track_sums
from models.classifier import Classifier

VALIDATION_BATCH = 64


@dataclass
class SupervisedBatch:
    """This process's share of a step: decoded images, their labels (-1 where unreadable) and uniform numbers.

    `known` bool (B, C) says which classes the data set of each image can show; None for all.
    """

    images: ImageBatch
    labels: Tensor
    uniforms: Tensor
    known: Tensor | None = None


class SupervisedObjective(Objective):
    """Frame-wise training of a Classifier on labelled frames.

    Parameters
    ----------
    network : the classifier, already with its initial weights and frozen stages.
    recipe : all settings.
    data : what to learn from and to validate on.
    strict : whether an image that cannot be read is an error (DataError) instead of one that contributes nothing.
    """

    unreadable_are = "left out of training, missing in validation"

    def __init__(
        self,
        network: Classifier,
        recipe: Recipe,
        data: TrainingData,
        strict: bool = False,
    ) -> None:
        self.network: nn.Module = network
        self.recipe = recipe
        self.training = list(data.training)
        self.validation = [track for track in data.validation if track.labels is not None]
        self.challenge, self.parts = data.challenge, parts_of(data.challenge)
        columns = len(self.parts.columns)
        self.metric_name = score_of(data.challenge)[1] if self.validation else None
        self.criterion = criterion_of(self.parts, recipe)
        self.mean, self.std = network.backbone.mean, network.backbone.std
        frames = labelled_frames(self.training, recipe.label_shift, data.challenge)
        self.known: NDArray[np.bool_] | None = None
        if data.extra is not None:
            frames = with_pictures(frames, len(self.training), labelled_frames(data.extra.tracks))
            all_known = np.ones((len(self.training), columns), dtype=bool)
            self.known = np.concatenate([all_known, data.extra.known_classes])
            self.training += data.extra.tracks
        self.sampler = TrainingSampler(
            frames,
            frame_step=recipe.frame_step,
            frame_draw=recipe.frame_draw,
            balance=recipe.balance,
            balance_threshold=recipe.balance_threshold,
            classes=columns,
            seed=recipe.seed,
            label_shift=recipe.label_shift,
            picture_share=data.extra_share,
        )
        self.augmentation = Augmentation(
            recipe.image_size,
            (recipe.crop_area[0], recipe.crop_area[1]),
            recipe.flip,
            recipe.rotate,
            recipe.grayscale,
            recipe.colour_jitter,
            recipe.blur,
            recipe.erase,
            recipe.published_augmentation,
        )
        self.averaged = _copy(network) if recipe.average else None
        self.prior = data.prior()
        self.strict = strict
        self._faults: dict[str, None] = {}

    def make_batch(self, step: int, rank: int, processes: int) -> SupervisedBatch:
        """The share of process `rank` in the batch of `step`: every processes-th sample, so that shares are alike."""
        batch = self.recipe.batch
        samples = self.sampler.step_samples(step, batch)[rank::processes]
        uniforms = augmentation_uniforms(self.recipe.seed, step, batch)[rank::processes]
        frames = self.sampler.frames
        requests = [ImageRequest(self.training[frames.track[row]], int(frames.frame[row])) for row in samples]
        images = read_batch(requests, self.recipe.decode_size)
        labels = torch.from_numpy(frames.label[samples].astype(np.int64 if self.challenge.integral else np.float64))
        labels[~images.readable] = torch.tensor(self.challenge.ignored, dtype=labels.dtype).squeeze()
        known = None if self.known is None else torch.from_numpy(self.known[frames.track[samples]])
        return SupervisedBatch(images, labels, torch.from_numpy(uniforms), known)

    def loss(self, network: nn.Module, batch: SupervisedBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The loss of the challenge's parts; an unreadable image contributes nothing, nor does a class its data set lacks.

        Cross-entropy is a mean over the share, concordance is that of the whole batch.
        """
        self._note_faults(batch.images)
        device = accelerator.device
        images = augment(
            batch.images.images.to(device, non_blocking=True),
            batch.uniforms.to(device, non_blocking=True),
            self.augmentation,
            self.mean,
            self.std,
        )
        labels = batch.labels.to(device, non_blocking=True)
        logits = network(images)
        known = None if batch.known is None else batch.known.to(device, non_blocking=True)
        count = len(labels)
        pool = over_processes(accelerator)
        return self.criterion.to(device)(logits.float(), labels.reshape(count, -1), lambda total: total / count, pool, known)  # type: ignore[no-any-return]

    def after_step(self, network: nn.Module, step: int) -> None:
        """Moves the running average of the weights, faster at first; statistics are taken over as they are."""
        if self.averaged is None:
            return
        decay = min(self.recipe.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                average = self.averaged[name]
                if average.is_floating_point():
                    average.lerp_(value.to(average.device), 1 - decay)
                else:
                    average.copy_(value)

    def export(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights that predict: the running average if there is one."""
        return dict(network.state_dict() if self.averaged is None else self.averaged)

    def extra_state(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights as the optimizer has them, where the running average predicts."""
        return {} if self.averaged is None else dict(network.state_dict())

    def restore(self, network: nn.Module, exported: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> None:
        """Takes up what a checkpoint holds. Raises DataError if it is of another network."""
        super().restore(network, exported if self.averaged is None else extra, {})
        if self.averaged is not None:
            self.averaged = {name: value.to(self.averaged[name].device) for name, value in exported.items()}

    def rate_factors(self) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
        """Backbone and head, each with its learning rate factor."""
        trainable = [(name, value) for name, value in self.network.named_parameters() if value.requires_grad]
        backbone = [entry for entry in trainable if entry[0].startswith("backbone.")]
        head = [entry for entry in trainable if not entry[0].startswith("backbone.")]
        return [(self.recipe.backbone_rate, backbone), (1.0, head)]

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """The pooled score and its measures on the validation tracks, without smoothing.

        Labelled frames without a face are filled, as in a submission, unless the recipe drops them. All processes evaluate what
        the first one saves: on a CPU each has BatchNorm statistics of its own.
        """
        _take_from_first(self.export(network), accelerator)
        raw = None
        if self.averaged is not None:
            raw = _copy(network)
            network.load_state_dict(self.averaged)
        totals = torch.zeros(self.parts.size, dtype=torch.int64 if self.challenge.integral else torch.float64)
        mine = self.validation[accelerator.process_index :: accelerator.num_processes]
        for track, frames, logits in self._validation_logits(network, accelerator, mine, workers):
            totals += torch.from_numpy(self._track_sums(track, frames, logits))
        if raw is not None:
            network.load_state_dict(raw)
        return pooled_figures(totals, accelerator, self.challenge)

    def _track_sums(self, track: Track, frames: NDArray[np.int32], logits: NDArray[np.float32]) -> NDArray:
        skipped = np.setdiff1d(track.frames, track.frames[:: self.recipe.validation_step])
        return track_sums(self.parts, track, frames, logits, skipped, self.prior, self.recipe.validate_missing)

    def _validation_logits(
        self, network: nn.Module, accelerator: Accelerator, tracks: Sequence[Track], workers: int
    ) -> list[tuple[Track, NDArray[np.int32], NDArray[np.float32]]]:
        """Logits of the tracks' seen frames (every validation_step-th), in forward passes of one fixed size."""
        recipe = self.recipe
        wanted = [(track, track.frames[:: recipe.validation_step]) for track in tracks]
        requests = [ImageRequest(track, int(frame)) for track, frames in wanted for frame in frames]
        numbers = range(-(-len(requests) // VALIDATION_BATCH))
        parts, readable = [], []
        batches = loader(
            lambda number: read_batch(requests[number * VALIDATION_BATCH : (number + 1) * VALIDATION_BATCH], recipe.decode_size),
            numbers,
            workers,
            accelerator.device.type == "cuda",
        )
        for batch in batches:
            padded = F.pad(batch.images, (0, 0, 0, 0, 0, 0, 0, VALIDATION_BATCH - len(batch.images)))
            images = prepare_test(padded.to(accelerator.device), recipe.image_size, recipe.test_resize, self.mean, self.std)
            with torch.inference_mode(), accelerator.autocast():
                logits = network(images)
            parts.append(logits.float().cpu().numpy()[: len(batch.images)])
            readable.append(batch.readable.numpy())
            self._note_faults(batch)
        all_logits = np.concatenate(parts) if parts else np.empty((0, len(self.parts.columns)), np.float32)
        all_readable = np.concatenate(readable) if readable else np.empty(0, bool)
        results, position = [], 0
        for track, frames in wanted:
            part = slice(position, position + len(frames))
            seen = all_readable[part]
            results.append((track, frames[seen], all_logits[part][seen]))
            position += len(frames)
        return results

    def _note_faults(self, batch: ImageBatch) -> None:
        for _, reason in batch.faults:
            if self.strict:
                raise DataError(
                    "an image cannot be read",
                    found=reason,
                    remedy="`harness doctor` names them all: mend or remove them, or leave out --strict",
                )
            self._faults[reason] = None

    def faults(self) -> list[str]:
        """The images that could not be read so far."""
        return list(self._faults)


def _take_from_first(tensors: Mapping[str, Tensor], accelerator: Accelerator) -> None:
    """Overwrites the tensors of all other processes with those of the first, in place."""
    if accelerator.num_processes == 1:
        return
    with torch.no_grad():
        for tensor in tensors.values():
            # A copy in the plain order of memory, for not every way of communication takes channels last.
            tensor.copy_(broadcast(tensor.contiguous(), from_process=0))


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
