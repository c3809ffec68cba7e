"""Scoring against the bare network, and against a plain loop of Pillow, a transform per sample and batches of one."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured, not_measured
from benchmarks.machine import computes_in_bf16
from benchmarks.plain_loop import plain_labels
from benchmarks.rounds import alternate, ratios
from harness.commands.shared.options import worker_count
from harness.data.tracks import DataRoot
from harness.images.batches import ImageRequest, read_batch
from harness.images.device import make_accelerator, resolve_precision
from harness.images.transforms import prepare_test
from harness.inference.network import load_network
from harness.inference.score import ImageScorer
from harness.inference.settings import Scoring
from harness.recipes.recipe import Recipe
from harness.runs import checkpoints, scores
from harness.runs.store import Run

Shape = tuple[str, str, dict[str, str], int, tuple[int, ...]]

RES50: Shape = ("Res-50/224", "res50", {}, 16, (20, 9, 3))
RES18: Shape = ("Res-18/112", "res18", {"image_size": "112", "test_resize": "112"}, 64, (600, 260, 120, 44))
"""Name, recipe, changes, images per forward pass, lengths of the tracks: whole passes, which frames of all tracks fill."""
PLAIN_FRAMES = 8
SAME_LABELS = 0.99
"""Scores of two precisions or sizes of pass differ in their last bits, so a tie may fall to the other side."""


def measure(bench: Bench) -> Iterator[Figure]:
    """All figures of predicting."""
    precision = resolve_precision("auto")
    for name, recipe, changes, batch, lengths in (RES50, RES18):
        subject = Subject(bench, recipe, dict(changes), batch, lengths, precision)
        sides = {"harness": subject.score, "bare": subject.bare}
        if name == RES50[0]:
            sides["plain"] = subject.plain
        rates = alternate(bench.rounds, bench.clock, sides, {"harness": subject.forget})
        subject.refuse_other_labels()
        yield measured(f"predict {name}", "frames/s", rates["harness"], f"{precision}, batch {batch}")
        yield measured(f"bare network {name}", "frames/s", rates["bare"], f"{precision}, batch {batch}")
        yield measured(f"predict {name}, share of the bare network", "", ratios(rates["harness"], rates["bare"]), precision)
        if "plain" in rates:
            yield measured(f"plain loop {name}", "frames/s", rates["plain"], "Pillow, transform per sample, batch 1, fp32")
            times = ratios(rates["harness"], rates["plain"])
            yield measured(f"predict {name}, times the plain loop", "", times, precision)
            wanted = f"predict {name} bf16, times the plain loop"
            if computes_in_bf16():
                yield measured(wanted, "", times)
            else:
                yield not_measured(wanted, "the processor does not compute in bf16")


class Subject:
    """A run, its data, and the sides that score it."""

    def __init__(
        self, bench: Bench, recipe: str, changes: dict[str, str], batch: int, lengths: tuple[int, ...], precision: str
    ) -> None:
        self.recipe: Recipe = materials.make_recipe(recipe, changes)
        self.root: DataRoot = materials.make_root(bench.folder / f"{recipe}-data", {"test": lengths})
        self.run: Run = materials.make_run(bench.folder / "runs" / recipe, self.recipe)
        self.precision = precision
        accelerator = make_accelerator("fp32")
        checkpoint = checkpoints.choose(self.run, "last", print)
        self.network = load_network(self.run, self.recipe, checkpoint)
        self.scorer = ImageScorer(
            self.run,
            "test",
            self.root.split("test"),
            checkpoint,
            Scoring(precision=precision, batch=batch, workers=worker_count(None)),
            accelerator,
            materials.silent,
            recipe=self.recipe,
            network=self.network,
        )
        requests = [ImageRequest(track, frame) for track in self.scorer.tracks for frame in track.frames.tolist()]
        self.paths = [request.track.image_path(request.frame) for request in requests]
        self.ready = [self._ready(requests[start : start + batch]) for start in range(0, len(requests), batch)]
        self.labels: dict[str, NDArray[np.int64]] = {}
        # As a toolkit would: the network as it was built, its memory format untouched.
        self.plain_network = copy.deepcopy(self.network).to(memory_format=torch.contiguous_format)

    def _ready(self, requests: list[ImageRequest]) -> Tensor:
        images = read_batch(requests, self.recipe.decode_size).images
        mean, std = self.scorer.passes.mean, self.scorer.passes.std
        return prepare_test(
            images, self.recipe.image_size, self.recipe.test_resize, mean, std, dtype=self._dtype or torch.float32
        )

    @property
    def _dtype(self) -> torch.dtype | None:
        return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)

    def forget(self) -> None:
        """Throws the scores away."""
        materials.remove_scores(self.run)

    def score(self) -> float:
        """What `harness predict` does once the network is loaded: list, read, decode, score, store, finish."""
        summary = self.scorer.score()
        assert summary.complete
        assert summary.scored == len(self.scorer.tracks)
        stored = [scores.read_track(self.run, "test", track.name).score for track in self.scorer.tracks]
        self.labels["harness"] = np.concatenate(stored).argmax(axis=1)
        return len(self.paths)

    def bare(self) -> float:
        """A loop that feeds preloaded tensors to the model and does nothing else."""
        logits = []
        with torch.inference_mode(), torch.autocast("cpu", dtype=self._dtype, enabled=self._dtype is not None):
            for batch in self.ready:
                logits.append(self.network(batch))
        self.labels["bare"] = torch.cat(logits).float().argmax(dim=1).numpy()
        return len(self.paths)

    def plain(self) -> float:
        """The loop of public toolkits."""
        paths = self.paths[:PLAIN_FRAMES]
        mean, std = self.scorer.passes.mean, self.scorer.passes.std
        self.labels["plain"] = plain_labels(self.plain_network, paths, self.recipe, mean, std)
        return len(paths)

    def refuse_other_labels(self) -> None:
        """Raises AssertionError unless all sides gave the same labels to the same images."""
        for side, labels in self.labels.items():
            agreement = (labels == self.labels["harness"][: len(labels)]).mean()
            # The plain loop resizes eight-bit pixels, so its random-weight scores may fall to the other side more often.
            least = 0.8 if side == "plain" else SAME_LABELS
            assert agreement >= least, f"{side} gives other labels: {agreement:.3f} agree"
