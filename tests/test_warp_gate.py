"""The gate before pre-training: what a network tells of warped faces, counted by hand and over people."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import warp_gate
from benchmarks.people import LANDMARKS, Faces
from benchmarks.rows import Rows
from benchmarks.warp_gate import FAMILIES, MAGNITUDES, SIDES, Cell, Judge, fill, judge, pairs, passed, summed, table, train
from harness.demo.drawn import write_drawn_root
from harness.recipes.pretraining import PretrainingRecipe
from harness.training.network import BUILTIN, initial_backbone
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE
from models.ssl.views import VIEW_UNIFORMS
from models.ssl.warp import LocalWarp
from tests.small_pretraining import write_average_landmarks
from tests.toy_faces import toy_faces

REPOSITORY = Path(__file__).parent.parent
SMALL = Cell(side=32, magnitude=1.0, family="gaussian", network="narrow", pictures=512, seed=0)


def toys(count: int, seed: int) -> Faces:
    """Faces behind a grid, on which warps show, each of its own person."""
    points = (torch.tensor(TEMPLATE) / TEMPLATE_SIDE).expand(count, -1, -1)
    people = np.array([f"{seed}-{number:04d}" for number in range(count)])
    return Faces((255 * toy_faces(count, seed)).to(torch.uint8), points, people)


def one_pair_of_each(cell: Cell, faces: Faces) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    network = Judge(cell.network, cell.side)
    uniforms = torch.rand(len(faces.images), VIEW_UNIFORMS + LocalWarp().uniforms)
    return pairs(cell, network, faces, torch.arange(len(faces.images)), uniforms)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_two_pictures_of_a_pair_differ_in_nothing_but_the_warp(family: str) -> None:
    faces = toys(8, seed=0)
    plain, still = one_pair_of_each(Cell(32, 0.0, family, "narrow", 64, 0), faces)
    torch.testing.assert_close(plain, still, rtol=0, atol=1e-5)
    again, warped = one_pair_of_each(Cell(32, 1.0, family, "narrow", 64, 0), faces)
    assert torch.equal(plain, again)
    assert all((plain - warped).abs().amax(dim=(1, 2, 3)) > 0.05)


def test_families_are_the_directions_and_fields_that_they_are_named_for() -> None:
    warps = {name: LocalWarp(6, 1.0, directions=directions, family=family) for name, (directions, family) in FAMILIES.items()}
    assert {name: (warp.directions, warp.family) for name, warp in warps.items()} == {
        "gaussian": ("isotropic", "gaussian"),
        "muscles": ("muscles", "gaussian"),
        "thin-plate": ("isotropic", "thin-plate"),
    }


def test_a_setting_passes_by_the_rows_that_saw_most_and_by_all_of_them() -> None:
    cell: dict[str, Any] = {"network": "narrow", "side": 48, "magnitude": 1.0, "family": "muscles", "pictures": 100}
    few = {**cell, "pictures": 10, "accuracy": 0.9}
    low, high = ({**cell, "seed": seed, "accuracy": accuracy} for seed, accuracy in enumerate((0.79, 0.81)))
    assert passed([few, high]) == [high]
    assert passed([few, low]) == []
    assert passed([low, high]) == []
    assert passed([low, {**high, "side": 64}, {**high, "weights": BUILTIN}]) == [
        {**high, "weights": BUILTIN},
        {**high, "side": 64},
    ]


def test_where_nothing_is_warped_nobody_tells_anything() -> None:
    cell = Cell(32, 0.0, "gaussian", "narrow", 512, 0)
    figures = judge(train(cell, toys(64, seed=1)), cell, toys(64, seed=2))
    assert figures["accuracy"] == pytest.approx(0.5, abs=0.03)
    assert figures["won"] == pytest.approx(0.5, abs=0.15)


@pytest.mark.slow
def test_where_warps_show_they_are_told_of_other_people_after_learning_and_not_before() -> None:
    cell = Cell(32, 1.0, "gaussian", "narrow", 12_800, 0)
    others = toys(256, seed=2)
    untaught = judge(train(Cell(32, 1.0, "gaussian", "narrow", 64, 0), toys(64, seed=1)), cell, others)
    assert untaught["accuracy"] < 0.65
    assert judge(train(cell, toys(640, seed=1)), cell, others)["accuracy"] > 0.8


def test_nobody_whom_the_network_learns_from_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_drawn_root(tmp_path / "root", tracks=(5, 3, 2), rows=6)
    write_average_landmarks(root / LANDMARKS, root)
    seen: dict[str, set[str]] = {}

    def remember(kind: str, faces: Faces) -> None:
        seen[kind] = set(faces.person.tolist())

    def judged(network: Judge, cell: Cell, faces: Faces) -> dict[str, Any]:
        remember("judged", faces)
        return {"accuracy": 0.9}

    monkeypatch.setattr(warp_gate, "train", lambda cell, faces: remember("learned from", faces))
    monkeypatch.setattr(warp_gate, "judge", judged)
    rows = Rows(tmp_path / "rows.jsonl")
    fill([SMALL], root, rows, minutes=1)
    assert seen["learned from"] == {path.stem for path in root.glob("*/*/Train_Set/*.txt")}
    assert seen["judged"] == {path.stem for path in root.glob("*/*/Validation_Set/*.txt")}
    assert not seen["learned from"] & seen["judged"]
    seen.clear()
    fill([SMALL], root, rows, minutes=1)
    assert not seen


def test_a_network_can_begin_with_its_imagenet_weights_and_its_row_is_another(tmp_path: Path) -> None:
    begun = Judge("lite0", 32, BUILTIN).backbone.state_dict()
    torch.manual_seed(0)
    own = Judge("lite0", 32)
    assert not torch.equal(next(own.backbone.parameters()), next(iter(begun.values())))
    initial_backbone(BUILTIN, "lite0").load_into(own.backbone)
    torch.testing.assert_close(own.backbone.state_dict(), begun, rtol=0, atol=0)
    rows = Rows(tmp_path / "rows.jsonl")
    # Rows of before weights could be named have random ones.
    row = rows.add({"side": 48, "magnitude": 1.0, "family": "muscles", "network": "lite0", "pictures": 10, "seed": 0})
    assert rows.find(**row, weights=None) == row
    assert rows.find(**row, weights=BUILTIN) is None


def test_accuracy_is_of_single_pictures_and_won_of_pairs_that_differ_in_the_warp_alone() -> None:
    # Told: both pictures; the warped one alone; the plain one alone, and both times the wrong one looks more warped but once.
    plain = np.array([-1.0, 0.5, -2.0, 3.0], np.float32)
    warped = np.array([1.0, 2.0, -3.0, 3.0], np.float32)
    figures = summed(plain, warped, np.array(["a", "a", "b", "c"]))
    assert figures["accuracy"] == pytest.approx((2 + 1 + 1 + 1) / 8)
    assert figures["won"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert (figures["faces"], figures["people"]) == (4, 3)
    low, high = figures["accuracy_interval"]
    assert 0 <= low < figures["accuracy"] < high <= 1


def test_the_gate_is_passed_from_an_accuracy_of_eight_tenths_on_and_the_smallest_pictures_come_first() -> None:
    rows = [
        {"side": side, "magnitude": 0.3, "family": "gaussian", "network": "n", "pictures": 10, "accuracy": accuracy,
         "accuracy_interval": [0.5, 0.9], "won": 0.6}
        for side, accuracy in ((96, 0.9), (48, 0.79), (64, 0.8), (64, 0.85))
    ]  # fmt: skip
    assert [(row["side"], row["accuracy"]) for row in passed(rows)] == [(64, 0.85), (64, 0.8), (96, 0.9)]
    assert table(rows).count("passes") == 3


def test_rows_are_kept_as_they_come_and_found_by_their_values(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add({"side": 48, "won": 0.5})
    again = Rows(tmp_path / "rows.jsonl")
    assert again.find(side=48) == {"side": 48, "won": 0.5}
    assert again.find(side=64) is None


def test_processes_that_share_a_file_of_rows_lose_none(tmp_path: Path) -> None:
    code = "import sys; from benchmarks.rows import Rows; from pathlib import Path; rows = Rows(Path(sys.argv[1]))\n"
    code += "for number in range(40): rows.add({'process': sys.argv[2], 'number': number})"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "rows.jsonl"), name], cwd=REPOSITORY)
        for name in ("a", "b", "c")
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = [(row["process"], row["number"]) for row in Rows(tmp_path / "rows.jsonl").all]
    assert sorted(found) == [(name, number) for name in ("a", "b", "c") for number in range(40)]


def test_every_cell_of_the_gate_was_run_once() -> None:
    rows = [
        row
        for row in Rows(Path(__file__).parent.parent / "docs" / "warp-gate.jsonl").all
        if row["pictures"] == 102_400 and row["network"] == "narrow"
    ]
    cells = [(row["side"], row["magnitude"], row["family"]) for row in rows]
    assert sorted(cells) == sorted(itertools.product(SIDES, MAGNITUDES, FAMILIES))


def test_the_warps_that_nobody_asked_otherwise_for_are_ones_that_passed() -> None:
    rows = passed(Rows(Path(__file__).parent.parent / "docs" / "warp-gate.jsonl").all)
    default = PretrainingRecipe()
    assert (default.warp_magnitude, (default.warp_directions, default.warp_family)) in [
        (row["magnitude"], FAMILIES[row["family"]]) for row in rows
    ]
    own = LocalWarp()
    assert (own.points, own.magnitude, own.radius) == (default.warp_points, default.warp_magnitude, tuple(default.warp_radius))
    assert (own.directions, own.family) == (default.warp_directions, default.warp_family)
