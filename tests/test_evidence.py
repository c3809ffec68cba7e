"""The evidence for pre-training on warps: from nothing to a table, going on after a kill, and what the rule says of rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import evidence, warp_gate
from benchmarks.evidence import STILL, WARPING, Arm, Evidence, Setting, with_share_of_people
from benchmarks.evidence_table import table, verdict
from benchmarks.people import LANDMARKS
from benchmarks.rows import Rows
from harness.data.landmarks import COLUMNS
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from models.ssl.landmarks import TEMPLATE
from tests.interruption import dies_after

DOCS = Path(__file__).parent.parent / "docs"
SETTING = {"network": "narrow", "side": 64, "magnitude": 0.6, "family": "gaussian"}
PEOPLE = 30


def rows_of(
    areas: dict[str, float], won: float = 0.7, seeds: int = 3, passes: int = 50, spread: float = 0.001
) -> list[dict[str, Any]]:
    """Rows of three arms: both primary figures of an arm alike, people differing a little from arm to arm."""
    made: list[dict[str, Any]] = []
    for place, (arm, area) in enumerate(areas.items()):
        for seed in range(seeds):
            key = {"arm": arm, "seed": seed, **SETTING, "passes": passes, "people": PEOPLE}
            # Every second person is worth as much more as the others less, in each arm other ones.
            signs = [1 if (person >> place) & 1 else -1 for person in range(PEOPLE)]
            figures = dict.fromkeys(("happiness_auc", "macro_auc"), area)
            made.append(
                {
                    **key,
                    "kind": "probe",
                    **figures,
                    "without": {name: [area + spread * sign for sign in signs] for name in figures},
                }
            )
            made.append({**key, "kind": "gap", "won": won, "without": {"won": [won + 0.001 * sign for sign in signs]}})
    return made


ABOVE = {"byol": 0.80, "contrawarping": 0.85, "magnitude-0": 0.79}


@pytest.mark.parametrize(
    ("rows", "gate", "says"),
    [
        (rows_of(ABOVE), [SETTING], "finding: ContraWarping is above BYOL and above magnitude 0 in Happiness against"),
        (rows_of({**ABOVE, "byol": 0.9}), [SETTING], "failed"),
        (rows_of({**ABOVE, "magnitude-0": 0.85}), [SETTING], "failed"),
        (rows_of(ABOVE, spread=0.02), [SETTING], "failed"),
        (rows_of(ABOVE, won=0.5), [SETTING], "no claim: the network does not tell warped faces"),
        (rows_of(ABOVE), [{**SETTING, "magnitude": 1.0}], "no claim: these settings did not pass the gate"),
        (rows_of(ABOVE, seeds=2), [SETTING], "no verdict: 2 seeds of 3 of byol"),
        (rows_of(ABOVE, passes=49), [SETTING], "no verdict: 49 passes of 50"),
        (rows_of({"byol": 0.8, "contrawarping": 0.9}), [SETTING], "no verdict: 0 seeds of 3 of magnitude-0"),
        ([], [SETTING], "no verdict: nothing was pre-trained"),
    ],
)  # fmt: skip
def test_the_rule_that_was_written_down_beforehand(rows: list[dict[str, Any]], gate: list[dict[str, Any]], says: str) -> None:
    assert verdict(rows, gate).startswith(says)


def test_the_table_pairs_arms_and_shows_won_beside_every_figure() -> None:
    text = table(rows_of(ABOVE))
    assert "| arm | seeds | Happiness against Neutral |" in text
    contrawarping, pair = (next(line for line in text.splitlines() if line.startswith(start)) for start in (
        "| contrawarping |", "| contrawarping minus byol |"
    ))  # fmt: skip
    assert "0.850 [" in contrawarping
    assert "0.700 [" in contrawarping
    assert "+0.050 [+" in pair


def test_a_share_of_people_is_drawn_once_and_the_smaller_lies_in_the_larger(tmp_path: Path) -> None:
    root = scan(write_drawn_root(tmp_path / "data", tracks=(10, 2, 2), rows=6))
    names = [{track.name for track in with_share_of_people(root, share, 3).split("train")} for share in (0.2, 0.5, 1.0)]
    assert [len(part) for part in names] == [2, 5, 10]
    assert names[0] < names[1] < names[2]
    assert {track.name for track in with_share_of_people(root, 0.2, 4).split("train")} != names[0]
    assert with_share_of_people(root, 0.2, 3).split("val") == root.split("val")


def test_the_page_shows_what_the_rows_say() -> None:
    page = (DOCS / "pretraining.md").read_text()
    gate, rows = (Rows(DOCS / name).all for name in ("warp-gate.jsonl", "evidence-rows.jsonl"))
    assert warp_gate.table(gate) in page
    assert table(rows) in page
    # The page's words are about this verdict.
    assert (
        verdict(rows, warp_gate.passed(gate)) == "finding: ContraWarping is above BYOL and above magnitude 0 in one against rest"
    )


ARMS = (
    Arm("byol", {"method": "byol"}),
    Arm("contrawarping", WARPING),
    Arm("magnitude-0", STILL),
    Arm("random"),
)


@pytest.mark.campaign
def test_from_nothing_to_a_table_and_a_killed_campaign_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "SHARED", {**evidence.SHARED, "hidden": "16", "batch": "32", "precision": "fp32"})
    short = {"iterations": "4", "batch": "16", "warmup": "1", "evaluate_every": "4", "checkpoint_every": "2", "precision": "fp32"}
    monkeypatch.setattr(evidence, "FINE_TUNING", {**evidence.FINE_TUNING, **short})
    data = write_drawn_root(tmp_path / "data", tracks=(8, 5, 4), rows=30, other_challenges=True)
    lines = [
        f"{track.name},{frame}," + ",".join(f"{x},{y}" for x, y in TEMPLATE)
        for track in scan(data).tracks
        for frame in track.frames
    ]
    (data / LANDMARKS).write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")

    def campaign(name: str) -> Evidence:
        work = tmp_path / name
        work.mkdir(exist_ok=True)
        if not (work / "root").exists():
            (work / "root").symlink_to(data)
        return Evidence(work, data, Rows(work / "rows.jsonl"), Setting("narrow", 32, 1.0, "gaussian", 2))

    campaign("whole").run(ARMS, [0], evidence.KINDS)
    # Killed in the midst of a pre-training, later of a training with labels, and then stopped between two rows.
    with dies_after(9):
        campaign("parts").run(ARMS, [0], evidence.KINDS)
    known = len(Rows(tmp_path / "parts" / "rows.jsonl").all)
    campaign("parts").run(ARMS, [0], evidence.KINDS, minutes=0)
    assert len(Rows(tmp_path / "parts" / "rows.jsonl").all) == known
    campaign("parts").run(ARMS, [0], evidence.KINDS)
    whole, parts = (
        [{**row, "cpu_seconds": 0} for row in Rows(tmp_path / name / "rows.jsonl").all] for name in ("whole", "parts")
    )
    assert whole == parts
    assert len(whole) == len(ARMS) * len(evidence.KINDS)
    probed = {row["arm"]: row for row in whole if row["kind"] == "probe"}
    assert len({row["happiness_auc"] for row in probed.values()}) == len(ARMS)
    assert all(0 < row[name] < 1 for row in probed.values() for name in ("happiness_auc", "macro_auc"))
    gaps = {row["arm"]: row for row in whole if row["kind"] == "gap"}
    assert "won" not in gaps["random"]
    assert all(0 <= gaps[arm]["won"] <= 1 for arm in ("byol", "contrawarping", "magnitude-0"))
    manifest = json.loads((tmp_path / "whole" / "runs" / "narrow-magnitude-0-32-1-gaussian-2-0" / "run.json").read_text())
    assert manifest["recipe"]["warp_magnitude"] == 0
    assert "| contrawarping minus byol |" in table(whole)
    assert verdict(whole, []).startswith("no verdict: 2 passes of 50; 1 seeds of 3 of byol")
