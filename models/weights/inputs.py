"""What a backbone wants to see, as a weights file says it: image size and normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.backbones.base import Backbone, Channels
from models.weights.errors import WeightsError
from models.weights.reading import WeightsFile

KEYS = ("image_size", "mean", "std")
LARGEST_IMAGE = 4096
"""Pixels a side beyond which an image size in a file is taken for damage."""


@dataclass(frozen=True)
class BackboneInput:
    """The images a backbone was trained on: side in pixels, and mean and deviation of RGB in units of pixel / 255."""

    image_size: int
    mean: Channels
    std: Channels

    def normalise(self, backbone: Backbone) -> None:
        """Makes `backbone` want its images with this mean and deviation."""
        backbone.mean, backbone.std = self.mean, self.std


def input_metadata(backbone: Backbone) -> dict[str, str]:
    """Image size and normalisation of a backbone as a file's metadata."""
    channels = {"mean": backbone.mean, "std": backbone.std}
    return {"image_size": str(backbone.image_size), **{name: ",".join(map(repr, values)) for name, values in channels.items()}}


def input_of(file: WeightsFile) -> BackboneInput | None:
    """What a file written here says its backbone wants to see; None if it says nothing.

    Raises WeightsError for a size or numbers that cannot be meant.
    """
    if not all(key in file.metadata for key in KEYS) or "backbone" not in file.metadata:
        return None
    size, mean, std = (file.metadata[key] for key in KEYS)
    try:
        found = BackboneInput(int(size), _channels(mean), _channels(std))
    except ValueError as error:
        raise _damaged(size, mean, std) from error
    if not 1 <= found.image_size <= LARGEST_IMAGE or min(found.std) <= 0 or not all(map(math.isfinite, found.mean + found.std)):
        raise _damaged(size, mean, std)
    return found


def _channels(text: str) -> Channels:
    red, green, blue = (float(number) for number in text.split(","))
    return red, green, blue


def _damaged(size: str, mean: str, std: str) -> WeightsError:
    return WeightsError(
        "the file's image size and normalisation cannot be meant",
        found=f"image_size {size}, mean {mean}, std {std}",
        expected="a whole number, three numbers, and three positive numbers",
        remedy="export the backbone again",
    )
