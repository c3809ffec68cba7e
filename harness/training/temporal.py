"""The temporal objective: losses of the challenge's parts on the labelled frames of windows of features, and the pooled score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import mul

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.challenge import Challenge
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.sampling import augmentation_uniforms, repeat_factors
from harness.images.sequences import Window, WindowSettings, rate_of, tensors, track_logits, window_at
from harness.images.windows import Lane, WindowSampler, lanes
from harness.kinds.classes import ClassPart
from harness.kinds.parts import Parts, parts_of
from harness.recipes.temporal import TemporalRecipe
from harness.runs.features import TrackFeatures
from harness.training.criterion import criterion_of
from harness.training.losses.pool import over_processes
from harness.training.objective import Objective
from harness.training.validation import pooled_figures, score_of, track_sums
from models.temporal.network import FeatureNetwork

VALIDATION_BATCH = 16


@dataclass(frozen=True, eq=False)
class FeatureTrack:
    """A track and its stored features."""

    track: Track
    features: TrackFeatures


@dataclass
class TemporalBatch:
    """This process's share of a step.

    Attributes
    ----------
    features, masks : float32 (B, T, D) and bool (B, T, K).
    labels : int64 (B, T, F), float64 where a field is a value; its field's `ignore` where there is none or no frame.
    uniforms : float32 (B, N), what is dropped.
    scales : for each part, by which the sum of the share's losses is the mean over all processes' shares, times their number.
    """

    features: Tensor
    masks: Tensor
    labels: Tensor
    uniforms: Tensor
    scales: tuple[float, ...]


class TemporalObjective(Objective):
    """Training of a temporal network on windows of stored features.

    Parameters
    ----------
    network : with its initial weights and its normalisation.
    recipe : all settings, the rate resolved.
    training, validation : what to learn from and to validate on; the latter may be empty.
    prior : the values (columns,) that a track without any face is predicted as.
    challenge : whose labels the tracks have.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        recipe: TemporalRecipe,
        training: Sequence[FeatureTrack],
        validation: Sequence[FeatureTrack],
        prior: Sequence[float],
        challenge: Challenge,
    ) -> None:
        self.network: nn.Module = network
        self.recipe = recipe
        self.training = list(training)
        self.validation = [item for item in validation if item.track.labels is not None]
        self.prior = tuple(prior)
        self.challenge, self.parts = challenge, parts_of(challenge)
        self.widths = network.widths
        self.uniforms = network.uniforms
        self.metric_name = score_of(challenge)[1] if self.validation else None
        assert recipe.rate is not None
        self.settings = WindowSettings(recipe.slots(), recipe.hop_slots(), recipe.rate, VALIDATION_BATCH)
        self.lane_track: list[int] = []
        self.lanes: list[Lane] = []
        for index, item in enumerate(self.training):
            for lane in lanes(item.track.rows, rate_of(item.track, recipe.fps), recipe.rate):
                self.lane_track.append(index)
                self.lanes.append(lane)
        taught = [_taught(item, self.parts) for item in self.training]
        teaching = [
            lane.slot[np.isin(lane.frame, taught[index][0])] for lane, index in zip(self.lanes, self.lane_track, strict=True)
        ]
        self.sampler = WindowSampler(self.lanes, teaching, self.settings.slots, recipe.seed)
        threshold = recipe.balance_threshold if recipe.balance == "weights" else None
        self.weights = class_weights(self.parts, [labels for _, labels in taught], threshold)
        self.criterion = criterion_of(self.parts, recipe, self.prior, self.weights)

    def make_batch(self, step: int, rank: int, processes: int) -> TemporalBatch:
        """The share of process `rank` in the batch of `step`: every processes-th window, so that shares are alike."""
        batch, slots = self.recipe.batch, self.settings.slots
        windows = [self._window(int(lane), int(start)) for lane, start in self.sampler.step_samples(step, batch)]
        labels = np.stack([self._labels(item, window) for item, window in windows])
        scales = self._scales(labels.reshape(-1, labels.shape[2]), processes)
        mine = [(item.features, window) for item, window in windows[rank::processes]]
        features, masks = tensors(mine, len(mine), slots, self.widths)
        uniforms = augmentation_uniforms(self.recipe.seed, step, batch, self.uniforms)[rank::processes]
        return TemporalBatch(features, masks, torch.from_numpy(labels[rank::processes]), torch.from_numpy(uniforms), scales)

    def _window(self, lane: int, start: int) -> tuple[FeatureTrack, Window]:
        item = self.training[self.lane_track[lane]]
        return item, window_at(self.lanes[lane], start, self.settings.slots, item.features.frame)

    def _labels(self, item: FeatureTrack, window: Window) -> NDArray:
        rows = self.parts.unlabelled(self.settings.slots).reshape(self.settings.slots, -1)
        labels = rows.astype(np.int64 if self.challenge.integral else np.float64)
        assert item.track.labels is not None
        labels[window.place] = item.track.labels.reshape(item.track.rows, -1)[item.features.frame[window.position] - 1]
        return labels

    def _scales(self, labels: NDArray, processes: int) -> tuple[float, ...]:
        """For each part the number of processes over the frames of labels (N, F) that have one, weighted where classes are."""
        scales = []
        for own in self.parts.placed:
            fields = labels[:, own.fields]
            known = fields[(fields != np.array(self.challenge.ignored[own.fields])).any(axis=1)]
            if self.weights and isinstance(own.part, ClassPart):
                total = np.array(self.weights)[known[:, 0].astype(np.int64)].sum()
            else:
                total = len(known)
            scales.append(processes / total if total else 0.0)
        return tuple(scales)

    def loss(self, network: nn.Module, batch: TemporalBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The losses of the parts over the labelled frames of the step, of which this share gives its part.

        Cross-entropy is a mean, of classes a weighted one, over the frames that have a label of the part; concordance is that of
        all of them together.
        """
        device = accelerator.device
        logits = network(
            batch.features.to(device, non_blocking=True),
            batch.masks.to(device, non_blocking=True),
            batch.uniforms.to(device, non_blocking=True),
        )
        labels = batch.labels.to(device, non_blocking=True).flatten(0, 1)
        means = [partial(mul, scale) for scale in batch.scales]
        pool = over_processes(accelerator)
        return self.criterion.to(device)(logits.float().flatten(0, 1), labels, means, pool)  # type: ignore[no-any-return]

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """The pooled score and its measures on the validation tracks, overlaps averaged, without smoothing."""
        totals = torch.zeros(self.parts.size, dtype=torch.int64 if self.challenge.integral else torch.float64)

        def forward(features: Tensor, masks: Tensor) -> Tensor:
            with torch.inference_mode(), accelerator.autocast():
                logits: Tensor = network(features.to(accelerator.device), masks.to(accelerator.device))
            return logits

        for item in self.validation[accelerator.process_index :: accelerator.num_processes]:
            totals += torch.from_numpy(self._track_sums(item, forward))
        return pooled_figures(totals, accelerator, self.challenge)

    def _track_sums(self, item: FeatureTrack, forward: Callable[[Tensor, Tensor], Tensor]) -> NDArray:
        track, features = item.track, item.features
        rate = rate_of(track, self.recipe.fps)
        logits = track_logits(forward, track, features, rate, self.settings, self.widths, len(self.parts.columns))
        skipped = features.skipped_of(track)
        return track_sums(self.parts, track, features.frame, logits, skipped, self.prior, self.recipe.validate_missing)


def _taught(item: FeatureTrack, parts: Parts) -> tuple[NDArray[np.int32], NDArray]:
    """The frames of a track that have features and any label, and these labels (n, fields)."""
    if item.track.labels is None:
        return np.empty(0, np.int32), parts.unlabelled(0).reshape(0, len(parts.challenge.fields))
    labels = item.track.labels.reshape(item.track.rows, -1)[item.features.frame - 1]
    known = parts.labelled(labels)
    return item.features.frame[known], labels[known]


def class_weights(parts: Parts, labels: Sequence[NDArray], threshold: float | None) -> tuple[float, ...]:
    """By how much a frame counts for each class (C,): max(1, sqrt(threshold / share)) in labels (n, fields) of all tracks.

    All alike without a threshold, and empty for a challenge without classes.
    """
    for own in parts.placed:
        if isinstance(own.part, ClassPart):
            counts = np.sum([own.part.count(rows[:, own.fields]) for rows in labels], axis=0)
            if threshold is None or counts.sum() == 0:
                return (1.0,) * len(counts)
            return tuple(repeat_factors(counts / counts.sum(), threshold).tolist())
    return ()


def normalisation(training: Sequence[FeatureTrack]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation float32 (D,) of all features of the training tracks, each set over the frames that it has.

    Raises DataError where a set has no features.
    """
    sets = len(training[0].features.parts) if training else 1
    parts = [_normalisation_of(training, index) for index in range(sets)]
    return tuple(torch.from_numpy(np.concatenate(values)).float() for values in zip(*parts, strict=True))  # type: ignore[return-value]


def _normalisation_of(training: Sequence[FeatureTrack], index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation (D,) of one set, track after track in float64.

    Tracks are combined as Chan, Golub and LeVeque (1979) combine the sums of squares of two samples.
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for item in training:
        values = item.features.of_set(index).astype(np.float64)
        number = len(values)
        if number == 0:
            continue
        own = values.mean(axis=0)
        own_squares = ((values - own) ** 2).sum(axis=0)
        if count == 0:
            count, mean, squares = number, own, own_squares
            continue
        shift, together = own - mean, count + number
        mean = mean + shift * (number / together)
        squares = squares + own_squares + shift**2 * (count * number / together)
        count = together
    if count == 0:
        raise DataError("the training tracks have no features", remedy="`harness doctor` names what is missing")
    return mean, np.sqrt(squares / count)
