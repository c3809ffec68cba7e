"""The temporal objective: cross-entropy of every labelled frame of a window of features, validated by pooled macro-F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.data.tracks import Track, class_counts
from harness.errors import DataError
from harness.images.sampling import augmentation_uniforms, repeat_factors
from harness.images.sequences import Window, WindowSettings, rate_of, tensors, track_logits, window_at
from harness.images.windows import Lane, WindowSampler, lanes
from harness.recipes.temporal import TemporalRecipe
from harness.runs.features import TrackFeatures
from harness.training.losses.classes import cross_entropy
from harness.training.objective import Objective
from harness.training.validation import pooled_figures, track_confusion
from models.temporal.network import TemporalNetwork

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
    labels : int64 (B, T), -1 where there is none or no frame.
    uniforms : float32 (B, N), what is dropped.
    scale : by which the weighted sum of the share's losses is the mean over all processes' shares, times their number.
    """

    features: Tensor
    masks: Tensor
    labels: Tensor
    uniforms: Tensor
    scale: float


class TemporalObjective(Objective):
    """Training of a temporal network on windows of stored features.

    Parameters
    ----------
    network : with its initial weights and its normalisation.
    recipe : all settings, the rate resolved.
    training, validation : what to learn from and to validate on; the latter may be empty.
    prior : class shares of the training labels, which a track without any face is predicted as.
    """

    def __init__(
        self,
        network: TemporalNetwork,
        recipe: TemporalRecipe,
        training: Sequence[FeatureTrack],
        validation: Sequence[FeatureTrack],
        prior: Sequence[float],
    ) -> None:
        self.network: nn.Module = network
        self.recipe = recipe
        self.training = list(training)
        self.validation = [item for item in validation if item.track.labels is not None]
        self.prior = tuple(prior)
        self.classes = len(self.prior)
        self.widths = network.widths
        self.uniforms = network.uniforms
        self.metric_name = "macro_f1" if self.validation else None
        assert recipe.rate is not None
        self.settings = WindowSettings(recipe.slots(), recipe.hop_slots(), recipe.rate, VALIDATION_BATCH)
        self.lane_track: list[int] = []
        self.lanes: list[Lane] = []
        for index, item in enumerate(self.training):
            for lane in lanes(item.track.rows, rate_of(item.track, recipe.fps), recipe.rate):
                self.lane_track.append(index)
                self.lanes.append(lane)
        taught = [_taught(item) for item in self.training]
        teaching = [
            lane.slot[np.isin(lane.frame, taught[index][0])] for lane, index in zip(self.lanes, self.lane_track, strict=True)
        ]
        self.sampler = WindowSampler(self.lanes, teaching, self.settings.slots, recipe.seed)
        counts = class_counts(*(labels for _, labels in taught))
        self.weights = np.ones(self.classes)
        if recipe.balance == "weights":
            self.weights = repeat_factors(counts / counts.sum(), recipe.balance_threshold)

    def make_batch(self, step: int, rank: int, processes: int) -> TemporalBatch:
        """The share of process `rank` in the batch of `step`: every processes-th window, so that shares are alike."""
        batch, slots = self.recipe.batch, self.settings.slots
        windows = [self._window(int(lane), int(start)) for lane, start in self.sampler.step_samples(step, batch)]
        labels = np.stack([self._labels(item, window) for item, window in windows])
        total = self.weights[labels[labels >= 0]].sum()
        mine = [(item.features, window) for item, window in windows[rank::processes]]
        features, masks = tensors(mine, len(mine), slots, self.widths)
        uniforms = augmentation_uniforms(self.recipe.seed, step, batch, self.uniforms)[rank::processes]
        return TemporalBatch(
            features, masks, torch.from_numpy(labels[rank::processes]), torch.from_numpy(uniforms), processes / total
        )

    def _window(self, lane: int, start: int) -> tuple[FeatureTrack, Window]:
        item = self.training[self.lane_track[lane]]
        return item, window_at(self.lanes[lane], start, self.settings.slots, item.features.frame)

    def _labels(self, item: FeatureTrack, window: Window) -> NDArray[np.int64]:
        labels = np.full(self.settings.slots, -1, dtype=np.int64)
        assert item.track.labels is not None
        labels[window.place] = item.track.labels[item.features.frame[window.position] - 1]
        return labels

    def loss(self, network: nn.Module, batch: TemporalBatch, step: int, accelerator: Accelerator) -> Tensor:
        """The weighted mean of the cross-entropy over the labelled frames of the step, of which this share gives its part."""
        device = accelerator.device
        logits = network(
            batch.features.to(device, non_blocking=True),
            batch.masks.to(device, non_blocking=True),
            batch.uniforms.to(device, non_blocking=True),
        )
        labels = batch.labels.to(device, non_blocking=True).flatten()
        weights = torch.from_numpy(self.weights).float().to(device)
        logits = logits.float().flatten(0, 1)
        return cross_entropy(logits, labels, smoothing=self.recipe.label_smoothing, weights=weights) * batch.scale

    def evaluate(self, network: nn.Module, accelerator: Accelerator, workers: int) -> dict[str, float]:
        """Pooled macro-F1 and accuracy on the validation tracks, overlaps averaged, without smoothing."""
        totals = torch.zeros((self.classes, self.classes), dtype=torch.int64)

        def forward(features: Tensor, masks: Tensor) -> Tensor:
            with torch.inference_mode(), accelerator.autocast():
                logits: Tensor = network(features.to(accelerator.device), masks.to(accelerator.device))
            return logits

        for item in self.validation[accelerator.process_index :: accelerator.num_processes]:
            track, features = item.track, item.features
            logits = track_logits(
                forward, track, features, rate_of(track, self.recipe.fps), self.settings, self.widths, self.classes
            )
            totals += torch.from_numpy(
                track_confusion(
                    track, features.frame, logits, features.skipped_of(track), self.prior, self.recipe.validate_missing
                )
            )
        return pooled_figures(totals, accelerator)


def _taught(item: FeatureTrack) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """The frames of a track that have features and a label, and these labels."""
    if item.track.labels is None:
        return np.empty(0, np.int32), np.empty(0, np.int8)
    labels = item.track.labels[item.features.frame - 1]
    return item.features.frame[labels >= 0], labels[labels >= 0]


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
