"""Evaluating and comparing values, units and all three tasks of the official sizes, with every interval and p-value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from harness.challenge import AU, MTL, VA, Challenge
from harness.evaluation.compare import compare_runs
from harness.evaluation.evaluate import evaluate
from harness.evaluation.predictions import Scored, ScoredTrack

# Recordings and labelled frames of the official validation splits.
SIZES = (("values", VA, 76, 382_021), ("units", AU, 105, 445_845), ("all tasks", MTL, 50, 26_876))


def measure(bench: Bench) -> Iterator[Figure]:
    """Seconds in this process, its imports not counted."""
    for words, challenge, recordings, frames in SIZES:
        size = f"of {recordings} recordings and {frames:,} frames"
        tracks, others = (made_up(challenge, recordings, frames, seed) for seed in (0, 1))
        second = [
            ScoredTrack(one.name, one.recording, one.labels, other.answers, one.has_face)
            for one, other in zip(tracks, others, strict=True)
        ]
        pair = Scored("a", challenge, tracks), Scored("b", challenge, second)
        yield _seconds(bench, f"evaluate {words} {size}", partial(evaluate, tracks, challenge))
        yield _seconds(bench, f"compare {words} {size}", partial(compare_runs, pair[0], pair[1:]))


def made_up(challenge: Challenge, recordings: int, frames: int, seed: int) -> list[ScoredTrack]:
    """Tracks of even length, whose answers are half label and half chance; nineteen of twenty have a face."""
    generator = np.random.default_rng(seed)
    lengths = np.full(recordings, frames // recordings)
    lengths[: frames - lengths.sum()] += 1
    tracks = []
    for number, rows in enumerate(lengths.tolist()):
        name = f"{number}-30-1920x1080"
        labels, answers = _rows(challenge, rows, np.random.default_rng(number)), _rows(challenge, rows, generator)
        answers = np.where(generator.random((rows, 1)) < 0.5, labels, answers)
        tracks.append(ScoredTrack(name, name, labels, answers, generator.random(rows) < 0.95))
    return tracks


def _rows(challenge: Challenge, rows: int, generator: np.random.Generator) -> NDArray:
    columns = [
        generator.integers(field.low, field.high + 1, rows) if field.integral else generator.uniform(field.low, field.high, rows)
        for field in challenge.fields
    ]
    return np.stack(columns, axis=1).astype(np.int8 if challenge.integral else np.float64)


def _seconds(bench: Bench, name: str, work: Callable[[], object]) -> Figure:
    values = []
    for _ in range(bench.rounds + 1):
        begin = bench.clock()
        work()
        values.append(bench.clock() - begin)
    return measured(name, "s", values[1:])
