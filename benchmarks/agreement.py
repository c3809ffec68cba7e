"""How many labels change when a trained run predicts in bf16 instead of fp32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks import materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.machine import computes_in_bf16
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.drawn import write_drawn_root
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.runs import scores
from harness.runs.store import Run
from harness.training.start import train

CHANGES = {
    "decode_size": "64", "image_size": "64", "test_resize": "64", "frame_step": "2", "batch": "32", "iterations": "300",
    "warmup": "10", "learning_rate": "0.02", "evaluate_every": "300", "checkpoint_every": "300", "precision": "fp32",
}  # fmt: skip


def measure(bench: Bench) -> Iterator[Figure]:
    """The share of frames with the same label, on faces that had no part in the training."""
    root = scan(write_drawn_root(bench.folder / "data", tracks=(8, 6, 8), rows=60), use_cache=False)
    recipe = materials.make_recipe("res18", CHANGES)
    path = bench.folder / "runs" / "res18"
    trained = train(recipe, root, path, fresh=True, workers=0, from_scratch=True, say=materials.silent)
    same = [labels(trained.run, root, split, "fp32") == labels(trained.run, root, split, "bf16") for split in ("val", "test")]
    share = float(np.concatenate(same).mean())
    emulated = "" if computes_in_bf16() else ", bf16 emulated"
    note = f"{sum(map(len, same))} frames, Res-18, validation macro-F1 {trained.outcome.metric:.2f}{emulated}"
    yield measured("labels of bf16 that agree with fp32", "share", [share], note)


def labels(run: Run, root: DataRoot, split: str, precision: str) -> NDArray[np.int64]:
    """The most probable class of every seen frame of a split."""
    predict(run, root, split, Scoring(precision=precision, strict=True), materials.silent)
    names = scores.read_index(run, split).tracks
    logits = np.concatenate([scores.read_track(run, split, name).score for name in names])
    chosen: NDArray[np.int64] = logits.argmax(axis=1).astype(np.int64)
    return chosen
