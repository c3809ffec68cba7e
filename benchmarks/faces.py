"""The bar on real faces: `lite0` trained with three seeds, the last checkpoint's validation score of each, and their mean.

    python benchmarks/faces.py /data/faces

FACES is a data root of press photographs in Aff-Wild2's layout, whose validation split has five classes with enough frames to be
judged. The runs lie below --work. What is done is kept: an interrupted campaign goes on where it stopped, a finished one only
prints its table. Ends with exit code 1 if the mean is below the bar.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import files

BAR = 0.55
"""What the mean macro-F1 of the five judged classes must reach; one public training of the same network gave .552."""

SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Row:
    """The validation score of one seed: macro-F1 of the judged classes and of all eight, each (value, low, high)."""

    seed: int
    judged: tuple[float, float | None, float | None]
    all_classes: tuple[float, float | None, float | None]


def main() -> None:
    """Trains, predicts and evaluates each seed, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, help="the data root")
    parser.add_argument("--work", type=Path, default=Path("faces-bar"), help="folder of the runs [default: faces-bar]")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, metavar="SEED")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="as of harness train")
    options = parser.parse_args()
    work = files.make_directory(options.work).resolve()
    rows = [score_of_seed(options.faces.resolve(), work, seed, options.changes) for seed in options.seeds]
    print(table(rows))
    mean = sum(row.judged[0] for row in rows) / len(rows)
    print(f"\nmean of {len(rows)} seeds: {mean:.3f}; the bar is {BAR:.2f}")
    sys.exit(0 if mean >= BAR else 1)


def score_of_seed(faces: Path, work: Path, seed: int, changes: Sequence[str]) -> Row:
    """Trains `lite0` with this seed, unless that is done, and scores its last checkpoint on the validation split."""
    run = f"lite0-seed-{seed}"
    data = ["--data", str(faces)]
    settings = [part for change in changes for part in ("--set", change)]
    harness(work, "train", "--recipe", "lite0", "--run", run, "--seed", str(seed), *data, *settings)
    harness(work, "predict", run, "--split", "val", "--checkpoint", "last", *data)
    value = json.loads(harness(work, "evaluate", run, "--split", "val", "--json", *data))
    scores = value["all_labelled"]
    return Row(seed, _estimate(scores["supported_macro_f1"]), _estimate(scores["macro_f1"]))


def harness(work: Path, *arguments: str) -> str:
    """What a command of the harness printed; its progress goes to this terminal. A failed command ends the campaign."""
    print(f"$ harness {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "harness", *arguments], cwd=work, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def table(rows: Sequence[Row]) -> str:
    """The rows in the form of the README's table."""
    lines = ["| seed | 5 classes with more than two frames | all 8 classes |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {row.seed} | {_text(row.judged)} | {_text(row.all_classes)} |" for row in rows)])


def _estimate(value: dict[str, float | None]) -> tuple[float, float | None, float | None]:
    point = value["value"]
    assert point is not None
    return point, value["low"], value["high"]


def _text(estimate: tuple[float, float | None, float | None]) -> str:
    value, low, high = (None if number is None else f"{number:.3f}".removeprefix("0") for number in estimate)
    return f"{value}" if low is None else f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
