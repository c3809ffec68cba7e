"""Images, data roots and runs to measure on, made from seeds: nothing is downloaded."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from benchmarks.twin import ANNOTATIONS, write_labels, write_test_set
from harness import files
from harness.challenge import EXPR
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.inference.network import MODEL
from harness.recipes import recipe as recipes
from harness.recipes.recipe import Recipe
from harness.runs import checkpoints, store
from harness.runs.store import Run
from harness.training.network import build_network

CROPS = "cropped_aligned"
PICTURES = 256
"""So many different pictures are drawn; longer tracks show them again in another order."""


def pictures(count: int = PICTURES, side: int = 112) -> list[bytes]:
    """JPEG files (side x side, quality 90, 4 kB at 112) with the coarse and fine structure and the noise of a photograph."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(count):
        layers = [
            np.asarray(Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize((side, side), 3))
            for cells in (7, 28)
        ]
        pixels = 0.75 * layers[0] + 0.2 * layers[1] + generator.normal(0, 3, (side, side, 3))
        buffer = io.BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def write_crops(folder: Path, count: int, images: Sequence[bytes], first: int) -> None:
    """`count` numbered images in one folder, beginning with picture number `first`."""
    folder.mkdir(parents=True)
    for frame in range(1, count + 1):
        (folder / f"{frame:05d}.jpg").write_bytes(images[(first + 7 * frame) % len(images)])


def write_root(place: Path, lengths: Mapping[str, Sequence[int]], images: Sequence[bytes]) -> Path:
    """A data root whose tracks of each split have these lengths; every frame has an image and, but in test, a label.

    Without `images` each track has an empty folder.
    """
    generator = np.random.default_rng(1)
    test = []
    for name, split, count, number in _cast(lengths):
        write_crops(place / CROPS / name, count if images else 0, images, 31 * number)
        if split == "test":
            test.append((name, count))
        else:
            labels = np.repeat(generator.integers(0, len(EXPR.class_names), count // 20 + 1), 20)[:count].tolist()
            write_labels(place / ANNOTATIONS / {"train": "Train_Set", "val": "Validation_Set"}[split] / f"{name}.txt", labels)
    if test:
        write_test_set(place, test)
    return place


def _cast(lengths: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, str, int, int]]:
    number = 0
    for split, counts in lengths.items():
        for count in counts:
            number += 1
            yield f"video{number}", split, count, number


def make_root(place: Path, lengths: Mapping[str, Sequence[int]]) -> DataRoot:
    """The same with drawn pictures, scanned."""
    return scan(write_root(place, lengths, pictures()), use_cache=False)


def make_recipe(name: str, changes: Mapping[str, str]) -> Recipe:
    """A recipe with changes, starting from random weights; its images are decoded at the size that they are drawn in."""
    return recipes.load(name, {"weights_wanted": "''", "decode_size": "112", **changes})


def make_run(path: Path, recipe: Recipe, root: DataRoot | None = None) -> Run:
    """A run with one checkpoint of random weights."""
    network = build_network(recipe, len(EXPR.class_names))
    with store.made_anew(path, manifest(recipe, root)) as run:
        checkpoints.write(run, 1, None, lambda folder: save_file(tensors(network), folder / MODEL))
    return Run(path)


def manifest(recipe: Recipe, root: DataRoot | None) -> dict[str, object]:
    """What run.json of a training holds."""
    return {
        "kind": "training",
        "challenge": EXPR.name,
        "class_names": list(EXPR.class_names),
        "recipe": recipe.as_dict(),
        "prior": [1 / len(EXPR.class_names)] * len(EXPR.class_names),
        "where": {} if root is None else {"data": str(root.path)},
    }


def tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """All weights and statistics, each in memory of its own."""
    return {name: value.contiguous().clone() for name, value in network.state_dict().items()}


def remove_scores(run: Run) -> None:
    """Throws all scores away: the next prediction starts from nothing."""
    files.remove(run.path / "scores")


def silent(line: str) -> None:
    """Says nothing."""
