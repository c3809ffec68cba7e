"""Can a network that is told see whether somebody else's face is warped? Pre-training on warps has to be able to, at the least.

    python -m benchmarks.warp_gate FACES WORK --rows docs/warp-gate.jsonl [--orl LANDMARKS] [--sides 48 64] [--pictures 25600]
    python -m benchmarks.warp_gate --rows docs/warp-gate.jsonl --table

FACES is a data root whose tracks are persons; WORK holds the root with landmarks that is made of it. A network learns from the
people of the training split, and from those without labels, which of the pictures it sees are warped; every face comes twice, as
it is and warped at its own landmarks, under one draw of the global transformations of pre-training. It is judged on the people of
the validation split, by single pictures (accuracy, the gate's figure) and by pairs (won: whether the warped one of two pictures
that differ in nothing else is told). A row is kept as soon as it is known; --minutes ends the work between two rows.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.narrow import NETWORKS
from benchmarks.people import LANDMARKS, Faces, load_faces, make_root
from benchmarks.rows import Rows
from harness.data.scan import scan
from harness.demo.landmarks import CROP_SIZE
from harness.evaluation.intervals import jackknife, score_interval
from harness.faces.dlib_detector import LANDMARK_MODEL
from harness.training.network import BUILTIN, initial_backbone
from models import registry
from models.backbones.base import pool
from models.ssl.views import VIEW_UNIFORMS, ViewSettings, make_view
from models.ssl.warp import LocalWarp

PASSED = 0.8
"""Accuracy on other people's faces from which on pre-training is tried."""
FAMILIES = {"gaussian": ("isotropic", "gaussian"), "muscles": ("muscles", "gaussian"), "thin-plate": ("isotropic", "thin-plate")}
"""Name of the table -> directions and family of LocalWarp."""
SIDES, MAGNITUDES = (48, 64, 96, 112), (0.3, 0.6, 1.0)
BATCH = 32
"""Faces of a step, each of which is seen twice."""
RATE, DECAY = 1e-3, 0.05


@dataclass(frozen=True)
class Cell:
    """One row of the table: what is warped how, by what it is looked at, how much of it was seen, and what it began with.

    `weights` None, which the first rows do not have at all, are random ones.
    """

    side: int
    magnitude: float
    family: str
    network: str
    pictures: int
    seed: int
    weights: str | None = None


class Judge(nn.Module):
    """A backbone and one output: above 0 for a picture that it takes for warped."""

    def __init__(self, network: str, side: int, weights: str | None = None) -> None:
        super().__init__()
        self.backbone = registry.create(NETWORKS.get(network, network), image_size=side)
        if weights is not None:
            initial_backbone(weights, network).load_into(self.backbone)
        shape = self.backbone.feature_shape
        self.output = nn.Linear(shape[0] if len(shape) == 3 else shape[1], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.output(pool(self.backbone(pictures), self.backbone.has_class_token)).squeeze(1)
        return logits


def main() -> None:
    """Parses the command line, computes rows that are missing, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path, nargs="?")
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--orl", type=Path)
    parser.add_argument("--landmark-model", type=Path, default=LANDMARK_MODEL, help="dlib's model of 68 points")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--magnitudes", type=float, nargs="+", default=MAGNITUDES)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--network", default="res18", help="a backbone, or narrow for a small one")
    parser.add_argument("--weights", choices=[BUILTIN], help="what the network begins with [default: random weights]")
    parser.add_argument("--pictures", type=int, default=409_600, help="pictures seen, half of them warped")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row after so many minutes")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    rows = Rows(arguments.rows)
    if not arguments.table:
        if arguments.faces is None or arguments.work is None:
            parser.error("FACES and WORK are needed unless --table is given")
        torch.set_num_threads(1)
        cells = [
            Cell(side, magnitude, family, arguments.network, arguments.pictures, arguments.seed, arguments.weights)
            for side, magnitude, family in itertools.product(arguments.sides, arguments.magnitudes, arguments.families)
        ]
        make_root(arguments.faces, arguments.work / "root", arguments.orl, arguments.landmark_model)
        fill(cells, arguments.work / "root", rows, arguments.minutes)
    print(table(rows.all))


def fill(cells: Sequence[Cell], root_path: Path, rows: Rows, minutes: float) -> None:
    """Computes the rows of cells that are not known, as many as begin within so many minutes."""
    begin = time.monotonic()
    missing = [cell for cell in cells if rows.find(**asdict(cell)) is None]
    if not missing:
        return
    root = scan(root_path)
    own, others = (load_faces(list(root.split(name)), root_path / LANDMARKS, CROP_SIZE) for name in ("train", "val"))
    for cell in missing:
        if time.monotonic() - begin > 60 * minutes:
            return
        started = time.process_time()
        figures = judge(train(cell, own), cell, others)
        rows.add({**asdict(cell), **figures, "cpu_seconds": round(time.process_time() - started)})
        print(rows.all[-1], flush=True)


def pairs(cell: Cell, judge: Judge, faces: Faces, rows: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Some faces as they are and warped, each pair under one draw, as the network wants them."""
    directions, family = FAMILIES[cell.family]
    warp = LocalWarp(magnitude=cell.magnitude, directions=directions, family=family)
    warps = warp.draw(uniforms[:, VIEW_UNIFORMS:], faces.landmarks[rows])
    backbone = judge.backbone
    plain, warped = (
        make_view(
            faces.images[rows], uniforms[:, :VIEW_UNIFORMS], ViewSettings(), cell.side, backbone.mean, backbone.std,
            first=False, displacement=displacement,
        )
        for displacement in (None, warps.displace)
    )  # fmt: skip
    return plain, warped


def batches(cell: Cell, faces: int, passes_seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of faces and their uniform numbers for every step, functions of the seed."""
    generator = torch.Generator().manual_seed(passes_seed)
    numbers = VIEW_UNIFORMS + LocalWarp().uniforms
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(cell.pictures // (2 * BATCH)):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(faces, generator=generator)])
        yield order[:BATCH], torch.rand(BATCH, numbers, generator=generator)
        order = order[BATCH:]


def train(cell: Cell, faces: Faces) -> Judge:
    """A network that was told of so many pictures whether they are warped."""
    torch.manual_seed(cell.seed)
    network = Judge(cell.network, cell.side, cell.weights).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = cell.pictures // (2 * BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    answers = torch.cat([torch.zeros(BATCH), torch.ones(BATCH)])
    network.train()
    for rows, uniforms in batches(cell, len(faces.images), cell.seed):
        logits = network(torch.cat(pairs(cell, network, faces, rows, uniforms)))
        loss = F.binary_cross_entropy_with_logits(logits, answers)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def judge(network: Judge, cell: Cell, faces: Faces) -> dict[str, Any]:
    """What it tells of other people's faces: each once as it is and once warped."""
    generator = torch.Generator().manual_seed(1_000_000 + cell.seed)
    plain: list[Tensor] = []
    warped: list[Tensor] = []
    with torch.inference_mode():
        for part in torch.split(torch.arange(len(faces.images)), BATCH):
            uniforms = torch.rand(len(part), VIEW_UNIFORMS + LocalWarp().uniforms, generator=generator)
            for found, pictures in zip((plain, warped), pairs(cell, network, faces, part, uniforms), strict=True):
                found.append(network(pictures))
    return summed(torch.cat(plain).numpy(), torch.cat(warped).numpy(), faces.person)


def summed(plain: NDArray[np.float32], warped: NDArray[np.float32], person: NDArray[np.str_]) -> dict[str, Any]:
    """Accuracy of single pictures and of pairs (won), with 95 % intervals over people, of the logits of both."""
    right = ((plain <= 0).astype(float) + (warped > 0)) / 2
    won = (warped > plain) + 0.5 * (warped == plain)
    per_person = np.stack([[part.sum() for part in (right[own], won[own], own.astype(float))]
                           for own in (person == name for name in np.unique(person))])  # fmt: skip
    result = jackknife(per_person, lambda sums: sums[..., :2] / sums[..., 2:])
    bounds = score_interval(result)
    figures: dict[str, Any] = {"faces": len(plain), "people": len(per_person)}
    for index, name in enumerate(("accuracy", "won")):
        figures[name] = round(float(result.estimate[index]), 4)
        figures[f"{name}_interval"] = [round(float(bounds.low[index]), 4), round(float(bounds.high[index]), 4)]
    return figures


def passed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that pass the gate, the smallest side first, and of a side what is told most surely.

    Of one setting those count that saw the most pictures, and all of them: none passes for being run again with another seed.
    """
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = (row["network"], row.get("weights"), row["side"], row["magnitude"], row["family"])
        settings.setdefault(key, []).append(row)
    found = []
    for same in settings.values():
        longest = [row for row in same if row["pictures"] == max(row["pictures"] for row in same)]
        if all(row["accuracy"] >= PASSED for row in longest):
            found += longest
    return sorted(found, key=lambda row: (row["side"], -row["accuracy"]))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, a line for each row."""
    lines = [
        "| side | magnitude | family | network | pictures | accuracy [95 % over people] | won | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["network"], row["pictures"], row["side"], row["magnitude"], row["family"])):
        low, high = row["accuracy_interval"]
        gate = "passes" if row["accuracy"] >= PASSED else ""
        network = row["network"] if row.get("weights") is None else f"{row['network']} ({row['weights']})"
        lines.append(
            f"| {row['side']} | {row['magnitude']} | {row['family']} | {network} | {row['pictures']:,} | "
            f"{row['accuracy']:.3f} [{low:.3f}, {high:.3f}] | {row['won']:.3f} | {gate} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
