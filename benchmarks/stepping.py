"""A training's loop against the bare step: forward, backward, optimizer, on one batch that is there already."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from benchmarks import materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured, not_measured
from benchmarks.machine import computes_in_bf16
from benchmarks.rounds import Clock, alternate, ratios
from harness.commands.shared.options import worker_count
from harness.data.tracks import DataRoot
from harness.images.device import make_accelerator, resolve_precision
from harness.recipes.recipe import Recipe
from harness.runs import store
from harness.training.loop import run_loop
from harness.training.network import build_network
from harness.training.optimization import LoopSettings
from harness.training.supervised import SupervisedObjective
from harness.training.training_data import on_splits
from models.backbones import small_maps
from models.classifier import Classifier

BATCH = 16
STEPS = 3
CHANGES = {
    "batch": str(BATCH),
    "iterations": str(STEPS + 1),
    "frame_step": "1",
    "evaluate_every": "1000",
    "checkpoint_every": "1000",
}
SIDES = (48, 112)
"""Of faces whose last maps are smaller than Lite0's kernels."""
FROZEN_AND_BF16 = "train Res-50/224 frozen and bf16, times unfrozen fp32"


def measure(bench: Bench) -> Iterator[Figure]:
    """Images per second of training steps. A loop's first step and its last checkpoint are not counted."""
    root = materials.make_root(bench.folder / "data", {"train": (200, 200)})
    precision = resolve_precision("auto")
    frozen = Subject(bench.folder / "frozen", precision, freeze=2)
    unfrozen = Subject(bench.folder / "unfrozen", "fp32", freeze=0)
    sides = {"bare": frozen.bare, "unfrozen": unfrozen.bare}
    bare = alternate(bench.rounds, bench.clock, sides)
    loop, beside = [], []
    for number in range(bench.rounds):
        # The loop is timed from step to step inside of one run, so the two sides take turns by hand.
        for side in ("loop", "bare") if number % 2 else ("bare", "loop"):
            if side == "loop":
                loop.append(frozen.loop(bench, root))
            else:
                beside.append(alternate(1, bench.clock, {"bare": frozen.bare})["bare"][0])
    setting = f"{precision}, two stages frozen, batch {BATCH}"
    yield measured("train Res-50/224", "images/s", loop, setting)
    yield measured("bare step Res-50/224", "images/s", bare["bare"], setting)
    yield measured("bare step Res-50/224 unfrozen", "images/s", bare["unfrozen"], f"fp32, nothing frozen, batch {BATCH}")
    yield measured("train Res-50/224, share of the bare step", "", ratios(loop, beside), setting)
    gain = ratios(bare["bare"], bare["unfrozen"])
    yield measured(f"train Res-50/224 frozen and {precision}, times unfrozen fp32", "", gain, setting)
    if not computes_in_bf16():
        yield not_measured(FROZEN_AND_BF16, "the processor does not compute in bf16")
    yield from _by_taps(bench)


def _by_taps(bench: Bench) -> Iterator[Figure]:
    """Lite0's steps in fp32 with weight gradients as models.backbones.small_maps sums them, against torch's own."""
    for side in SIDES:
        lite0 = Subject(bench.folder / f"lite0-{side}", "fp32", 0, "lite0", image_size=side, test_resize=side)
        rates = alternate(bench.rounds, bench.clock, {"taps": lite0.bare, "torch": lite0.with_torchs_gradients})
        setting = f"fp32, batch {BATCH}"
        yield measured(f"bare step Lite0/{side}", "images/s", rates["taps"], setting)
        yield measured(f"bare step Lite0/{side}, times torch's gradients", "", ratios(rates["taps"], rates["torch"]), setting)


class Subject:
    """A recipe that is trained by the harness, and the same network in a bare step."""

    def __init__(self, place: Path, precision: str, freeze: int, recipe: str = "res50", **sizes: int) -> None:
        self.place = place
        changes = {**CHANGES, "precision": precision, "freeze_stages": str(freeze)}
        self.recipe: Recipe = materials.make_recipe(recipe, {**changes, **{name: str(size) for name, size in sizes.items()}})
        self.accelerator = make_accelerator(precision)
        self.network = self._network()
        trainable = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trainable, lr=1e-4, momentum=0.9, weight_decay=0.01)
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(BATCH, 3, self.recipe.image_size, self.recipe.image_size, generator=generator)
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 8, (BATCH,), generator=generator)

    def _network(self) -> Classifier:
        network = build_network(self.recipe, 8).to(memory_format=torch.channels_last)
        network.freeze(self.recipe.freeze_stages)
        return network.train()

    def bare(self) -> float:
        """Steps that do nothing but compute."""
        precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.recipe.precision)
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype=precision, enabled=precision is not None):
                logits = self.network(self.images)
            torch.autograd.backward(nn.functional.cross_entropy(logits.float(), self.labels))
            self.optimizer.step()
            self.optimizer.zero_grad()
        return STEPS * BATCH

    def with_torchs_gradients(self) -> float:
        """The same, with every weight gradient by torch."""
        with mock.patch.object(small_maps, "_is_slow", return_value=False):
            return self.bare()

    def loop(self, bench: Bench, root: DataRoot) -> float:
        """Images per second of the harness's loop, from the end of its first step to the end of its last."""
        if self.place.exists():
            shutil.rmtree(self.place)
        run, _ = store.open_or_create(self.place, materials.manifest(self.recipe, root))
        accelerator = make_accelerator(self.recipe.precision)
        objective = _Timed(self._network(), self.recipe, on_splits(root))
        objective.clock = bench.clock
        settings = LoopSettings(**{entry.name: getattr(self.recipe, entry.name) for entry in fields(LoopSettings)})
        run_loop(run, objective, settings, accelerator, workers=worker_count(None), metadata={}, say=materials.silent)
        return STEPS * BATCH / (objective.ends[-1] - objective.ends[0])


class _Timed(SupervisedObjective):
    """The objective as it is; it notes when each step ended."""

    clock: Clock = staticmethod(time.perf_counter)
    ends: tuple[float, ...] = ()

    def after_step(self, network: nn.Module, step: int) -> None:
        super().after_step(network, step)
        self.ends = (*self.ends, self.clock())
