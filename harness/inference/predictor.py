"""A run's network for images at hand: pictures in, probabilities or values and rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from harness import files
from harness.data.image_files import UnreadableImageError
from harness.data.packed import LARGEST_IMAGE_FILE
from harness.errors import DataError
from harness.images.decode import decode
from harness.images.device import make_accelerator
from harness.inference.network import load_network, recipe_of, with_checkpoint
from harness.inference.passes import IMAGES, Passes
from harness.kinds.parts import parts_named
from harness.runs import store
from harness.runs.store import Run

Picture: TypeAlias = "str | Path | bytes | NDArray[np.uint8]"
"""A file, the bytes of one, or the pixels of an upright RGB image (H, W, 3)."""


class Predictor:
    """Scores pictures of aligned faces, the same numbers as `harness predict` stores for them.

    Parameters
    ----------
    run : a run or its name; one whose network sees images.
    checkpoint : last or best.
    precision : fp32, bf16 or fp16; None for that of the training.
    batch : pictures per forward pass.
    say : prints one line.

    Attributes
    ----------
    columns : what each column of the values is: a class, a unit or a value.

    Raises UsageError for an unknown run, DataError if it has no network of its own or no whole checkpoint.
    """

    def __init__(
        self,
        run: Run | str,
        checkpoint: str = "last",
        precision: str | None = None,
        batch: int = IMAGES,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        run = store.find(run) if isinstance(run, str) else run
        recipe = recipe_of(run)
        _, network = with_checkpoint(run, checkpoint, say, lambda found: load_network(run, recipe, found))
        device = make_accelerator("fp32").device
        network = network.to(device).to(memory_format=torch.channels_last).eval()
        mean, std = network.backbone.mean, network.backbone.std
        self._side = recipe.decode_size
        self._passes = Passes(
            network, device, recipe.image_size, recipe.test_resize, mean, std, precision or recipe.precision, batch, say=say
        )
        self._parts = parts_named(recipe.challenge, run.class_names, str(run.manifest_path))
        self.columns = self._parts.columns

    def scores(self, pictures: Iterable[Picture]) -> NDArray[np.float32]:
        """What the network says, before it is turned into probabilities: float32 (N, columns).

        Pictures are read as they are scored, so that many do not fill the memory. Raises DataError for one that cannot be read.
        """
        found = [np.empty((0, len(self.columns)), np.float32)]
        for batch in _batches(pictures, self._passes.batch):
            pixels = torch.from_numpy(np.stack([self._pixels(picture) for picture in batch])).permute(0, 3, 1, 2)
            found.append(self._passes(pixels).cpu().numpy())
        return np.concatenate(found)

    def __call__(self, pictures: Iterable[Picture]) -> NDArray[np.float64]:
        """Probabilities of classes and units, and values: float64 (N, columns). Raises as `scores`."""
        return self._parts.activate(self.scores(pictures))

    def answers(self, values: NDArray[np.float64]) -> NDArray:
        """The rows that a submission would have for values (N, columns): (N,) for EXPR, else (N, fields); nothing is smoothed."""
        return self._parts.answers(values)

    def _pixels(self, picture: Picture) -> NDArray[np.uint8]:
        if isinstance(picture, np.ndarray):
            return _resized(picture, self._side)
        data = picture if isinstance(picture, bytes) else files.read_bytes(Path(picture), LARGEST_IMAGE_FILE)
        try:
            return decode(data, self._side)
        except UnreadableImageError as error:
            raise DataError(f"an image cannot be read: {error}", path=None if isinstance(picture, bytes) else picture) from error


def _batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    remaining = iter(pictures)
    while batch := list(islice(remaining, size)):
        yield batch


def _resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(
            "this array is not an image",
            found=f"{pixels.dtype} {pixels.shape}",
            expected="uint8 (height, width, 3), the channels red, green, blue",
        )
    if pixels.shape[:2] == (side, side):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
