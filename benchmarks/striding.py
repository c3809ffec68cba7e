"""Every fifth frame against every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.predicting import RES18, Subject
from benchmarks.rounds import alternate, ratios
from harness import files
from harness.images.device import resolve_precision

STRIDE = 5
BATCH = 16
LENGTHS = (4001, 961)
"""Tracks about as long as those of the test split (4,485 rows on average): the last frame and the last pass weigh as there."""


def measure(bench: Bench) -> Iterator[Figure]:
    """How many times faster a split is done."""
    _, recipe, changes, _, _ = RES18
    whole = Subject(bench, recipe, dict(changes), BATCH, LENGTHS, resolve_precision("auto"))
    strided = Subject(_below(bench, "strided"), recipe, dict(changes), BATCH, LENGTHS, resolve_precision("auto"))
    strided.scorer.scoring = replace(strided.scorer.scoring, stride=STRIDE)
    sides = {"whole": whole.score, "strided": strided.score}
    rates = alternate(bench.rounds, bench.clock, sides, {"whole": whole.forget, "strided": strided.forget})
    assert 0 < len(strided.labels["harness"]) - sum(LENGTHS) / STRIDE <= len(LENGTHS)
    note = f"Res-18/112, {sum(LENGTHS):,} frames, passes of {BATCH}; the last frame of each track is scored as well"
    yield measured(f"stride {STRIDE}, times stride 1", "", ratios(rates["strided"], rates["whole"]), note)


def _below(bench: Bench, name: str) -> Bench:
    place = bench.folder / name
    files.make_directory(place)
    return replace(bench, folder=place)
