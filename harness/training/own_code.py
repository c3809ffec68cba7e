"""A loss and an augmentation of one's own, held to what the loop needs of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.errors import UsageError
from harness.kinds.parts import Parts
from harness.training.losses.parts import Mean
from harness.training.losses.pool import Pool, alone
from models import plugins

OWN_NUMBERS = 16
"""Uniform numbers that an augmentation of one's own gets for each sample."""
Augmenting = Callable[[Tensor, Tensor], Tensor]
"""From uint8 images (B, 3, H, W) and uniform numbers (B, OWN_NUMBERS) to uint8 images alike."""


class OwnLoss(nn.Module):
    """The loss that code makes of the columns' names: outputs (B, C) and labels (B, fields) to losses (B,) of the samples.

    Samples without any label do not reach it; a unit that is not labelled is -1.
    """

    def __init__(self, name: str, parts: Parts) -> None:
        super().__init__()
        self.name = name
        self.losses: Callable[[Tensor, Tensor], Tensor] = made(name, list(parts.columns))

    def forward(self, outputs: Tensor, labels: Tensor, mean: Mean, pool: Pool = alone, known: Tensor | None = None) -> Tensor:
        """The mean of the losses over the samples, unlabelled ones as zeros. Raises UsageError for another shape than (B,)."""
        if known is not None:
            raise UsageError("a custom loss does not support extra faces with other classes", found=self.name)
        labelled = (labels >= 0).any(dim=1)
        losses: Tensor = self.losses(outputs[labelled], labels[labelled])
        if losses.shape != (int(labelled.sum()),):
            raise UsageError(
                "the loss does not give one number for each sample", found=str(tuple(losses.shape)), expected=f"({len(losses)},)"
            )
        return mean(losses.sum())


def own_loss(name: str, parts: Parts) -> OwnLoss:
    """The loss of this name. Raises UsageError if it cannot be made."""
    return OwnLoss(name, parts)


def own_augmentation(name: str) -> Augmenting:
    """The augmentation of this name, whose output is looked at. Raises UsageError if it cannot be made."""
    augmenting = made(name)

    def checked(images: Tensor, numbers: Tensor) -> Tensor:
        found: Tensor = augmenting(images, numbers)
        if found.dtype != torch.uint8 or found.shape != images.shape:
            expected = f"uint8 {tuple(images.shape)}"
            raise UsageError(
                f"{name} gives other images than it gets", found=f"{found.dtype} {tuple(found.shape)}", expected=expected
            )
        return found

    return checked


def made(name: str, *arguments: object) -> Callable[..., Tensor]:
    """What code of this name makes, which can be called. Raises UsageError if it cannot be made."""
    try:
        found: Callable[..., Tensor] = plugins.call(name, *arguments)
    except plugins.PluginError as error:
        raise UsageError(str(error)) from error
    if not callable(found):
        raise UsageError(f"{name} made something that cannot be called", found=type(found).__name__)
    return found
