"""Simulated validation sets: how wide intervals are, and how often both tests of `compare` raise a false alarm or find a gain.

    python -m benchmarks.power [--only widths,alarms,gains] [--times 2000]

Recordings come from the generator of the tests (made-up counts whose rare classes sit in as few recordings as the official ones,
models moved by each recording) and, for widths, from another one: recordings of lognormal length with a Dirichlet mix of classes
and Dirichlet errors. Printed are the tables of docs/statistics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR, MACRO_F1
from harness.evaluation.compare import Comparison, compare, verdict
from harness.evaluation.intervals import jackknife, score_interval
from harness.kinds.f1 import macro_f1
from harness.kinds.parts import parts_of
from tests.simulated_recordings import (
    EXCELLENT,
    FRAMES,
    MIDDLING,
    POOR,
    Model,
    Population,
    concentrated_counts,
    moods,
)

MODELS = {
    "middling": Model(),
    "steady": Model(spread=0.2),
    "moody": Model(spread=1.5),
    "excellent": Model(recall=EXCELLENT),
    "poor": Model(recall=POOR),
}
SIZES = (20, 70, 312)
SWAPS = 1000
GAINS = (0.01, 0.02, 0.03)

SHARED = 0.9
"""Correlation of how a recording moves two models that err alike, as two seeds of a recipe do."""

# The other generator: frames of a recording, how concentrated its mix of classes is, and how steady its errors.
LENGTH, LENGTH_SPREAD, MIX = 3000, 1.0, 2.0
STEADINESS = {0.2: 100.0, 0.7: 10.0, 1.5: 2.0}

Draw = Callable[[int, np.random.Generator], NDArray[np.int64]]


def main() -> None:
    """Prints the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="widths,alarms,gains", help="which tables, with commas between [default: all]")
    parser.add_argument("--times", type=int, default=2000, help="simulated data sets of each figure [default: 2000]")
    options = parser.parse_args()
    tables = {"widths": widths, "alarms": alarms, "gains": gains}
    for name in options.only.split(","):
        print(*tables[name](options.times), sep="\n", end="\n\n", flush=True)


def widths(times: int) -> Iterator[str]:
    """Coverage, median width and the width that one in ten intervals exceeds."""
    yield "| recordings | model | generator | holds the truth | median width | one in ten is wider than |"
    yield "|---|---|---|---|---|---|"
    for recordings in SIZES:
        for name, model in MODELS.items():
            population = Population(concentrated_counts(), model)
            truth = population.true_macro_f1(np.random.default_rng(0))
            other, other_truth = _other(model)
            for generator, draw, true in (("the tests'", population.draw, truth), ("the other", other, other_truth)):
                yield f"| {recordings} | {name} | {generator} | {_covered(draw, true, recordings, times)} |"


def _covered(draw: Draw, truth: float, recordings: int, times: int) -> str:
    generator, held, found = np.random.default_rng(recordings), 0, []
    for _ in range(times):
        interval = score_interval(jackknife(draw(recordings, generator), macro_f1))
        held += bool(interval.low <= truth <= interval.high)
        found.append(float(interval.high - interval.low))
    middle, widest = np.nanquantile(found, (0.5, 0.9))
    return f"{100 * held / times:.1f} | {middle:.3f} | {widest:.3f}"


def _other(model: Model) -> tuple[Draw, float]:
    """Recordings of the other generator, and the macro-F1 of infinitely many."""
    shares = np.array(FRAMES) / sum(FRAMES)
    rows = np.exp(model.usual_logits(np.array(FRAMES)))
    steadiness = STEADINESS[model.spread]

    def draw(recordings: int, generator: np.random.Generator) -> NDArray[np.int64]:
        length = np.ceil(LENGTH * np.exp(LENGTH_SPREAD * generator.standard_normal(recordings)))
        counts = np.round(length[:, None] * generator.dirichlet(MIX * shares, recordings))
        drawn = generator.standard_gamma(np.broadcast_to(steadiness * rows, (recordings, *rows.shape)))
        drawn += 1e-12
        up_to = np.round(counts[:, :, None] * np.cumsum(drawn / drawn.sum(axis=-1, keepdims=True), axis=-1)).astype(np.int64)
        frames: NDArray[np.int64] = np.diff(up_to, axis=-1, prepend=0)
        return frames

    return draw, float(macro_f1(shares[:, None] * rows))


@dataclass(frozen=True)
class Pair:
    """Two models, and the correlation of how a recording moves them."""

    first: Model
    second: Model
    shared: float = 0.0

    def draw(self, recordings: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What both say (R, C, C) of the same recordings."""
        counts = concentrated_counts()
        drawn = counts[generator.integers(0, len(counts), recordings)]
        usual = [model.usual_logits(counts.sum(axis=0)) for model in (self.first, self.second)]
        one, other = (moods(len(drawn), drawn.shape[1], generator) for _ in range(2))
        other = self.shared * one + np.sqrt(1 - self.shared**2) * other
        return self.first.in_moods(drawn, usual[0], one), self.second.in_moods(drawn, usual[1], other)


def alarms(times: int) -> Iterator[str]:
    """How often two equally good models are told apart."""
    yield f"| equally good models ({times:,} pairs) | recordings | p of frames | p, root of frames | called better or worse |"
    yield "|---|---|---|---|---|"
    for name, make in EQUALLY_GOOD.items():
        pair = make()
        for recordings in SIZES[1:]:
            yield f"| {name} | {recordings} | {_cells(found(pair, recordings, times))} |"


def gains(times: int) -> Iterator[str]:
    """How often a real gain is found, by models that err alike."""
    yield f"| real gain, models that err alike ({times:,} pairs) | recordings | p of frames | p, root of frames | called better |"
    yield "|---|---|---|---|---|"
    for amount in GAINS:
        pair = Pair(Model(), as_good_as(Model(), Model(), amount), SHARED)
        for recordings in SIZES[1:]:
            yield f"| +{amount:.2f} | {recordings} | {_cells(found(pair, recordings, times))} |"


def as_good_as(model: Model, other: Model, more: float = 0.0) -> Model:
    """`other` with its logits of being right moved by so much that its true macro-F1 is that of `model` and `more`."""
    wanted = _truth(model) + more
    low, high = -3.0, 3.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if _truth(_moved(other, middle)) < wanted else (low, middle)
    return _moved(other, (low + high) / 2)


def _moved(model: Model, by: float) -> Model:
    logits = np.log(model.recall) - np.log1p(-np.array(model.recall)) + by
    return replace(model, recall=tuple((1 / (1 + np.exp(-logits))).tolist()))


def _truth(model: Model) -> float:
    return Population(concentrated_counts(), model).true_macro_f1(np.random.default_rng(0))


def found(pair: Pair, recordings: int, times: int, swaps: int = SWAPS) -> tuple[float, float, float]:
    """In what share of pairs p <= .05 of pooled frames and of roots of frames, and the verdict says that one is better."""
    generator, parts = np.random.default_rng(recordings), parts_of(EXPR)
    told: list[Comparison] = []
    for _ in range(times):
        first, second = (one.reshape(recordings, -1) for one in pair.draw(recordings, generator))
        told.append(compare(first, second, parts, MACRO_F1, permutations=swaps))
    by_frames = np.mean([one.supported_p_value <= 0.05 for one in told])
    by_roots = np.mean([one.weighted_p_value <= 0.05 for one in told])
    claims = np.mean([verdict("B", "A", one, one.supported_p_value).startswith("B is ") for one in told])
    return float(by_frames), float(by_roots), float(claims)


EQUALLY_GOOD: dict[str, Callable[[], Pair]] = {
    "equal": lambda: Pair(Model(), Model()),
    "equal, and err alike": lambda: Pair(Model(), Model(), SHARED),
    "one steady, one moody": lambda: Pair(Model(spread=0.2), as_good_as(Model(spread=0.2), Model(spread=1.5))),
    "good at other classes": lambda: Pair(Model(), as_good_as(Model(), Model(recall=(*MIDDLING[-1:], *MIDDLING[:-1])))),
}
"""Models of which neither has the higher true macro-F1."""


def _cells(shares: tuple[float, float, float]) -> str:
    return " | ".join(f"{100 * share:.1f}" for share in shares)


if __name__ == "__main__":
    main()
