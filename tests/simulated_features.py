"""Feature sets whose vectors are the labels seen through noise, on the data roots of simulated_runs; tiny trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot, Track
from harness.runs.feature_imports import import_features, open_features
from harness.runs.store import Run

TINY_TEMPORAL = {
    "width": "16",
    "layers": "2",
    "heads": "2",
    "feedforward": "32",
    "window": "1",
    "hop": "0.5",
    "batch": "4",
    "iterations": "12",
    "learning_rate": "3e-3",
    "warmup": "3",
    "evaluate_every": "6",
    "checkpoint_every": "4",
}
"""Recipe changes that make a temporal training take a moment."""


class Held:
    """Vectors (N, D) in memory that are read as those in a file are (harness.runs.arrays.StoredArray)."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.shape, self.dtype = values.shape, values.dtype

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        return self.values[first:last]

    def read_into(self, first: int, rows: NDArray[np.float32]) -> None:
        rows[:] = self.values[first : first + len(rows)]


def vectors_of(track: Track, width: int, noise: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Vectors (S, width) of the seen frames: a one at the place of the label, plus noise."""
    labels = np.zeros(track.rows, np.int8) if track.labels is None else np.maximum(track.labels, 0)
    clean = np.eye(width)[labels[track.frames - 1]]
    vectors: NDArray[np.float32] = (clean + noise * generator.standard_normal(clean.shape)).astype(np.float32)
    return vectors


def write_features(root: DataRoot, path: Path, width: int = 8, noise: float = 0.5, seed: int = 0) -> Path:
    """Writes an npz file with the features of all seen frames of all tracks."""
    generator = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "track": np.concatenate([np.full(len(track.frames), track.name) for track in root.tracks]),
        "frame": np.concatenate([track.frames for track in root.tracks]),
        path.stem: np.concatenate([vectors_of(track, width, noise, generator) for track in root.tracks]),
    }
    np.savez(path, **arrays)
    return path


def feature_run(root: DataRoot, place: Path, name: str = "f", width: int = 8, noise: float = 0.5, seed: int = 0) -> Run:
    """Imports such a file as the run `name`; the working folder must be `place`."""
    path = write_features(root, place / f"{name}.npz", width, noise, seed)
    return import_features(open_features(path, sum(track.rows for track in root.tracks)), root, "", fresh=False)[0][0]
