"""What time adds on the embedded data set: each frame alone, smoothed, and models that see a few seconds at once.

    python -m benchmarks.temporal --work temporal

Three data sets of other performances of the same people, one training seed each: every model learns from the same features of a
frozen ImageNet backbone, from windows of one length for as many steps at one learning rate, from the 24 people of the training
split, and the last step's answers are scored on the 16 others (validation and test). Printed are macro-F1 and accuracy, and the
differences of macro-F1 to frames alone and to frames smoothed with 95 % intervals over recordings (jackknife of the pooled
counts). What is done is kept: an interrupted campaign goes on where it stopped. It demonstrates the chain, and claims nothing
about Aff-Wild2.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sound import accuracy, difference, run_harness
from harness import files
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.kinds.confusion import confusion
from harness.kinds.f1 import macro_f1
from harness.postprocess.chain import PostProcessing
from harness.recipes.temporal import TemporalRecipe
from harness.rows.labelled import with_labels
from harness.rows.predictions import RunPredictions
from harness.runs.store import Run
from harness.training.start_temporal import train_temporal
from harness.training.training_data import on_splits

SEEDS = range(3)
CLASSES = 8
SETTINGS = {
    "iterations": "200",
    "evaluate_every": "200",
    "checkpoint_every": "200",
    "learning_rate": "1e-3",
    "batch": "16",
    "window": "4.27",
    "hop": "2.13",
    "width": "128",
    "feedforward": "256",
}
MODELS: dict[str, tuple[str, dict[str, str]]] = {
    "each frame alone": ("feature-mlp", {}),
    "GRU": ("temporal-transformer", {"model": "gru", "layers": "2"}),
    "TCN": ("temporal-tcn", {}),
    "Transformer": ("temporal-transformer", {}),
}
"""Name of a model -> its recipe and what is changed in it."""
SMOOTHINGS = {"": PostProcessing(seconds=0.0), ", smoothed": PostProcessing()}
ARMS = [model + ending for model in MODELS for ending in SMOOTHINGS]


def main() -> None:
    """Makes what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("temporal"), help="folder of data and runs [default: temporal]")
    work = files.make_directory(parser.parse_args().work).resolve()
    print("\n".join(table(np.concatenate([_counts_of_seed(files.make_directory(work / str(seed)), seed) for seed in SEEDS]))))


def _counts_of_seed(place: Path, seed: int) -> NDArray[np.int64]:
    """Confusion matrices (recordings, arms, C, C) of the unseen people of one data set."""
    kept = place / "counts.npy"
    if kept.is_file():
        counts: NDArray[np.int64] = np.load(kept, allow_pickle=False)
        return counts
    run_harness(place, "demo-data", "--out", "data", "--seed", str(seed))
    run_harness(place, "train", "--recipe", "lite0-frozen", "--data", "data", "--run", "faces", "--set", "iterations=1")
    run_harness(place, "features", "faces", "--data", "data")
    os.chdir(place)
    root = with_labels(scan(place / "data"), "test", place / "data" / "test_labels")
    recordings = list(dict.fromkeys(track.recording for split in ("val", "test") for track in root.split(split)))
    counts = np.zeros((len(recordings), len(ARMS), CLASSES, CLASSES), dtype=np.int64)
    for model, (recipe, changes) in MODELS.items():
        run = _trained(TemporalRecipe.load(recipe, {**SETTINGS, **changes, "seed": str(seed)}), root, model)
        for ending, settings in SMOOTHINGS.items():
            _count(run, root, settings, recordings, counts[:, ARMS.index(model + ending)])
    buffer = io.BytesIO()
    np.save(buffer, counts, allow_pickle=False)
    files.write_bytes(kept, buffer.getvalue())
    return counts


def _trained(recipe: TemporalRecipe, root: DataRoot, name: str) -> Run:
    place = Path("runs") / name.replace(" ", "-")
    run = train_temporal(recipe, root, ["faces"], place, on_splits(root), fresh=False, workers=0, say=print).run
    for split in ("val", "test"):
        predict(run, root, split, Scoring(), print)
    return run


def _count(run: Run, root: DataRoot, settings: PostProcessing, recordings: list[str], counts: NDArray[np.int64]) -> None:
    """Adds the answers of a run to confusion matrices (recordings, C, C)."""
    for split in ("val", "test"):
        tracks = {track.name: track for track in root.split(split)}
        for predicted in RunPredictions(run, split, settings, root):
            track = tracks[predicted.track]
            if track.labels is not None:
                counts[recordings.index(track.recording)] += confusion(track.labels, predicted.classes, CLASSES)


def table(counts: NDArray[np.int64]) -> list[str]:
    """The lines of the table of counts (recordings, arms, C, C)."""
    lines = ["| model | macro-F1 | accuracy | less each frame alone | less each frame alone, smoothed |", "|" + "---|" * 5]
    total = counts.sum(axis=0)
    for arm, name in enumerate(ARMS):
        cells = [name, f"{macro_f1(total[arm]):.3f}", f"{accuracy(total[arm]):.3f}"]
        cells += ["" if arm <= base else difference(counts[:, [base, arm]], macro_f1) for base in (0, 1)]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, f"{int(total[0].sum()):,} labelled frames of {len(counts)} recordings"]


if __name__ == "__main__":
    main()
