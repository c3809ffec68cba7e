"""The supervised objective: cross-entropy of a frame's logits with its label, validated by pooled macro-F1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from harness.images.mixing import drawn_mix, mixed
from harness.images.rand_augment import NUMBERS, rand_augment
from harness.images.sampling import (
    OPERATIONS,
    OWN,
    PATHS,
    TrainingSampler,
    augmentation_uniforms,
    labelled_frames,
    uniforms_for,
    with_pictures,
)
from harness.images.transforms import Augmentation, augment, prepare_test
from harness.images.workers import loader
from harness.kinds.parts import parts_of
from harness.recipes.recipe import Recipe
from harness.training.criterion import criterion_of, weights_by_class
from harness.training.losses.parts import PartsLoss
from harness.training.losses.pool import over_processes
from harness.training.objective import Objective
from harness.training.own_code import OWN_NUMBERS, own_augmentation, own_loss
from harness.training.supervised_batch import Pairs, SupervisedBatch
from harness.training.training_data import TrainingData
from harness.training.validation import pooled_figures, score_of, track_sums
from models import lora
from models.backbones.drop_path import drop_paths, give_numbers
from models.classifier import Classifier

VALIDATION_BATCH = 64
AVERAGED = "averaged."
"""What the names of the running average's tensors begin with beside those of the network itself."""
PART_WEIGHTS = "part_log_variances"
"""What the learned weights of the parts are called among the parameters of the network in training."""


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
    memory_savers = "accumulate=2 or more, gradient_checkpointing=true, more frozen stages or GPUs"

    def __init__(
        self,
        network: Classifier,
        recipe: Recipe,
        data: TrainingData,
        strict: bool = False,
    ) -> None:
        self.network: Classifier = network
        self.paths = len(drop_paths(network))
        self.recipe = recipe
        self.training = list(data.training)
        self.validation = [track for track in data.validation if track.labels is not None]
        self.challenge, self.parts = data.challenge, parts_of(data.challenge)
        columns = len(self.parts.columns)
        self.metric_name = score_of(data.challenge)[1] if self.validation else None
        self.prior = data.prior()
        self.criterion = own_loss(recipe.loss, self.parts) if recipe.loss else self._parts_loss()
        self.own_augmentation = own_augmentation(recipe.augmentation) if recipe.augmentation else None
        self.mean, self.std = network.backbone.mean, network.backbone.std
        frames = labelled_frames(self.training, recipe.label_shift, data.challenge)
        self.known: NDArray[np.bool_] | None = None
        if data.extra is not None:
            frames = with_pictures(frames, len(self.training), labelled_frames(data.extra.tracks, challenge=data.challenge))
            all_known = np.ones((len(self.training), columns), dtype=bool)
            self.known = np.concatenate([all_known, data.extra.known])
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
        self.strict = strict
        self._faults: dict[str, None] = {}

    def _parts_loss(self) -> PartsLoss:
        """The losses that the recipe's keys ask for; weights of the parts that are learned move with the network's head."""
        weights = weights_by_class(self.parts, self.recipe.class_weights, self.prior)
        loss = criterion_of(self.parts, self.recipe, self.prior, weights, self.recipe.learn_part_weights)
        if loss.log_variances is not None:
            self.network.register_parameter(PART_WEIGHTS, loss.log_variances)
        return loss

    def make_batch(self, step: int, rank: int, processes: int) -> SupervisedBatch:
        """The share of process `rank` in the batch of `step`: every processes-th sample, so that shares are alike."""
        recipe, samples = self.recipe, np.arange(self.recipe.batch)
        own = samples[rank::processes]
        mix = drawn_mix(recipe.seed, step, recipe.mixup, recipe.cutmix, recipe.image_size)
        if mix is None:
            return self._read(step, own)
        partner = samples[::-1][own]
        wanted = np.unique(np.concatenate([own, partner]))
        pairs = Pairs(mix, *(torch.from_numpy(np.searchsorted(wanted, one)) for one in (own, partner)))
        return replace(self._read(step, wanted), pairs=pairs)

    def _read(self, step: int, wanted: NDArray[np.int64]) -> SupervisedBatch:
        """The images of the samples `wanted` of a step, with their labels and numbers."""
        recipe, frames = self.recipe, self.sampler.frames
        samples = self.sampler.step_samples(step, recipe.batch)[wanted]
        requests = [ImageRequest(self.training[frames.track[row]], int(frames.frame[row])) for row in samples]
        images = read_batch(requests, recipe.decode_size)
        labels = torch.from_numpy(frames.label[samples].astype(np.int64 if self.challenge.integral else np.float64))
        labels[~images.readable] = self._ignored(labels)
        known = None if self.known is None else torch.from_numpy(self.known[frames.track[samples]])
        own = uniforms_for(OWN, recipe.seed, step, recipe.batch, OWN_NUMBERS)[wanted] if recipe.augmentation else None
        shape = (recipe.batch, recipe.rand_augment, NUMBERS)
        return SupervisedBatch(
            images,
            labels,
            torch.from_numpy(augmentation_uniforms(recipe.seed, step, recipe.batch)[wanted]),
            known,
            torch.from_numpy(uniforms_for(OPERATIONS, recipe.seed, step, *shape)[wanted]) if recipe.rand_augment else None,
            torch.from_numpy(uniforms_for(PATHS, recipe.seed, step, recipe.batch, self.paths)[wanted]) if self.paths else None,
            None if own is None else torch.from_numpy(own),
        )

    def _ignored(self, labels: Tensor) -> Tensor:
        """What stands for no label in a row of `labels`."""
        return torch.tensor(self.challenge.ignored, dtype=labels.dtype, device=labels.device).squeeze()

    def portions(self, batch: SupervisedBatch) -> list[tuple[float, SupervisedBatch]]:
        """The share in the parts that the recipe asks for, each with its weight in the mean."""
        return [(len(part) / len(batch), part) for part in batch.parts(self.recipe.accumulate)]

    def loss(self, network: nn.Module, batch: SupervisedBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The loss of the challenge's parts; an unreadable image contributes nothing, nor does a class its data set lacks.

        Cross-entropy is a mean over the share, concordance is that of the whole batch. What is mixed has the mean of the losses
        with either label, weighed as the images are.
        """
        self._note_faults(batch.images)
        images, labels = self._seen(batch, accelerator.device), batch.labels.to(accelerator.device, non_blocking=True)
        known = None if batch.known is None else batch.known.to(accelerator.device, non_blocking=True)
        criterion, pool = self.criterion.to(accelerator.device), over_processes(accelerator)

        def loss_with(logits: Tensor, labels: Tensor, known: Tensor | None) -> Tensor:
            count = len(labels)
            return criterion(logits.float(), labels.reshape(count, -1), lambda total: total / count, pool, known)  # type: ignore[no-any-return]

        if batch.pairs is None:
            return loss_with(self._logits(network, images, batch.paths), labels, known)
        mix, own, partner = batch.pairs.mix, batch.pairs.own, batch.pairs.partner
        paths = None if batch.paths is None else batch.paths[own]
        logits = self._logits(network, mixed(images[own], images[partner], mix), paths)
        # A pair of which one image is unreadable shows neither label.
        whole = (batch.images.readable[own] & batch.images.readable[partner]).to(labels.device)
        losses = []
        for rows in (own, partner):
            shown = labels[rows]
            shown[~whole] = self._ignored(labels)
            losses.append(loss_with(logits, shown, None if known is None else known[rows]))
        return mix.share * losses[0] + (1 - mix.share) * losses[1]

    def _seen(self, batch: SupervisedBatch, device: torch.device) -> Tensor:
        """The augmented images (N, 3, image_size, image_size) of a share, before any are mixed."""
        images = batch.images.images.to(device, non_blocking=True)
        if self.own_augmentation is not None and batch.own is not None:
            images = self.own_augmentation(images, batch.own.to(device, non_blocking=True))
        if batch.operations is not None:
            images = rand_augment(images, batch.operations, self.recipe.rand_strength)
        uniforms = batch.uniforms.to(device, non_blocking=True)
        return augment(images, uniforms, self.augmentation, self.mean, self.std)

    def _logits(self, network: nn.Module, images: Tensor, paths: Tensor | None) -> Tensor:
        if paths is not None:
            give_numbers(self.network, paths.to(images.device))
        logits: Tensor = network(images)
        return logits

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
        """The weights that predict: the running average if there is one, under the names of the plain network."""
        rank = self.recipe.lora
        return lora.merged(self._predicting(network), self.recipe.lora_scale) if rank else self._predicting(network)

    def _predicting(self, network: nn.Module) -> dict[str, Tensor]:
        whole = network.state_dict() if self.averaged is None else self.averaged
        return {name: value for name, value in whole.items() if name != PART_WEIGHTS}

    def extra_state(self, network: nn.Module) -> dict[str, Tensor]:
        """The weights as the optimizer has them, where others predict, and the running average where it is not what predicts.

        Of weights that predict themselves only the learned ones of the parts are here.
        """
        all_of_them = self.averaged is not None or bool(self.recipe.lora)
        extra = {name: value for name, value in network.state_dict().items() if all_of_them or name == PART_WEIGHTS}
        if self.averaged is not None and self.recipe.lora:
            extra |= {f"{AVERAGED}{name}": value for name, value in self.averaged.items()}
        return extra

    def restore(self, network: nn.Module, exported: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> None:
        """Takes up what a checkpoint holds. Raises DataError if it is of another network."""
        averaged = {name.removeprefix(AVERAGED): value for name, value in extra.items() if name.startswith(AVERAGED)} or exported
        raw = {name: value for name, value in extra.items() if not name.startswith(AVERAGED)}
        super().restore(network, {**exported, **raw} if set(raw) <= {PART_WEIGHTS} else raw, {})
        if self.averaged is not None:
            found = {**raw, **averaged}
            self.averaged = {name: found[name].to(value.device) for name, value in self.averaged.items()}

    def watch(self) -> dict[str, float]:
        """The learned weight 1 / v of each part, where they are learned."""
        learned = getattr(self.network, PART_WEIGHTS, None)
        if learned is None:
            return {}
        weights = torch.exp(-learned.detach()).tolist()
        return {f"weight_{own.part.name}": weight for own, weight in zip(self.parts.placed, weights, strict=True)}

    def rate_factors(self) -> list[tuple[float, list[tuple[str, nn.Parameter]]]]:
        """Backbone and head, each with its learning rate factor; the backbone by layers where the recipe lets rates fall."""
        trainable = [(name, value) for name, value in self.network.named_parameters() if value.requires_grad]
        backbone = [entry for entry in trainable if entry[0].startswith("backbone.")]
        head = [entry for entry in trainable if not entry[0].startswith("backbone.")]
        decay, highest = self.recipe.layer_decay, self.recipe.backbone_rate
        if decay == 1:
            return [(highest, backbone), (1.0, head)]
        layers = self.network.backbone.decay_layers()
        below = {f"backbone.{name}": len(layers) - layer for layer, names in enumerate(layers) for name in names}
        found = {name: below.get(name, 0) for name, _ in backbone}
        groups = [
            (highest * decay**depth, [entry for entry in backbone if found[entry[0]] == depth])
            for depth in sorted(set(found.values()), reverse=True)
        ]
        return [*groups, (1.0, head)]

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """The pooled score and its measures on the validation tracks, without smoothing.

        Labelled frames without a face are filled, as in a submission, unless the recipe drops them. All processes evaluate what
        the first one saves: on a CPU each has BatchNorm statistics of its own.
        """
        _take_from_first(self._predicting(network), accelerator)
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
                    remedy="`harness doctor` names them all: repair or remove them, or leave out --strict",
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
