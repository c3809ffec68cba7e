"""Stored features at the size of real ones: reading them against reading the same bytes, and memory over tracks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import apart, materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.rounds import alternate, ratios
from harness import files
from harness.data.scan import scan
from harness.data.tracks import Track
from harness.runs import features, scores, store
from harness.runs.scores import FEATURES, ScoreIndex, TrackRecord, TrackScores
from harness.runs.store import Run

WIDTH = 1024
ROWS = 4_500
"""Frames of a track: the official test split has 4,485 on average."""
TRACKS = 40
SMALL, LARGE = 60, 600
SHORT, NARROW = 300, 512
"""Frames and width where memory is measured; what grows with tracks grows with these as well."""
SETTINGS = ("--set", "model=mlp", "--set", "iterations=1", "--set", "batch=4", "--set", "window=1", "--set", "hop=1")


def measure(bench: Bench) -> Iterator[Figure]:
    """Reading throughput, and the largest memory of a prediction from features."""
    yield from _reading(bench)
    memories = {count: _predicted(bench.folder / f"predict-{count}", count) for count in (SMALL, LARGE)}
    for count, memory in memories.items():
        yield measured(f"predict from features, memory of {count} tracks", "MiB", [memory])
    yield measured(f"predict from features, memory of {LARGE} tracks over {SMALL}", "", [memories[LARGE] / memories[SMALL]])


def _reading(bench: Bench) -> Iterator[Figure]:
    frames = np.arange(1, ROWS + 1, dtype=np.int32)
    tracks = [Track(f"t{n}", f"t{n}", "train", ROWS, "images", frames, None, Path()) for n in range(TRACKS)]
    run = _write_features(bench.folder / "reading" / "runs" / "f", tracks, WIDTH)
    paths = [scores.directory(run, "train", FEATURES) / f"{track.name}.npz" for track in tracks]
    here = Path.cwd()
    os.chdir(bench.folder / "reading")
    try:
        sets = features.open_sets(["f"], ["train"])

        wanted = np.empty((ROWS, WIDTH), np.float32)
        content = bytearray(paths[0].stat().st_size)

        def ours() -> float:
            for track in tracks:
                stored = features.read(sets, track, "train")
                stored.gather_into(np.arange(len(stored.frame)), wanted)
            return wanted.nbytes * len(tracks)

        def raw() -> float:
            for path in paths:
                with open(path, "rb", buffering=0) as handle:
                    handle.readinto(content)
            return len(content) * len(paths)

        rates = alternate(bench.rounds, bench.clock, {"ours": ours, "raw": raw})
    finally:
        os.chdir(here)
    note = f"{TRACKS} tracks of {ROWS:,} x {WIDTH:,} numbers, sha256 known to the process"
    yield measured("features, read track by track", "MB/s", [rate / 1e6 for rate in rates["ours"]], note)
    yield measured("features, share of a raw read of the same bytes", "", ratios(rates["ours"], rates["raw"]), note)


def _write_features(path: Path, tracks: list[Track], width: int) -> Run:
    run = Run(path)
    files.make_directory(path)
    store.rewrite(run, {"class_names": []})
    values = np.random.default_rng(0).normal(size=(max(track.rows for track in tracks), width)).astype(np.float32)
    settings = {"width": width}
    for split in dict.fromkeys(track.split for track in tracks):
        records = {}
        for track in tracks:
            if track.split == split:
                numbers = np.arange(1, track.rows + 1, dtype=np.int32)
                digest = scores.write_track(run, split, track.name, TrackScores(numbers, values[: track.rows]), FEATURES)
                records[track.name] = TrackRecord(track.rows, track.rows_from, track.rows, (), 0, "", digest)
                scores.write_record(run, split, track.name, scores.key_of(None, settings), "", records[track.name], FEATURES)
        scores.write_index(run, split, ScoreIndex((), "features", None, settings, records), FEATURES)
    return run


def _predicted(place: Path, count: int) -> float:
    root = scan(materials.write_root(place / "data", {"train": [SHORT] * 4, "test": [SHORT] * count}, []), use_cache=False)
    _write_features(place / "runs" / "f", list(root.tracks), NARROW)
    data = ["--data", "data", "--fps", "30"]
    apart.harness(["train", "--recipe", "temporal-tcn", "--features", "f", "--run", "t", *data, *SETTINGS], place)
    return apart.harness(["predict", "t", *data], place).memory
