"""Is ContraWarping worth its while? Pre-trains Res-18 on faces by three methods and by none, then probes and fine-tunes each.

    python benchmarks/pretraining.py FACES WORK --rows docs/pretraining-rows.jsonl [--orl LANDMARKS] [--seeds 0 1 2]
    python benchmarks/pretraining.py --rows docs/pretraining-rows.jsonl --table

FACES is a data root whose tracks are persons, LANDMARKS a table (file, neutral, x0, y0 .. x67, y67) of the ORL pictures, whose
crops are then seen in pre-training as well. All methods have the same images, batch, number of steps and backbone; warps are at
each face's own landmarks where dlib finds them. Their settings are chosen first: on the training split alone, by linear probes on
folds of its persons. Then, seed by seed, each method pre-trains on the training split, a linear classifier on its frozen features
and a fine-tuned network learn from that split, and both answer for the validation split, which nothing else looks at.

A row is written as soon as it is known and never computed again; WORK holds the runs, which resume by themselves. A row keeps
the score and the scores without each person, from which the paired intervals over persons are computed. `--seeds` without any
number makes the search alone; then processes with other seeds and files of rows that begin as copies can share a machine.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from harness.challenge import EXPR
from harness.data.landmarks import COLUMNS
from harness.data.scan import scan
from harness.data.tracks import DataRoot
from harness.demo.faces import neutral_canvas
from harness.demo.landmarks import CROP_SIZE, Portrait
from harness.demo.pictures import jpeg
from harness.demo.warp import DETAIL, MARGIN
from harness.errors import DataError
from harness.evaluation.intervals import Jackknife, difference_interval, jackknife, score_interval
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.images.device import make_accelerator
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.kinds.confusion import confusion, confusion_by_group, supported_classes
from harness.kinds.f1 import class_f1, macro_f1
from harness.postprocess.chain import PostProcessing
from harness.recipes import pretraining as pretraining_recipes
from harness.recipes import recipe as recipes
from harness.rows.labelled import of_run
from harness.rows.predictions import RunPredictions
from harness.studies.probe import Probe, find_target, probe
from harness.training.pretrain import pretrain
from harness.training.start import train

NONE = "none"
METHODS = (NONE, "simclr", "byol", "contrawarping")
SEARCH_SEED = 1000
SEARCH_FOLDS = 3
SHARED = {
    "backbone": "res18",
    "image_size": "64",
    "frame_step": "1",
    "hidden": "1024",
    "batch": "64",
    "precision": "auto",
    "checkpoint_every": "50",
}
STEPS, SEARCH_STEPS = 400, 120
WARMUP_SHARE = 8
"""One in so many steps is warm-up."""
ADAMW = {"optimizer": "adamw", "learning_rate": "4.0e-3", "weight_decay": "0.05"}
SGD = {"optimizer": "sgd", "learning_rate": "0.4", "weight_decay": "1.0e-4"}
# The default of .996 averages over 250 steps, which is most of the whole pre-training here.
SLOW, SLOWER = {"target_momentum": "0.95"}, {"target_momentum": "0.99"}
CANDIDATES: dict[str, list[dict[str, str]]] = {
    "simclr": [ADAMW, SGD],
    "byol": [{**ADAMW, **SLOW}, {**ADAMW, **SLOWER}, {**SGD, **SLOW}],
    "contrawarping": [
        {**ADAMW, **SLOW},
        {**ADAMW, **SLOW, "negative_weight": "0.3"},
        {**ADAMW, **SLOWER},
        {**SGD, **SLOW},
        {**SGD, **SLOW, "negative_weight": "3.0"},
    ],
}
LANDMARKS = "landmarks.csv"
FINE_TUNING = {
    "backbone": "res18",
    "image_size": "64",
    "test_resize": "72",
    "frame_step": "1",
    "batch": "64",
    "iterations": "150",
    "optimizer": "adamw",
    "learning_rate": "1.0e-3",
    "weight_decay": "0.05",
    "decay_everything": "false",
    "warmup": "15",
    "precision": "auto",
    "evaluate_every": "150",
    "checkpoint_every": "50",
}


def main() -> None:
    """Parses the command line, computes what is missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, nargs="?")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    rows = Rows(arguments.rows)
    if not arguments.table:
        if arguments.faces is None or arguments.work is None:
            parser.error("FACES and WORK are needed unless --table is given")
        torch.set_num_threads(1)
        make_root(arguments.faces, arguments.work / "root", arguments.orl)
        Study(scan(arguments.work / "root"), arguments.work / "runs", rows).run(arguments.seeds)
    print(table(rows))


class Rows:
    """The rows known so far, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text() if path.exists() else ""
        self.all: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def find(self, **key: Any) -> dict[str, Any] | None:
        """The row with these values, None if it is not known yet."""
        return next((row for row in self.all if all(row[name] == value for name, value in key.items())), None)

    def add(self, row: dict[str, Any]) -> None:
        """Keeps a row; the file is replaced as a whole."""
        self.all.append(row)
        beside = self.path.with_suffix(".part")
        beside.write_text("".join(json.dumps(known) + "\n" for known in self.all))
        beside.replace(self.path)


class Study:
    """Computes the rows that are missing."""

    def __init__(self, root: DataRoot, runs: Path, rows: Rows) -> None:
        self.root = root
        self.runs = runs
        self.rows = rows

    def run(self, seeds: Sequence[int]) -> None:
        """The search, then each seed of all methods, so that whatever time allows is complete over methods."""
        chosen = {method: self._chosen(method) for method in METHODS}
        for seed in seeds:
            for method in METHODS:
                self._confirm(method, chosen[method], seed)

    def _chosen(self, method: str) -> dict[str, str]:
        """The candidate whose features do best in a linear probe on folds of the training persons."""
        best: tuple[float, dict[str, str]] = (-1.0, {})
        for index, settings in enumerate(CANDIDATES.get(method, [])):
            row = self.rows.find(kind="search", method=method, settings=settings)
            if row is None:
                begin = time.process_time()
                backbone = self._backbone(method, settings, SEARCH_SEED, SEARCH_STEPS, f"search-{method}-{index}")
                row = self._probed(backbone, SEARCH_SEED, test_split=None)
                self.rows.add(
                    {
                        "kind": "search",
                        "method": method,
                        "seed": SEARCH_SEED,
                        "settings": settings,
                        "steps": SEARCH_STEPS,
                        **row,
                        "cpu_seconds": round(time.process_time() - begin),
                    }
                )
                row = self.rows.all[-1]
            best = max(best, (row["supported_macro_f1"], settings), key=lambda entry: entry[0])
        return best[1]

    def _confirm(self, method: str, settings: dict[str, str], seed: int) -> None:
        """Pre-trains, probes and fine-tunes one method with one seed, and keeps what the validation split says."""
        facts = {"method": method, "seed": seed, "settings": settings, "steps": 0 if method == NONE else STEPS}
        known = [self.rows.find(kind=kind, method=method, seed=seed) for kind in ("probe", "fine-tuning")]
        if all(known):
            return
        begin = time.process_time()
        backbone = self._backbone(method, settings, seed, STEPS, f"{method}-{seed}")
        spent = round(time.process_time() - begin)
        if known[0] is None:
            self.rows.add({"kind": "probe", **facts, **self._probed(backbone, seed, "val"), "cpu_seconds": spent})
        if known[1] is None:
            self.rows.add({"kind": "fine-tuning", **facts, **self._fine_tuned(method, backbone, seed), "cpu_seconds": spent})

    def _backbone(self, method: str, settings: dict[str, str], seed: int, steps: int, name: str) -> Path | None:
        """The file of the pre-trained backbone, None for random weights."""
        if method == NONE:
            return None
        changes = {**SHARED, **settings, "method": method, "iterations": str(steps), "warmup": str(steps // WARMUP_SHARE)}
        if method == "contrawarping":
            changes["landmarks"] = str(self.root.path / LANDMARKS)
        recipe = pretraining_recipes.load({**changes, "seed": str(seed)})
        done = pretrain(recipe, self.root, self.runs / name, fresh=False, workers=0, say=print)
        if done.backbone is None:
            raise SystemExit(done.outcome.exit_code)
        return done.backbone

    def _probed(self, backbone: Path | None, seed: int, test_split: str | None) -> dict[str, Any]:
        target = find_target(
            "random" if backbone is None else str(backbone),
            backbone="res18", image_size=int(SHARED["image_size"]), checkpoint="last", seed=seed, say=print,
        )  # fmt: skip
        outcome = probe(
            target, self.root, split="train", test_split=test_split, folds=SEARCH_FOLDS, seed=0, most=20_000,
            device=make_accelerator("fp32").device, workers=0, say=print,
        )  # fmt: skip
        neighbours = {f"neighbours_{name}": value for name, value in scores(outcome.neighbours).items() if name != "without"}
        recall = {f"recall_{rank}": round(share, 6) for rank, share in outcome.recall.items()}
        return {**scores(outcome.linear), **neighbours, **recall, "feature_deviation": round(outcome.deviation, 4)}

    def _fine_tuned(self, method: str, backbone: Path | None, seed: int) -> dict[str, Any]:
        weights = {} if backbone is None else {"weights": str(backbone)}
        recipe = recipes.load("res18", {**FINE_TUNING, **weights, "seed": str(seed)})
        path = self.runs / f"fine-{method}-{seed}"
        training = train(recipe, self.root, path, fresh=False, workers=0, from_scratch=backbone is None, say=print)
        if training.outcome.exit_code is not None:
            raise SystemExit(training.outcome.exit_code)
        predict(training.run, self.root, "val", Scoring(), print)
        tracks = of_run(RunPredictions(training.run, "val", PostProcessing(seconds=0.0), self.root), self.root)
        classes = len(EXPR.class_names)
        names, matrices = confusion_by_group(
            [confusion(track.labels, track.classes, classes) for track in tracks], [track.recording for track in tracks]
        )
        return scores(Probe(tuple(names), matrices))


def scores(answers: Probe) -> dict[str, Any]:
    """Macro-F1 of all and of the supported classes, and the latter without each person, by name."""
    order = np.argsort(answers.recordings)
    matrices = answers.matrices[order]
    supported = supported_classes(matrices.sum(axis=0))
    result = jackknife(matrices, functools.partial(_supported_f1, supported))
    return {
        "supported_macro_f1": round(float(result.estimate), 6),
        "macro_f1": round(float(macro_f1(matrices.sum(axis=0))), 6),
        "without": [round(float(value), 6) for value in result.without],
    }


def _supported_f1(supported: NDArray[np.bool_], counts: NDArray[Any]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = class_f1(counts)[..., supported].mean(axis=-1)
    return mean


def make_root(faces: Path, root: Path, orl: Path | None) -> None:
    """The persons of FACES, by links, and each ORL person as an unlabelled track of the training split."""
    if root.exists():
        return
    beside = root.with_name("root.part")
    shutil.rmtree(beside, ignore_errors=True)
    annotations = beside / "annotations" / "EXPR_Classification_Challenge"
    (beside / "cropped_aligned").mkdir(parents=True)
    for split in ("Train_Set", "Validation_Set"):
        (annotations / split).mkdir(parents=True)
        for path in sorted((faces / "annotations" / "EXPR_Classification_Challenge" / split).glob("*.txt")):
            (annotations / split / path.name).write_bytes(path.read_bytes())
            (beside / "cropped_aligned" / path.stem).symlink_to((faces / "cropped_aligned" / path.stem).resolve())
    for person, portraits in orl_persons(orl) if orl is not None else ():
        folder = beside / "cropped_aligned" / f"orl-{person}"
        folder.mkdir()
        for number, portrait in enumerate(portraits, start=1):
            try:
                (folder / f"{number:05d}.jpg").write_bytes(jpeg(crop(portrait)))
            except DataError as error:  # the package has some pictures that are damaged beyond repair
                print(f"left out: {error.path}")
        lines = [EXPR.header, *["-1"] * len(portraits)]
        (annotations / "Train_Set" / f"orl-{person}.txt").write_text("".join(f"{line}\n" for line in lines))
    write_landmarks(beside / "cropped_aligned", beside / LANDMARKS)
    beside.rename(root)


def write_landmarks(crops: Path, path: Path) -> None:
    """A table of the points of every image below `crops` in which dlib finds a face; the others will take the template's."""
    import dlib

    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(LANDMARK_MODEL))
    found, images = 0, sorted(crops.glob("*/*.jpg"))
    with path.open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(COLUMNS)
        for image in images:
            pixels = np.asarray(Image.open(image).convert("L").resize((2 * CROP_SIZE, 2 * CROP_SIZE), Image.Resampling.BILINEAR))
            faces = detector(pixels)
            if faces:
                found += 1
                parts = predictor(pixels, max(faces, key=lambda face: face.area())).parts()
                table.writerow([image.parent.name, int(image.stem), *(value / 2 for part in parts for value in (part.x, part.y))])
    print(f"landmarks of {found:,} of {len(images):,} images")


def orl_persons(landmarks: Path) -> Iterator[tuple[str, list[Portrait]]]:
    """The persons of the ORL faces with all their pictures."""
    with landmarks.open(newline="") as handle:
        rows = list(csv.reader(handle))[1:]
    for person in sorted({row[0].split("/")[0] for row in rows}):
        of_person = [row for row in rows if row[0].split("/")[0] == person]
        yield person, [Portrait(row[0], np.array(row[2:], np.float64).reshape(68, 2)) for row in of_person]


def crop(portrait: Portrait) -> NDArray[np.uint8]:
    """The aligned picture (CROP_SIZE, CROP_SIZE), cut out of its canvas."""
    canvas = Image.fromarray(neutral_canvas(portrait))
    begin, size = MARGIN * DETAIL, CROP_SIZE * DETAIL
    part = canvas.crop((begin, begin, begin + size, begin + size))
    return np.asarray(part.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.BILINEAR))


def table(rows: Rows) -> str:
    """Markdown: each method's mean over seeds with its interval over persons, and its paired difference to the others."""
    lines = []
    for kind, title in (("probe", "Linear probe"), ("fine-tuning", "Fine-tuning")):
        results = {method: averaged(rows, kind, method) for method in METHODS}
        lines += ["", f"| {title}, macro-F1 of the 5 supported classes | seeds | mean [95 % over persons] | each seed |",
                  "|---|---|---|---|"]  # fmt: skip
        for method, (result, values) in results.items():
            if result is not None:
                bounds = score_interval(result)
                seeds = ", ".join(f"{value:.3f}" for value in values)
                interval = f"[{float(bounds.low):.3f}, {float(bounds.high):.3f}]"
                lines.append(f"| {method} | {len(values)} | {float(result.estimate):.3f} {interval} | {seeds} |")
        lines += ["", f"| {title}, difference | [95 % over persons, paired] |", "|---|---|"]
        own = results["contrawarping"][0]
        for other in METHODS[:-1]:
            theirs = results[other][0]
            if own is None or theirs is None:
                continue
            change = Jackknife(own.estimate - theirs.estimate, own.without - theirs.without)
            bounds = difference_interval(change)
            interval = f"[{float(bounds.low):+.3f}, {float(bounds.high):+.3f}]"
            lines.append(f"| contrawarping minus {other} | {float(change.estimate):+.3f} {interval} |")
    return "\n".join(lines)


def averaged(rows: Rows, kind: str, method: str) -> tuple[Jackknife | None, list[float]]:
    """The mean over seeds as a jackknife over persons, and the score of each seed."""
    found = [row for row in rows.all if row["kind"] == kind and row["method"] == method]
    if not found:
        return None, []
    values = [row["supported_macro_f1"] for row in found]
    without = np.array([row["without"] for row in found]).mean(axis=0)
    return Jackknife(np.asarray(np.mean(values)), without), values


if __name__ == "__main__":
    main()
