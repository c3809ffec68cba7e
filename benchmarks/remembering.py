"""Whether the memory of predict and evaluate grows with the number of tracks; how even shards are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import apart, materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from harness.challenge import EXPR
from harness.data.scan import scan
from harness.data.tracks import Track
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.shards import shard

SMALL, LARGE = 60, 600
FRAMES = 12
"""Images of a track that is predicted."""
ROWS = 1_700
"""Rows of a track that is evaluated: the official validation split has 280,532 labelled rows in 70 tracks, test 4,485 a track."""
NETWORK = {
    "backbone": "torchvision:shufflenet_v2_x0_5",
    "head": "pooled",
    "decode_size": "112",
    "image_size": "112",
    "test_resize": "112",
}
SHARDS = (2, 4, 8, 16)


def measure(bench: Bench) -> Iterator[Figure]:
    """Largest memory of a process of its own."""
    for verb, make in (("predict", _predicted), ("evaluate", _evaluated)):
        memories = {count: make(bench.folder / f"{verb}-{count}", count) for count in (SMALL, LARGE)}
        for count, memory in memories.items():
            yield measured(f"{verb}, memory of {count} tracks", "MiB", [memory])
        yield measured(f"{verb}, memory of {LARGE} tracks over {SMALL}", "", [memories[LARGE] / memories[SMALL]])
    lengths = np.random.default_rng(0).lognormal(7.5, 0.9, LARGE).astype(int) + 1
    departures = [_departure(_tracks(lengths.tolist()), count) for count in SHARDS]
    note = f"{LARGE} tracks of {lengths.min():,} to {lengths.max():,} frames in {', '.join(map(str, SHARDS))} shards"
    yield measured("shards, largest departure from equal", "share", [max(departures)], note)


def _predicted(place: Path, count: int) -> float:
    root = materials.make_root(place / "data", {"test": [FRAMES] * count})
    materials.make_run(place / "runs" / "a", materials.make_recipe("res18", {**NETWORK, "precision": "fp32"}), root)
    return apart.harness(["predict", "a", "--workers", "0"], place).memory


def _evaluated(place: Path, count: int) -> float:
    root = scan(materials.write_root(place / "data", {"val": [ROWS] * count}, []), use_cache=False)
    run, _ = store.open_or_create(place / "runs" / "a", materials.manifest(materials.make_recipe("res18", NETWORK), root))
    generator = np.random.default_rng(0)
    classes = len(EXPR.class_names)
    frames = np.arange(1, ROWS + 1, dtype=np.int32)
    made = {track.name: TrackScores(frames, generator.normal(size=(ROWS, classes)).astype(np.float32)) for track in root.tracks}
    rows = {track.name: (track.rows, track.rows_from) for track in root.tracks}
    scores.write_split(run, "val", made, rows, "logits", {})
    return apart.harness(["evaluate", "a", "--fps", "30"], place).memory


def _tracks(lengths: Sequence[int]) -> list[Track]:
    frames = np.arange(1, max(lengths) + 1, dtype=np.int32)
    return [
        Track(f"t{number}", f"t{number}", "test", length, "sample", frames[:length], None, Path())
        for number, length in enumerate(lengths)
    ]


def _departure(tracks: Sequence[Track], count: int) -> float:
    loads = np.array([sum(len(track.frames) for track in shard(tracks, index, count)) for index in range(1, count + 1)])
    return float(np.abs(loads / loads.mean() - 1).max())
