"""RandAugment (Cubuk et al., NeurIPS 2020): some operations for each image, all of one strength.

The operations, their ranges and the 31 strengths are torchvision's. Which ones an image gets is a function of numbers that its
sampler drew; images that get the same one are worked on together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor
from torchvision.transforms.v2 import functional as F

STRONGEST = 30
NUMBERS = 2
"""Uniform numbers for each operation of an image: which one, and its sign."""


def _shear(images: Tensor, x: float, y: float) -> Tensor:
    angles = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    sheared: Tensor = F.affine(images, angle=0.0, translate=[0, 0], scale=1.0, shear=angles, center=[0, 0])
    return sheared


def _translate(images: Tensor, x: float, y: float) -> Tensor:
    moved: Tensor = F.affine(images, angle=0.0, translate=[int(x), int(y)], scale=1.0, shear=[0.0, 0.0])
    return moved


Operation = Callable[[Tensor, float], Tensor]
"""From uint8 images (B, 3, H, W) and a strength with its sign, -1..1, to images alike."""

REACH = 150 / 331
"""Share of the side by which the strongest translation goes."""
SIGNED: tuple[Operation, ...] = (
    lambda images, s: _shear(images, 0.3 * s, 0.0),
    lambda images, s: _shear(images, 0.0, 0.3 * s),
    lambda images, s: _translate(images, REACH * images.shape[3] * s, 0.0),
    lambda images, s: _translate(images, 0.0, REACH * images.shape[2] * s),
    lambda images, s: F.rotate(images, 30 * s),
    lambda images, s: F.adjust_brightness(images, 1 + 0.9 * s),
    lambda images, s: F.adjust_saturation(images, 1 + 0.9 * s),
    lambda images, s: F.adjust_contrast(images, 1 + 0.9 * s),
    lambda images, s: F.adjust_sharpness(images, 1 + 0.9 * s),
)
UNSIGNED: tuple[Operation, ...] = (
    lambda images, s: F.posterize(images, 8 - round(4 * s)),
    lambda images, s: F.solarize(images, 255 * (1 - s)),
    lambda images, s: F.autocontrast(images),
    lambda images, s: F.equalize(images),
    lambda images, s: images,
)
OPERATIONS = (*SIGNED, *UNSIGNED)


def rand_augment(images: Tensor, numbers: Tensor, strength: int) -> Tensor:
    """uint8 images (B, 3, H, W) after the operations that uniform `numbers` (B, operations, NUMBERS) choose.

    `strength` is 0..STRONGEST. What comes in from beyond the border is black.
    """
    for chosen in numbers.cpu().unbind(dim=1):
        which = (chosen[:, 0] * len(OPERATIONS)).long().clamp(max=len(OPERATIONS) - 1)
        negative = (chosen[:, 1] < 0.5) & (which < len(SIGNED))
        changed = images.clone()
        for operation, sign in sorted(set(zip(which.tolist(), negative.tolist(), strict=True))):
            rows = ((which == operation) & (negative == sign)).to(images.device)
            changed[rows] = OPERATIONS[operation](images[rows], (-1 if sign else 1) * strength / STRONGEST)
        images = changed
    return images
