"""Forward passes of one fixed size over decoded images, so that what comes out for an image depends on that image alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.images.device import is_out_of_memory
from harness.images.transforms import prepare_test

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}
IMAGES = 64
"""Images per forward pass where nothing else is asked for."""


@dataclass(eq=False)
class Passes:
    """What a network says of uint8 images.

    Attributes
    ----------
    compute : from prepared images (batch, 3, image_size, image_size) on `device` to numbers (batch, width).
    device : where the network is.
    image_size, test_resize : side of what the network sees, and of what it is cut from, in pixels.
    mean, std : of the three channels, as the network was trained with.
    precision : fp32, bf16 or fp16.
    batch : images per pass; the last pass is padded.
    flip : whether the images are mirrored.
    say : prints one line.
    """

    compute: Callable[[Tensor], Tensor]
    device: torch.device
    image_size: int
    test_resize: int
    mean: Sequence[float]
    std: Sequence[float]
    precision: str
    batch: int = IMAGES
    flip: bool = False
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self._chunk = self.batch

    def __call__(self, images: Tensor) -> Tensor:
        """Numbers float32 (b, width) on the device of images uint8 (b, 3, side, side), b at most `batch`.

        Where memory does not suffice, the passes are halved from then on, and that is said.
        """
        count = len(images)
        if count < self.batch:
            images = F.pad(images, (0, 0, 0, 0, 0, 0, 0, self.batch - count))
        parts: list[Tensor] = []
        position = 0
        while position < count:
            try:
                parts.append(self._forward(images[position : position + self._chunk]))
                position += self._chunk
            except RuntimeError as error:
                if not is_out_of_memory(error) or self._chunk == 1:
                    raise
                self._chunk = -(-self._chunk // 2)
                self.say(f"out of memory: going on with {self._chunk} images per forward pass")
        return torch.cat(parts)[:count]

    def _forward(self, images: Tensor) -> Tensor:
        precision = PRECISIONS.get(self.precision)
        ready = prepare_test(
            images.to(self.device, non_blocking=True),
            self.image_size,
            self.test_resize,
            self.mean,
            self.std,
            self.flip,
            precision or torch.float32,
        )
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=precision, enabled=precision is not None):
            values = self.compute(ready)
        return values.float()
