"""How public toolkits predict: open an image with Pillow, transform it alone, feed it alone, in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision import transforms

from harness.recipes.recipe import Recipe


def plain_labels(
    network: nn.Module, paths: Sequence[Path], recipe: Recipe, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.int64]:
    """The labels of image files, one after the other."""
    transform = transforms.Compose(
        [
            transforms.Resize((recipe.test_resize, recipe.test_resize)),
            transforms.CenterCrop(recipe.image_size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    labels = []
    with torch.inference_mode():
        for path in paths:
            image = transform(Image.open(path).convert("RGB"))
            labels.append(int(network(image[None]).argmax()))
    return np.array(labels)
