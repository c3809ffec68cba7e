"""Do pairs of frames of one track teach more than two views of one frame? Pre-trains both ways on the embedded videos.

    python -m benchmarks.video_positives WORK --rows docs/video-positives.jsonl [--data data/demo] [--methods byol contrawarping]
    python -m benchmarks.video_positives --rows docs/video-positives.jsonl --table

Each way has the same videos (the training split, labels unread), frames a step, steps and seeds; only what the second view shows
differs. Judged are linear probes on people of the test split, whose labels no split holds: mean F1 of the action units, and
macro-F1 of the expressions. Intervals are over test people, differences paired, means over seeds. Beside them stands a network
of random weights. A row is kept as soon as it is known; a pre-training that was killed goes on; --minutes ends between two rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.narrow import NETWORKS
from benchmarks.rows import Rows
from benchmarks.unseen import as_row, difference, over_seeds, unit_f1, written
from harness.challenge import AU, EXPR, Challenge
from harness.data.scan import scan
from harness.evaluation.intervals import Jackknife, jackknife
from harness.kinds.confusion import confusion
from harness.kinds.f1 import macro_f1
from harness.recipes import pretraining as recipes
from harness.rows.labelled import with_labels
from harness.studies import probing
from harness.studies.features import Features, InputSettings, labelled_features
from harness.training.network import initial_backbone
from harness.training.pretrain import pretrain
from models import registry
from models.backbones.base import Backbone

NONE = "none"
WAYS: dict[str, dict[str, str]] = {"image": {}, "track": {"positives": "track"}}
"""What a pair shows -> settings of `harness pretrain`."""
SHARED = {
    "hidden": "512",
    "batch": "64",
    "optimizer": "adamw",
    "learning_rate": "4.0e-3",
    "weight_decay": "0.05",
    "precision": "auto",
    "checkpoint_every": "50",
}
SLOW = {"target_momentum": "0.95"}
"""Of the methods with a running average: these trainings are short."""
METHODS = {"byol": SLOW, "simclr": {}, "contrawarping": SLOW}
"""Method -> its own settings; ContraWarping warps at the points of the average aligned face."""
WARMUP_SHARE = 10
MOST_FRAMES = 2000
LABELS = {AU.name: "test_labels_au", EXPR.name: "test_labels"}
FIGURES = ("unit_f1", "macro_f1")
SETTING = ("network", "method", "steps", "side", "seconds")
"""What rows are compared within."""


def main() -> None:
    """Parses the command line, computes what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="the embedded data set")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--network", default="res18", help="a backbone, or narrow for a small one")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--side", type=int, default=64, help="of the pictures")
    parser.add_argument("--seconds", type=float, default=1.0, help="how far apart in time the frames of a pair are at most")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row after so many minutes")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    rows = Rows(arguments.rows)
    if not arguments.table:
        if arguments.work is None:
            parser.error("WORK is needed unless --table is given")
        torch.set_num_threads(1)
        own = {"network": arguments.network, "steps": arguments.steps, "side": arguments.side, "seconds": arguments.seconds}
        keys = [{"method": NONE, "positives": NONE, "seed": seed, **own, "steps": 0} for seed in arguments.seeds]
        keys += [
            {"method": method, "positives": positives, "seed": seed, **own}
            for seed in arguments.seeds
            for method in arguments.methods
            for positives in WAYS
        ]
        fill(keys, arguments.data, arguments.work, rows, arguments.minutes)
    print(table(rows.all))


def fill(keys: Sequence[dict[str, Any]], data: Path, work: Path, rows: Rows, minutes: float = float("inf")) -> None:
    """Computes the rows that are not known, as many as begin within so many minutes."""
    begin = time.monotonic()
    for key in keys:
        if rows.find(**key) is not None:
            continue
        if time.monotonic() - begin > 60 * minutes:
            return
        started = time.process_time()
        backbone = pretrained(key, data, work)
        figures = [judged(backbone, data, challenge) for challenge in (AU, EXPR)]
        both = Jackknife(np.array([one.estimate for one in figures]), np.stack([one.without for one in figures], axis=1))
        rows.add({**key, **as_row(FIGURES, both), "cpu_seconds": round(time.process_time() - started)})
        print({name: value for name, value in rows.all[-1].items() if name != "without"}, flush=True)


def pretrained(key: dict[str, Any], data: Path, work: Path) -> Backbone:
    """The backbone of a row: pre-trained, or random."""
    architecture = NETWORKS.get(key["network"], key["network"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key["seed"])
        backbone: Backbone = registry.create(architecture, image_size=key["side"])
    if key["method"] != NONE:
        steps = key["steps"]
        changes = {
            **SHARED, **METHODS[key["method"]], **WAYS[key["positives"]],
            "backbone": architecture, "method": key["method"], "seed": str(key["seed"]), "image_size": str(key["side"]),
            "iterations": str(steps),
            "warmup": str(steps // WARMUP_SHARE), "sampling": "tracks", "positive_seconds": str(key["seconds"]),
        }  # fmt: skip
        path = work / "-".join(str(part).replace(":", "-") for part in key.values())
        done = pretrain(recipes.load(changes), scan(data), path, fresh=False, workers=0, say=print)
        if done.backbone is None:
            raise SystemExit(done.outcome.exit_code)
        initial_backbone(str(done.backbone), architecture).load_into(backbone)
    return backbone.eval()


def judged(backbone: Backbone, data: Path, challenge: Challenge) -> Jackknife:
    """Mean F1 of the units, or macro-F1 of the expressions, of test people by linear probes, and without each of them."""
    root = with_labels(scan(data, challenge=challenge), "test", data / LABELS[challenge.name])
    side = backbone.image_size
    training, test = (
        labelled_features(
            backbone, root.split(name), InputSettings(side, side, side),
            most=MOST_FRAMES, device=torch.device("cpu"), workers=0, challenge=challenge,
        )
        for name in ("train", "test")
    )  # fmt: skip
    return unit_f1(training, test) if challenge is AU else expression_f1(training, test)


def expression_f1(training: Features, test: Features) -> Jackknife:
    """Macro-F1 of the expressions of test people by the classifier of `harness probe`, and without each of them."""
    values, labels = (np.concatenate([getattr(part, name) for part in (training, test)]) for name in ("values", "labels"))
    groups = np.concatenate([training.groups, test.groups + len(training.recordings)])
    rows = np.arange(len(labels))
    division = probing.Division(rows[: len(training.labels)], rows[len(training.labels) :])
    said = probing.linear_predictions(values, labels, groups, division)
    own = [test.groups == person for person in np.argsort(test.recordings)]
    counts = np.stack([confusion(test.labels[rows], said[rows], len(EXPR.class_names)) for rows in own])
    return jackknife(counts, macro_f1)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: each way's figures, means over seeds, and what pairs of frames add to pairs of views."""
    settings = dict.fromkeys(tuple(row[name] for name in SETTING) for row in rows)
    lines = [
        "| network | method | steps | side | a pair shows | seeds | units | expressions |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for setting in settings:
        ways, start = {}, " | ".join(map(str, setting[:-1]))
        for positives in (NONE, *WAYS):
            wanted = {**dict(zip(SETTING, setting, strict=True)), "positives": positives}
            found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
            if found:
                ways[positives] = [over_seeds(found, name) for name in FIGURES]
                shown = f"frames within {wanted['seconds']:g} s" if positives == "track" else positives
                cells = " | ".join(written(result) for result in ways[positives])
                lines.append(f"| {start} | {shown} | {len(found)} | {cells} |")
        if "image" in ways and "track" in ways:
            gains = [difference(track, image) for track, image in zip(ways["track"], ways["image"], strict=True)]
            cells = " | ".join(written(result, is_difference=True) for result in gains)
            lines.append(f"| {start} | frames minus image | | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
