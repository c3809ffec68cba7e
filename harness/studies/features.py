"""Pooled features of labelled frames by a frozen backbone, in memory: for probing, not for whole data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from harness.challenge import EXPR, Challenge
from harness.data.tracks import Track
from harness.errors import DataError
from harness.images.batches import ImageRequest, read_batch
from harness.images.sampling import labelled_frames
from harness.images.transforms import prepare_test
from harness.images.workers import loader
from harness.progress import TaskProgress
from models.backbones.base import Backbone, pool

BATCH = 64
"""Images per forward pass, the last padded, so that a feature depends on its image alone."""


@dataclass(frozen=True)
class InputSettings:
    """How an image becomes the backbone's input: decoded at `decode_size`, resized to `test_resize`, its centre cut out."""

    decode_size: int
    test_resize: int
    image_size: int


@dataclass(frozen=True, eq=False)
class Features:
    """Features of labelled frames.

    Attributes
    ----------
    values : float32 (N, D).
    labels : int64 (N,), of units (N, fields).
    groups : int64 (N,) index into `recordings`.
    recordings : names, in order of first appearance.
    unreadable : images that could not be read and were left out.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    recordings: tuple[str, ...]
    unreadable: tuple[str, ...]


def labelled_features(
    backbone: Backbone,
    tracks: Sequence[Track],
    settings: InputSettings,
    *,
    most: int,
    device: torch.device,
    workers: int,
    challenge: Challenge = EXPR,
) -> Features:
    """Features of the labelled frames of `tracks`, of every k-th so that there are at most `most`.

    Raises DataError if no labelled frame has a readable image, or a feature is not finite.
    """
    frames = labelled_frames(tracks, challenge=challenge)
    step = max(1, -(-len(frames) // most))
    chosen = np.arange(0, len(frames), step)
    requests = [ImageRequest(tracks[frames.track[row]], int(frames.frame[row])) for row in chosen]
    network = backbone.to(device).eval()
    values, readable, unreadable = [], [], []
    batches = loader(
        lambda number: read_batch(requests[number * BATCH : (number + 1) * BATCH], settings.decode_size),
        range(-(-len(requests) // BATCH)),
        workers,
        device.type == "cuda",
    )
    with TaskProgress("features", len(requests), "frame") as bar:
        for batch in batches:
            padded = F.pad(batch.images, (0, 0, 0, 0, 0, 0, 0, BATCH - len(batch.images)))
            images = prepare_test(padded.to(device), settings.image_size, settings.test_resize, network.mean, network.std)
            with torch.inference_mode():
                pooled = pool(network(images), network.has_class_token)
            values.append(pooled.float().cpu().numpy()[: len(batch.images)])
            readable.append(batch.readable.numpy())
            unreadable += [reason for _, reason in batch.faults]
            bar.update(len(batch.images))
    kept = np.concatenate(readable) if readable else np.zeros(0, dtype=bool)
    if not kept.any():
        raise DataError("no labelled frame with a readable image to probe", remedy="`harness doctor` names what is missing")
    features = np.concatenate(values)[kept]
    if not np.isfinite(features).all():
        raise DataError("the backbone's features are not finite", remedy="its weights are damaged or its training broke down")
    names = [tracks[frames.track[row]].recording for row in chosen[kept]]
    recordings = tuple(dict.fromkeys(names))
    position = {name: index for index, name in enumerate(recordings)}
    groups = np.array([position[name] for name in names], dtype=np.int64)
    return Features(features, frames.label[chosen[kept]].astype(np.int64), groups, recordings, tuple(unreadable))
