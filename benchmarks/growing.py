"""How the time of ensembling grows with rows, tracks and runs, over three sizes of each; with a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ensembling import ensemble, prepare
from benchmarks.figures import Figure, measured

PLOT = "BENCH_PLOT"
"""Names the file, .svg or .png, that the picture is drawn into; without it none is drawn."""
ROWS, TRACKS, RUNS = (100_000, 200_000, 400_000), (60, 120, 240), (2, 4, 8)
SIZES = {
    "rows": [(size, (3, 60, size)) for size in ROWS],
    "tracks": [(size, (3, size, 100_000)) for size in TRACKS],
    "runs": [(size, (size, 60, 100_000)) for size in RUNS],
}


def measure(bench: Bench) -> Iterator[Figure]:
    """For each axis the time of four times as much over that of the smallest size: 4 at most where growth is linear."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    for axis, sizes in SIZES.items():
        times: dict[int, list[float]] = {size: [] for size, _ in sizes}
        places = {size: bench.folder / axis / str(size) for size, _ in sizes}
        names = {size: prepare(places[size], *shape) for size, shape in sizes}
        for _ in range(bench.rounds):
            for size in times:
                times[size].append(ensemble(places[size], names[size]).processor_seconds)
        small, _, large = (times[size] for size, _ in sizes)
        growth = [most / least for least, most in zip(small, large, strict=True)]
        note = ", ".join(f"{size:,}: {sorted(values)[len(values) // 2]:.2f} s" for size, values in times.items())
        yield measured(f"growth with {axis}: time of four times as much", "", growth, f"processor time; {note}")
        drawn[axis] = [(size, sorted(values)[len(values) // 2]) for size, values in times.items()]
    if PLOT in os.environ:
        draw(drawn, Path(os.environ[PLOT]))


def draw(lines: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Three panels: processor seconds over each size."""
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(9, 2.6), layout="constrained")
    for axes, (axis, points) in zip(picture.subplots(1, len(lines)), lines.items(), strict=True):
        axes.plot(*zip(*points, strict=True), marker="o", color="black")
        axes.set(xlabel=axis, ylabel="processor seconds", xlim=(0, None), ylim=(0, None))
    picture.savefig(path)
