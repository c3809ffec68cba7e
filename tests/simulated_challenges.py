"""Labels of any challenge that last a while, and runs whose outputs are the labels seen through noise; no file but the scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Field
from harness.data.tracks import DataRoot, Track
from harness.kinds.parts import parts_of
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run

ROWS = 180
RATE = 30.0

# From the labels of one field of a track (rows,), 0 where it has none, to what a run puts out for it (rows, columns).
Output = Callable[[Field, NDArray[np.float64], np.random.Generator], NDArray[np.float64]]


def drawn_root(place: Path, challenge: Challenge, recordings: int = 16, seed: int = 0, active: float = 0.3) -> DataRoot:
    """A data root of val, and one track of test without labels.

    Values wander between -0.9 and 0.9, classes and units last twenty frames, a unit is `active` so often. One row in twenty has
    no label, one frame in twenty no image.
    """
    generator = np.random.default_rng(seed)
    tracks = []
    for number in range(recordings):
        labels = np.stack([_labels(field, active, generator) for field in challenge.fields], axis=1)
        labels[generator.random(ROWS) < 0.05] = challenge.ignored
        labels = labels.astype(parts_of(challenge).unlabelled(1).dtype)
        tracks.append(_track(f"video{number:02d}", "val", labels[:, 0] if labels.shape[1] == 1 else labels, generator))
    return DataRoot(place, (*tracks, _track("video99", "test", None, generator)), challenge=challenge)


def _labels(field: Field, active: float, generator: np.random.Generator) -> NDArray[np.float64]:
    if field.kind == "real":
        time = np.arange(ROWS) / RATE
        waves = [np.sin(generator.uniform(0.5, 2.0) * time + generator.uniform(0, 7)) for _ in range(3)]
        values: NDArray[np.float64] = np.clip(0.3 * np.sum(waves, axis=0) + generator.normal(0, 0.2), -0.9, 0.9)
        return values
    several = generator.random(ROWS // 20) < active if field.kind == "unit" else generator.choice([0, 1, 4, 7], ROWS // 20)
    return np.repeat(several, 20).astype(np.float64)


def _track(name: str, split: str, labels: NDArray | None, generator: np.random.Generator) -> Track:
    frames = (np.flatnonzero(generator.random(ROWS) < 0.95) + 1).astype(np.int32)
    return Track(name, name, split, ROWS, "annotation", frames, labels, Path("nowhere"), frame_rate=RATE)


def seen(noise: float, value_noise: float | None = None) -> Output:
    """Outputs that say the labels through normal noise, which for values may be another."""

    def output(field: Field, labels: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
        if field.kind == "real":
            own = noise if value_noise is None else value_noise
            return np.asarray(np.arctanh(labels) + own * generator.standard_normal(len(labels)))[:, None]
        count = field.high + 1
        right = 4.0 * labels[:, None] - 2.0 if field.kind == "unit" else 2.0 * np.eye(count)[labels.astype(int)]
        return np.asarray(right + noise * generator.standard_normal(right.shape))

    return output


def run_of(root: DataRoot, path: Path, output: Output, seed: int = 0, splits: Sequence[str] = ("val",)) -> Run:
    """A run with these outputs."""
    challenge, columns = root.challenge, parts_of(root.challenge).columns
    manifest = {"kind": "imported", "challenge": challenge.name, "class_names": list(columns), "seed": seed}
    run, _ = store.open_or_create(path, {**manifest, "where": {"data": str(root.path)}})
    generator = np.random.default_rng(seed)
    for split in splits:
        stored = {}
        for track in root.split(split):
            known = parts_of(challenge).unlabelled(track.rows) if track.labels is None else track.labels
            labels = known.reshape(track.rows, -1).astype(np.float64)
            labels[(labels == np.array(challenge.ignored)).any(axis=1)] = 0.0
            said = [output(field, labels[:, number], generator) for number, field in enumerate(challenge.fields)]
            stored[track.name] = TrackScores(track.frames, np.concatenate(said, axis=1)[track.frames - 1].astype(np.float32))
        rows = {track.name: (track.rows, track.rows_from) for track in root.split(split)}
        scores.write_split(run, split, stored, rows, "logits", {})
    return run
