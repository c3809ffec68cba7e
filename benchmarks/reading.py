"""The input path alone: image files to normalised batches, in frames per second of processor time of one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks import materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.rounds import alternate, processor_time
from harness.images.batches import ImageRequest, read_batch
from harness.images.device import keep_freed_memory
from harness.images.transforms import prepare_test
from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD

BATCH = 64
BATCHES = 4
INPUTS = {
    "input 112 to 112, fp32": (112, 112, torch.float32),
    "input 112 to 224, fp32": (224, 256, torch.float32),
    "input 112 to 224, bf16": (224, 256, torch.bfloat16),
}


def measure(bench: Bench) -> Iterator[Figure]:
    """Frames per second of one core."""
    root = materials.make_root(bench.folder / "data", {"test": (BATCH * BATCHES,)})
    track = root.tracks[0]
    requests = [ImageRequest(track, frame) for frame in track.frames.tolist()]
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sides = {name: _side(requests, *what) for name, what in INPUTS.items()}
        sides["decode"] = _side(requests, 0, 0, torch.uint8)
        rates = alternate(bench.rounds, processor_time, sides)
    finally:
        torch.set_num_threads(threads)
    for name in INPUTS:
        yield measured(name, "frames/s and core", rates[name], "read, hash, decode, resize, normalise; processor time")
    yield measured("input, decoding alone", "frames/s and core", rates["decode"], "read, hash, decode; processor time")


def _side(requests: list[ImageRequest], image_size: int, test_resize: int, dtype: torch.dtype) -> Callable[[], float]:
    def run() -> float:
        for start in range(0, len(requests), BATCH):
            images = read_batch(requests[start : start + BATCH], 112, with_digests=True).images
            if image_size:
                ready: Tensor = prepare_test(images, image_size, test_resize, IMAGENET_MEAN, IMAGENET_STD, dtype=dtype)
                assert ready.shape == (BATCH, 3, image_size, image_size)
        return len(requests)

    return run
