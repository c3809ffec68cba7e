"""torch.compile on the same network: what it gains a frame, and after how many frames its start-up is paid back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured, not_measured
from benchmarks.rounds import alternate, ratios
from harness.images.device import keep_freed_memory, resolve_precision
from models import classifier

BATCH = 16
NAME = "torch.compile Res-50/224, times the bare network"


def measure(bench: Bench) -> Iterator[Figure]:
    """The gain without start-up, and the start-up."""
    keep_freed_memory()
    precision = {"bf16": torch.bfloat16}.get(resolve_precision("auto"))
    network = classifier.build("res50", "spatial", 8, seed=0, image_size=224).eval().to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    compiled: Callable[[Tensor], Tensor] = torch.compile(network)
    labels: list[int] = []

    def run(module: Callable[[Tensor], Tensor]) -> float:
        with torch.inference_mode(), torch.autocast("cpu", dtype=precision, enabled=precision is not None):
            labels[:] = module(images).argmax(dim=1).tolist()
        return BATCH

    begin = time.perf_counter()
    try:
        run(compiled)
    except Exception as error:  # Whatever the compiler lacks: a C++ compiler, headers.
        yield not_measured(NAME, str(error).splitlines()[0])
        return
    start = time.perf_counter() - begin
    of_compiled = list(labels)
    run(network)
    agreement = sum(a == b for a, b in zip(labels, of_compiled, strict=True)) / BATCH
    rates = alternate(bench.rounds, bench.clock, {"compiled": lambda: run(compiled), "bare": lambda: run(network)})
    yield measured(NAME, "", ratios(rates["compiled"], rates["bare"]), f"{100 * agreement:.0f} % of labels agree")
    yield measured("torch.compile Res-50/224, start-up", "s", [start])
