"""What a process sees at a step of supervised training: decoded images, their labels, and the numbers of what happens to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.images.batches import ImageBatch
from harness.images.mixing import Mix


@dataclass(frozen=True)
class Pairs:
    """Which images are mixed: image `own[i]` of the batch with image `partner[i]`, int64 (B,) each."""

    mix: Mix
    own: Tensor
    partner: Tensor


@dataclass(frozen=True)
class SupervisedBatch:
    """A process's share of a step.

    Attributes
    ----------
    images : N decoded images.
    labels : (N,) or (N, fields), the ignored value where an image is unreadable.
    uniforms : float32 (N, UNIFORMS) of the augmentation.
    known : bool (N, columns), which columns the data set of each image can show; None for all.
    operations : float32 (N, operations, 2) that choose what RandAugment does; None where it does nothing.
    paths : float32 (N, paths) that say which residual branches a sample skips; None where none can be skipped.
    own : float32 (N, OWN_NUMBERS) for augmentation by code of one's own; None where there is none.
    pairs : how the images are mixed; None where each is seen by itself.
    """

    images: ImageBatch
    labels: Tensor
    uniforms: Tensor
    known: Tensor | None = None
    operations: Tensor | None = None
    paths: Tensor | None = None
    own: Tensor | None = None
    pairs: Pairs | None = None

    def __len__(self) -> int:
        """The number of samples, of which each is one image or a pair."""
        return len(self.labels) if self.pairs is None else len(self.pairs.own)

    def parts(self, count: int) -> list[SupervisedBatch]:
        """The samples in `count` parts of about the same size, fewer where there are fewer samples; the first tells of faults."""
        if count == 1:
            return [self]
        parts = [self._part(rows) for rows in torch.arange(len(self)).tensor_split(count) if len(rows)]
        return [parts[0], *(replace(part, images=replace(part.images, faults=[])) for part in parts[1:])]

    def _part(self, samples: Tensor) -> SupervisedBatch:
        if self.pairs is None:
            return self._images_at(samples)
        own, partner = self.pairs.own[samples], self.pairs.partner[samples]
        rows, places = torch.unique(torch.cat([own, partner]), return_inverse=True)
        return replace(self._images_at(rows), pairs=Pairs(self.pairs.mix, places[: len(own)], places[len(own) :]))

    def _images_at(self, rows: Tensor) -> SupervisedBatch:
        images = replace(self.images, images=self.images.images[rows], readable=self.images.readable[rows])
        labels, uniforms = self.labels[rows], self.uniforms[rows]
        optional = (self.known, self.operations, self.paths, self.own)
        known, operations, paths, own = (None if one is None else one[rows] for one in optional)
        return SupervisedBatch(images, labels, uniforms, known, operations, paths, own)
