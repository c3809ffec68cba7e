"""Runs benchmarks by name: python -m benchmarks [--only predict,input] [--json PATH] [--markdown PATH] [--check]."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Figure, as_json, as_markdown, as_text, from_json
from benchmarks.machine import describe
from benchmarks.rounds import CLOCKS, LEAST_ROUNDS

MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
"""In a page, what stands between these lines is the table."""

MEMBERS = {
    "predict": ("predicting", "scoring against the bare network and a plain loop"),
    "precision": ("agreement", "labels of bf16 beside those of fp32 on a trained run"),
    "input": ("reading", "image files to normalised batches, per core"),
    "train": ("stepping", "a training's steps against the bare step"),
    "start": ("starting", "how long commands take to begin, and the scan"),
    "packed": ("packing", "packed crops against single files, cold"),
    "stride": ("striding", "every fifth frame against every frame"),
    "memory": ("remembering", "memory of predict and evaluate at 60 and 600 tracks; shards"),
    "features": ("featuring", "stored features: reading them, and memory over tracks"),
    "ensemble": ("ensembling", "five runs of a million rows, averaged to a validated submission"),
    "growth": ("growing", "time over tracks, rows and runs, with a picture"),
    "peers": ("peers", "OpenCV with ONNX Runtime, and what a GPU server would do"),
    "compile": ("compiling", "torch.compile, tried"),
    "judge": ("judging", "evaluating and comparing values, units and all tasks of the official sizes"),
    "submission": ("submission", "validating and writing answers of the official size"),
}


def main() -> int:
    """Measures, prints the table, stores it; with --check the exit code says whether a target was missed."""
    options = _options()
    if options.show:
        stored = json.loads(options.show.read_text())
        _show(from_json(stored), stored["machine"], options)
        return 0
    names = options.only.split(",") if options.only else list(MEMBERS)
    for name in names:
        if name not in MEMBERS:
            sys.exit(f"no benchmark is called {name!r}; there are {', '.join(MEMBERS)}")
    machine = describe(options.clock, options.rounds)
    figures: list[Figure] = []
    for name in names:
        module = importlib.import_module(f"benchmarks.{MEMBERS[name][0]}")
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            bench = Bench(Path(folder), options.rounds, CLOCKS[options.clock], options.peers)
            for figure in module.measure(bench):
                figures.append(figure)
                print(as_text([figure]).splitlines()[1], file=sys.stderr, flush=True)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
        _store(figures, machine, options)
    _show(figures, machine, options)
    missed = [figure.name for figure in figures if figure.verdict == "missed"]
    if missed:
        print(f"missed by more than a tenth: {'; '.join(missed)}")
    return 1 if missed and options.check else 0


def _options() -> argparse.Namespace:
    members = "\n".join(f"  {name:<11} {words}" for name, (_, words) in MEMBERS.items())
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=f"benchmarks:\n{members}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="names with commas between; default: all")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help=f"paired rounds of each figure; default {LEAST_ROUNDS}")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: for a machine that others use as well")
    parser.add_argument("--json", type=Path, help="store every value of every round in this file")
    parser.add_argument("--markdown", type=Path, help="store the table in this file, in docs/speed.md between its marks")
    parser.add_argument("--show", type=Path, help="measure nothing: print the table of this file of --json")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a figure is below 0.9 of its target")
    parser.add_argument("--peers", type=Path, help="folder with opencv-python-headless, onnx and onnxruntime")
    return parser.parse_args()


def _show(figures: list[Figure], machine: dict[str, object], options: argparse.Namespace) -> None:
    print("\n".join(f"{key}: {value}" for key, value in machine.items()))
    print(as_text(figures))
    _store(figures, machine, options)


def _store(figures: list[Figure], machine: dict[str, object], options: argparse.Namespace) -> None:
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(as_json(figures, machine), indent=1) + "\n")
    if options.markdown:
        heading = "\n".join(f"- {key}: {value}" for key, value in machine.items())
        _write_between_marks(options.markdown, f"{heading}\n\n{as_markdown(figures)}\n")


def _write_between_marks(path: Path, table: str) -> None:
    """Replaces what stands between MARKS, or all of a file that has none."""
    text = path.read_text() if path.exists() else ""
    begin, end = MARKS
    if begin in text and end in text:
        table = f"{text.partition(begin)[0]}{begin}\n{table}{end}{text.partition(end)[2]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table)


if __name__ == "__main__":
    sys.exit(main())
