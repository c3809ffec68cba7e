"""Averaging runs of the official size: combine, fill, smooth, decode, write and validate, as one command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import apart, materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.submission import ROWS, TRACKS
from benchmarks.twin import write_test_set
from harness.challenge import EXPR
from harness.data.sample import Rows
from harness.runs import scores, store
from harness.runs.scores import TrackScores

RUNS = 5
FACELESS = 0.05
"""Share of the rows without a face, in stretches."""


def measure(bench: Bench) -> Iterator[Figure]:
    """Seconds and memory of a process of its own, start-up included."""
    names = prepare(bench.folder, RUNS, TRACKS, ROWS)
    taken = [ensemble(bench.folder, names) for _ in range(bench.rounds)]
    note = f"{RUNS} runs, {TRACKS} tracks, {100 * FACELESS:.0f} % of rows without a face"
    yield measured(f"ensemble of {RUNS} runs of {ROWS:,} rows", "s", [one.seconds for one in taken], note)
    yield measured(f"ensemble of {RUNS} runs of {ROWS:,} rows, processor", "s", [one.processor_seconds for one in taken], note)
    yield measured(f"ensemble of {RUNS} runs of {ROWS:,} rows, memory", "MiB", [one.memory for one in taken], note)


def prepare(place: Path, runs: int, tracks: int, rows: int) -> list[str]:
    """A data root with a sample file and `runs` runs with scores of all of its rows but the faceless; returns their names."""
    lengths = np.full(tracks, rows // tracks)
    lengths[: rows - lengths.sum()] += 1
    names = [f"{number}-30-1920x1080" for number in range(1, tracks + 1)]
    counts = Rows.from_counts(zip(names, lengths.tolist(), strict=True)).counts
    for name in names:
        materials.write_crops(place / "data" / materials.CROPS / name, 1, [b""], 0)
    write_test_set(place / "data", list(counts.items()))
    generator = np.random.default_rng(0)
    recipe = materials.make_recipe("res18", {})
    manifest = {**materials.manifest(recipe, None), "where": {"data": str(place / "data")}}
    made = [f"run{number}" for number in range(runs)]
    for run_name in made:
        run, _ = store.open_or_create(place / "runs" / run_name, manifest)
        split = {}
        for name, length in counts.items():
            frames = np.arange(1, length + 1, dtype=np.int32)
            frames = frames[(frames // 20) % round(1 / FACELESS) != 0]
            split[name] = TrackScores(frames, generator.normal(size=(len(frames), len(EXPR.class_names))).astype(np.float32))
        scores.write_split(run, "test", split, {name: (length, "sample") for name, length in counts.items()}, "logits", {})
    return made


def ensemble(place: Path, names: list[str]) -> apart.Taken:
    """`harness ensemble` of these runs, anew."""
    return apart.harness(["ensemble", *names, "--run", "mean", "--fresh", "--fps", "30"], place)
