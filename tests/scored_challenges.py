"""Answers and runs of any challenge, which are the labels seen through noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge
from harness.data.tracks import DataRoot, Track
from harness.evaluation.predictions import ScoredTrack
from harness.kinds.parts import parts_of
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run


def moving(challenge: Challenge, rows: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Numbers (rows, fields) of each field's kind that change every few rows, values a little in every row."""
    columns = []
    for field in challenge.fields:
        if field.integral:
            share = (0.7, 0.3) if field.kind == "unit" else None
            drawn = generator.choice(np.arange(field.low, field.high + 1), -(-rows // 5), p=share)
            columns.append(np.repeat(drawn, 5)[:rows].astype(np.float64))
        else:
            steps = generator.normal(0, 0.15, rows).cumsum()
            columns.append((0.8 * np.sin(steps + generator.uniform(0, 6))).round(3))
    return np.stack(columns, axis=1)


def scored_tracks(
    challenge: Challenge, count: int = 8, rows: int = 120, noise: float = 0.4, seed: int = 0, missing: float = 0.2
) -> list[ScoredTrack]:
    """Tracks whose labels are missing field by field, and some of them without a face."""
    generator = np.random.default_rng(seed)
    ignored = np.array(challenge.ignored, dtype=np.float64)
    tracks = []
    for number in range(count):
        truth, other = moving(challenge, rows + number, generator), moving(challenge, rows + number, generator)
        whole = np.array([field.integral for field in challenge.fields])
        swapped = generator.random(truth.shape) < noise
        answers = np.where(whole, np.where(swapped, other, truth), (1 - noise) * truth + noise * other)
        labels = np.where(generator.random(truth.shape) < missing, ignored, truth)
        if challenge.integral:
            labels, answers = labels.astype(np.int8), answers.astype(np.int8)
        if len(challenge.fields) == 1:
            labels, answers = labels[:, 0], answers[:, 0]
        name = f"video{number}"
        tracks.append(ScoredTrack(name, name, labels, answers, generator.random(len(labels)) < 0.9))
    return tracks


def simulated_run(root: DataRoot, path: Path, noise: float, seed: int = 0, split: str = "val") -> Run:
    """A run whose outputs are the labels of `root` with Gaussian noise."""
    parts = parts_of(root.challenge)
    manifest = {
        "kind": "imported",
        "challenge": root.challenge.name,
        "class_names": list(parts.columns),
        "where": {"data": str(root.path)},
        "seed": seed,
        "noise": noise,
    }
    run, _ = store.open_or_create(path, manifest)
    generator = np.random.default_rng(seed)
    scored = {
        track.name: TrackScores(track.frames, _outputs(track, root.challenge, noise, generator)) for track in root.split(split)
    }
    scores.write_split(
        run, split, scored, {track.name: (track.rows, track.rows_from) for track in root.split(split)}, "logits", {}
    )
    return run


def _outputs(track: Track, challenge: Challenge, noise: float, generator: np.random.Generator) -> NDArray[np.float32]:
    assert track.labels is not None
    labels = track.labels.reshape(track.rows, -1)[track.frames - 1]
    columns: list[NDArray] = []
    for field, truth in zip(challenge.fields, labels.T, strict=True):
        known = np.where(truth == field.ignore, 0, truth)
        if field.kind == "class":
            columns += list(2.0 * np.eye(len(challenge.class_names))[known.astype(int)].T)
        else:
            columns.append(2.0 * known - 1.0 if field.kind == "unit" else np.arctanh(0.95 * known))
    outputs = np.stack(columns, axis=1)
    outputs += noise * generator.normal(size=outputs.shape)
    return outputs.astype(np.float32)
