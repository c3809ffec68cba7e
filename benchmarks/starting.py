"""How long a command takes to begin, and what a scan costs beside a bare walk over the same folders."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import apart, materials
from benchmarks.bench import Bench
from benchmarks.figures import Figure, measured
from benchmarks.rounds import alternate
from benchmarks.submission import answers, official_rows
from harness.challenge import EXPR
from harness.data.places import folder_for
from harness.data.scan import scan
from harness.submission.build import build

TRACKS, IMAGES = 600, 300_000
SCAN = "scan of 600 tracks and 300,000 images"

_FIRST_BATCH = """
import os, sys, time
import torch, tqdm
import harness.commands.predict, harness.commands.shared.submitting, harness.data.scan
import harness.inference.predict, harness.studies.crossval
from harness.cli import main
from models.classifier import Classifier

def first(self, images):
    print(time.perf_counter() - begin, file=sys.stderr, flush=True)
    os._exit(0)

Classifier.forward = first
begin = time.perf_counter()
main(sys.argv[1:])
"""


def measure(bench: Bench) -> Iterator[Figure]:
    """Seconds of wall clock, start of Python included but for predict."""
    rows = official_rows(3, 30)
    build(bench.folder / "answer", list(answers(rows, EXPR).items()), EXPR, 5, None, {})
    yield _seconds("start of harness --help", bench, lambda: apart.python(_COMMAND, bench.folder, "--help"))
    yield _seconds(
        "start of harness validate, small submission", bench, lambda: apart.python(_COMMAND, bench.folder, "validate", "answer")
    )
    recipe = materials.make_recipe("res50", {"precision": "fp32"})
    root = materials.make_root(bench.folder / "data", {"test": (200, 100)})
    materials.make_run(bench.folder / "runs" / "a", recipe, root)
    values = [float(apart.python(_FIRST_BATCH, bench.folder, "predict", "a").split()[-1]) for _ in range(bench.rounds)]
    yield measured("predict from its imports to its first batch", "s", values, "Res-50, 300 frames")
    yield from _scans(bench)


_COMMAND = "import sys; from harness.cli import main; main(sys.argv[1:])"


def _seconds(name: str, bench: Bench, run: Callable[[], object]) -> Figure:
    values = []
    for _ in range(bench.rounds + 1):
        begin = time.perf_counter()
        run()
        values.append(time.perf_counter() - begin)
    return measured(name, "s", values[1:], "a process from start to end")


def _scans(bench: Bench) -> Iterator[Figure]:
    place = bench.folder / "large"
    materials.write_root(place, {"train": [IMAGES // TRACKS] * 300, "val": [IMAGES // TRACKS] * 300}, [b""])
    _age(place)
    sides = {"walk": lambda: _walk(place), "fresh": lambda: _scan(place, False), "cached": lambda: _scan(place, True)}
    scan(place)
    rates = alternate(bench.rounds, bench.clock, sides)
    fresh = [walk / fresh for walk, fresh in zip(rates["walk"], rates["fresh"], strict=True)]
    yield measured(f"bare walk, {TRACKS} tracks and {IMAGES:,} images", "s", [1 / rate for rate in rates["walk"]], "os.walk")
    yield measured(SCAN, "s", [1 / rate for rate in rates["fresh"]], "labels read, nothing cached")
    yield measured(f"{SCAN}, times a bare walk", "", fresh)
    yield measured(f"{SCAN} from cache", "s", [1 / rate for rate in rates["cached"]])
    shutil.rmtree(folder_for(place), ignore_errors=True)


def _age(place: Path) -> None:
    """Makes folders and files older than the two seconds within which a cache would not believe them."""
    past = time.time() - 3600
    for folder, _, names in os.walk(place):
        os.utime(folder, (past, past))
        for name in names:
            if name.endswith(".txt"):
                os.utime(Path(folder, name), (past, past))


def _walk(place: Path) -> float:
    assert sum(len(names) for _, _, names in os.walk(place)) >= IMAGES
    return 1


def _scan(place: Path, use_cache: bool) -> float:
    root = scan(place, use_cache=use_cache)
    assert sum(len(track.frames) for track in root.tracks) == IMAGES
    return 1
