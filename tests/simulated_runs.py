"""Small data roots with labels that last a while, and runs whose scores are the labels seen through noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR
from harness.data.scan import scan
from harness.data.tracks import DataRoot, Track
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from tests.data_roots import Made, make_root, write

ROWS = 90


def labelled_root(
    place: Path,
    recordings: int = 12,
    rate: float | None = 30.0,
    seed: int = 0,
    classes: Sequence[int] = (0, 1, 4, 7),
    seen: float = 0.9,
    image: Callable[[str, int], bytes] = lambda name, frame: b"",
) -> DataRoot:
    """Training and validation tracks, half each, with runs of 15 equal labels, some unlabelled rows and some missing images.

    `seen` is the share of frames that have an image; it is empty unless `image` says what it holds.
    """
    generator = np.random.default_rng(seed)
    tracks = []
    for k in range(recordings):
        labels = np.repeat(generator.choice(classes, ROWS // 15), 15)
        labels[generator.random(ROWS) < 0.1] = -1
        frames = (np.flatnonzero(generator.random(ROWS) < seen) + 1).tolist()
        tracks.append(Made(f"video{k}", "train" if k % 2 else "val", labels.tolist(), frames))
    tracks.append(Made("video99", "test", [0] * 20, list(range(1, 21))))
    make_root(place, tracks, image=image)
    if rate is not None:
        write(place / "frame_rates.csv", "recording,fps\n" + "".join(f"{track.name},{rate}\n" for track in tracks))
    return scan(place, use_cache=False)


def noisy_run(
    root: DataRoot,
    path: Path,
    noise: float,
    seed: int = 0,
    confused: Sequence[tuple[int, int]] = (),
    splits: Sequence[str] = ("val",),
    signal: float = 2.0,
) -> Run:
    """A run whose logits are the labels with Gaussian noise; `confused` pairs (label, taken for) are seen as the other class."""
    run, _ = store.open_or_create(
        path,
        {
            "kind": "imported",
            "challenge": EXPR.name,
            "class_names": list(EXPR.class_names),
            "where": {"data": str(root.path)},
            "seed": seed,
            "noise": noise,
            "signal": signal,
        },
    )
    generator = np.random.default_rng(seed)
    for split in splits:
        tracks = root.split(split)
        scored = {track.name: TrackScores(track.frames, _logits(track, signal, noise, confused, generator)) for track in tracks}
        rows = {track.name: (track.rows, track.rows_from) for track in tracks}
        scores.write_split(run, split, scored, rows, "logits", {})
    return run


def _logits(
    track: Track, signal: float, noise: float, confused: Sequence[tuple[int, int]], generator: np.random.Generator
) -> NDArray[np.float32]:
    labels = np.zeros(track.rows, np.int8) if track.labels is None else np.maximum(track.labels, 0)
    seen = labels[track.frames - 1].copy()
    for label, taken_for in confused:
        seen[labels[track.frames - 1] == label] = taken_for
    logits: NDArray[np.float32] = (
        signal * np.eye(len(EXPR.class_names))[seen] + noise * generator.standard_normal((len(seen), len(EXPR.class_names)))
    ).astype(np.float32)
    return logits


def tracks_of(lengths: Sequence[int]) -> list[Track]:
    """Tracks of a test split, t0, t1, ..., with so many frames."""
    return [
        Track(f"t{k}", f"t{k}", "test", n, "sample", np.arange(1, n + 1, dtype=np.int32), None, Path("x"))
        for k, n in enumerate(lengths)
    ]
