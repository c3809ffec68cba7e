"""The evidence for pre-training on warps: from nothing to a table, going on after a kill, and what the rule says of rows."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import evidence, warp_gate
from benchmarks.evidence import Evidence, Setting, setting_of, with_share_of_people
from benchmarks.evidence_table import primary_table, table, verdict
from benchmarks.narrow import NETWORKS
from benchmarks.people import LANDMARKS, Faces
from benchmarks.rows import Rows
from harness.data.scan import scan
from harness.demo.drawn import write_drawn_root
from harness.evaluation.intervals import Jackknife
from harness.images.batches import ImageRequest, read_batch
from harness.runs.store import Run
from harness.studies.features import Features
from harness.training.pretraining import build_method
from models import registry
from models.ssl.base import PretrainingMethod
from models.ssl.landmarks import TEMPLATE, TEMPLATE_SIDE
from tests.interruption import dies_after
from tests.small_pretraining import write_average_landmarks
from tests.toy_faces import toy_faces

DOCS = Path(__file__).parent.parent / "docs"
SETTING: dict[str, Any] = {"network": "narrow", "side": 64, "magnitude": 0.6, "family": "gaussian"}
TITLE = "narrow, 64 pixels, gaussian warps of magnitude 0.6, 50 passes"
PEOPLE = 30


def rows_of(
    areas: dict[str, float], won: float = 0.7, control: float = 0.6, seeds: int = 3, passes: int = 50, spread: float = 0.001
) -> list[dict[str, Any]]:
    """Rows of arms: both primary figures of an arm alike, people differing a little from arm to arm.

    `won` is of arms that warp, `control` of the others; `lite0` has one seed and was not pre-trained.
    """
    made: list[dict[str, Any]] = []
    for place, (arm, area) in enumerate(areas.items()):
        is_reference = arm == "lite0"
        for seed in range(1 if is_reference else seeds):
            key = {"arm": arm, "seed": seed, **SETTING, "passes": 0 if is_reference else passes, "people": PEOPLE}
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
            told = {} if is_reference else {"won": won if arm.endswith("contrawarping") else control}
            without = {name: [value + 0.001 * sign for sign in signs] for name, value in told.items()}
            made.append({**key, "kind": "gap", **told, "without": without})
    return made


ABOVE = {"byol": 0.80, "contrawarping": 0.85, "magnitude-0": 0.79}
CONTINUED = {"lite0": 0.80, "lite0-contrawarping": 0.85, "lite0-magnitude-0": 0.79}
LITE0: dict[str, Any] = {**SETTING, "network": "lite0", "weights": "builtin"}


@pytest.mark.parametrize(
    ("rows", "gate", "says"),
    [
        (rows_of(ABOVE), [SETTING], "finding: ContraWarping is above BYOL and above magnitude 0 in Happiness against"),
        (rows_of({**ABOVE, "byol": 0.9}), [SETTING], "failed"),
        (rows_of({**ABOVE, "magnitude-0": 0.85}), [SETTING], "failed"),
        (rows_of(ABOVE, spread=0.02), [SETTING], "failed"),
        (rows_of(ABOVE, won=0.5, control=0.4), [SETTING], "no claim"),
        (rows_of(ABOVE, won=0.7, control=0.7), [SETTING], "no claim"),
        (rows_of(ABOVE), [{**SETTING, "magnitude": 1.0}], "no claim that ContraWarping is above BYOL and above"),
        (rows_of(ABOVE), [LITE0], "no claim"),
        (rows_of(ABOVE), [{**SETTING, "weights": "builtin"}], "no claim"),
        (rows_of(ABOVE, seeds=2), [SETTING], "no verdict whether ContraWarping is above BYOL and above"),
        (rows_of(ABOVE, passes=49), [SETTING], "no verdict"),
        (rows_of({"byol": 0.8, "contrawarping": 0.9}), [SETTING], "no verdict"),
        ([], [SETTING], "no verdict: nothing was pre-trained"),
    ],
)  # fmt: skip
def test_the_rule_that_was_written_down_beforehand(rows: list[dict[str, Any]], gate: list[dict[str, Any]], says: str) -> None:
    assert verdict(rows, gate).split("passes: ", 1)[-1].startswith(says)


HELPS, WARPS_DO = "ContraWarping from Lite0's ImageNet weights is above Lite0", "is above Lite0 and above magnitude 0"


@pytest.mark.parametrize(
    ("rows", "gate", "says"),
    [
        (rows_of(CONTINUED), [LITE0], (f"finding: {HELPS} in Happiness", f"finding: {HELPS} and above magnitude 0 in Happiness")),
        # Going on helps, but not for the warps.
        (rows_of({**CONTINUED, "lite0-magnitude-0": 0.86}), [LITE0], (f"finding: {HELPS} in", "failed")),
        (rows_of({**CONTINUED, "lite0": 0.86}), [LITE0], ("failed", "failed")),
        # Warps are told no better than without: what is above Lite0 is not for the warps.
        (rows_of(CONTINUED, control=0.7), [LITE0], (f"finding: {HELPS} in", "no claim")),
        (rows_of({"lite0": 0.80, "lite0-contrawarping": 0.85}), [LITE0], (f"finding: {HELPS} in", "no verdict")),
        # What a network with random weights could tell says nothing of one that begins with ImageNet's.
        (rows_of(CONTINUED), [SETTING, {**LITE0, "weights": None}], ("no claim", "no claim")),
        (rows_of(CONTINUED, seeds=2), [LITE0], ("no verdict", "no verdict")),
        (rows_of({**ABOVE, **CONTINUED}), [SETTING, LITE0], (f"finding: {HELPS} in", f"finding: {HELPS} and above")),
    ],
)  # fmt: skip
def test_the_rule_of_the_second_series(rows: list[dict[str, Any]], gate: list[dict[str, Any]], says: tuple[str, str]) -> None:
    lines = verdict(rows, gate).splitlines()
    assert len(lines) == 3
    assert WARPS_DO in lines[2]
    for line, start in zip(lines[1:], says, strict=True):
        assert line.startswith(f"{TITLE}: {start}")


def test_every_setting_has_a_verdict_of_its_own() -> None:
    other = [{**row, "network": "res18"} for row in rows_of({**ABOVE, "byol": 0.9})]
    lines = verdict([*other, *rows_of(ABOVE)], [SETTING, {**SETTING, "network": "res18"}]).splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(f"{TITLE}: finding")
    assert lines[3].startswith("res18, 64 pixels, gaussian warps of magnitude 0.6, 50 passes: failed")


def test_arms_are_compared_by_the_seeds_that_both_have() -> None:
    rows = rows_of(ABOVE)
    more = [{**row, "seed": 7, "macro_auc": 0.1} for row in rows if row["arm"] == "contrawarping" and row["seed"] == 0]
    assert verdict([*more, *rows], [SETTING]) == verdict(rows, [SETTING])
    assert primary_table([*more, *rows]) == primary_table(rows)
    fewer = [row for row in rows if row["seed"] != 1 or row["arm"] != "byol"]
    assert "2 seeds of 3 of byol" in verdict(fewer, [SETTING])
    # Three of each, of which two are the same.
    moved = [{**row, "seed": 5} if row["seed"] == 1 and row["arm"] == "byol" else row for row in rows]
    assert "2 seeds of 3 of byol" in verdict(moved, [SETTING])


def test_each_primary_difference_is_shown_in_full_and_the_intervals_are_scipys_t_of_people_and_of_seeds() -> None:
    rows = rows_of(ABOVE, spread=0.004)
    for row in rows:
        if row["kind"] == "probe" and row["arm"] == "contrawarping":
            moved = (-0.01, 0.0, 0.01)[row["seed"]]
            row["macro_auc"] += moved
            row["without"] = {**row["without"], "macro_auc": [value + moved for value in row["without"]["macro_auc"]]}
    (line,) = (
        line for line in primary_table(rows).splitlines() if line.startswith("| one against rest | contrawarping minus byol")
    )
    each, people, both, seeds = line.split(" | ")[2:]
    assert each == "+0.040, +0.050, +0.060"
    probes = {arm: [row for row in rows if row["kind"] == "probe" and row["arm"] == arm] for arm in ABOVE}
    without = np.mean([np.subtract(a["without"]["macro_auc"], b["without"]["macro_auc"])
                       for a, b in zip(probes["contrawarping"], probes["byol"], strict=True)], axis=0)  # fmt: skip
    spread = without - without.mean()
    error = np.sqrt((PEOPLE - 1) / PEOPLE * (spread**2).sum())
    freedom = (spread**2).sum() ** 2 / (spread**4).sum()
    middle = PEOPLE * 0.05 - (PEOPLE - 1) * without.mean()
    for text, level in ((people, 0.95), (both, 0.975)):
        low, high = stats.t.interval(level, freedom, middle, error)
        assert json.loads(text.replace("+", "")) == pytest.approx([low, high], abs=6e-5)
    # Two means of three seeds, which differ by .01 of the one arm and not at all of the other.
    variance = (0.01**2 * 2 / 4) * (1 / 3 + 1 / 3)
    total = error**2 + variance
    low, high = stats.t.interval(0.95, total**2 / (error**4 / freedom + variance**2 / 4), middle, np.sqrt(total))
    assert json.loads(seeds.rstrip(" |").replace("+", "")) == pytest.approx([low, high], abs=6e-5)


def test_a_reference_that_no_seed_changes_adds_nothing_to_the_spread_of_the_seeds() -> None:
    rows = rows_of(CONTINUED)
    for row in rows:
        if row["kind"] == "probe" and row["arm"] == "lite0-contrawarping":
            row["macro_auc"] += (-0.01, 0.0, 0.01)[row["seed"]]
    (line,) = (line for line in primary_table(rows).splitlines()
               if line.startswith("| one against rest | lite0-contrawarping minus lite0 |"))  # fmt: skip
    low, high = json.loads(line.split(" | ")[-1].rstrip(" |").replace("+", ""))
    assert (high - low) / 2 > stats.t.ppf(0.975, 4) * 0.01 / np.sqrt(3)
    assert (high - low) / 2 < stats.t.ppf(0.975, 2) * 0.01 * np.sqrt(1 / 3 + 1)


def test_of_one_seed_no_interval_with_seeds_is_shown() -> None:
    lines = [line for line in primary_table(rows_of(ABOVE, seeds=1)).splitlines() if line.startswith("| one against rest")]
    assert lines
    assert all(line.endswith(" | one seed alone |") for line in lines)


def test_the_table_pairs_arms_and_shows_won_beside_every_figure() -> None:
    text = table(rows_of(ABOVE))
    assert "| arm | seeds | Happiness against Neutral |" in text
    contrawarping, pair = (next(line for line in text.splitlines() if line.startswith(start)) for start in (
        "| contrawarping |", "| contrawarping minus byol |"
    ))  # fmt: skip
    assert "0.850 [" in contrawarping
    assert "0.700 [" in contrawarping
    assert "+0.050 [+" in pair


def test_where_no_settings_are_named_those_of_the_gate_are_taken_that_was_passed_from_random_weights() -> None:
    asked = argparse.Namespace(network=None, side=None, magnitude=None, family=None, passes=50)

    def refuse(message: str) -> None:
        raise SystemExit(message)

    assert setting_of(asked, [LITE0, SETTING], refuse) == Setting(**SETTING, passes=50)
    with pytest.raises(SystemExit, match="no row of the gate passes"):
        setting_of(asked, [LITE0], refuse)
    with pytest.raises(SystemExit, match="go together"):
        setting_of(argparse.Namespace(**{**vars(asked), "side": 48}), [SETTING], refuse)


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
    assert primary_table(rows) in page
    # The page's words are about these verdicts.
    first, second, *_ = verdict(rows, warp_gate.passed(gate)).splitlines()
    assert first.endswith("50 passes: finding: ContraWarping is above BYOL and above magnitude 0 in one against rest")
    assert second.endswith("failed: not in any primary figure ContraWarping from Lite0's ImageNet weights is above Lite0")


def small(path: Path, monkeypatch: pytest.MonkeyPatch, passes: int) -> Evidence:
    """The evidence on a few drawn faces, by small pictures and networks."""
    monkeypatch.setattr(evidence, "SHARED", {**evidence.SHARED, "hidden": "16", "batch": "32", "precision": "fp32"})
    data = write_drawn_root(path / "root", tracks=(4, 3, 2), rows=8)
    write_average_landmarks(data / LANDMARKS, data)
    return Evidence(path, data, Rows(path / "rows.jsonl"), Setting("narrow", 32, 1.0, "gaussian", passes))


def test_won_and_cosine_are_those_of_each_face_by_itself_and_without_each_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = small(tmp_path, monkeypatch, passes=1)
    points = (torch.tensor(TEMPLATE) / TEMPLATE_SIDE).expand(12, -1, -1)
    toys = (255 * toy_faces(12, seed=3)).to(torch.uint8)
    faces = Faces(toys, points, np.array(["c", "a", "b", "a", "c", "c", "a", "b", "b", "b", "a", "b"]))
    monkeypatch.setattr(evidence, "load_faces", lambda *_: faces)
    (arm,) = (arm for arm in evidence.ARMS if arm.name == "byol")
    torch.manual_seed(0)
    warping = build_method(judged._recipe(replace(arm, pretraining=evidence.WARPING), 0), judged._backbone(arm, 0)).train()
    with torch.no_grad():
        for _ in range(40):  # their statistics settle, and with them the networks tell warps of some faces
            warping(*warping.make_views(toys, torch.rand(12, warping.uniforms)))
    warping.eval()
    trained: list[Path] = []

    def trained_method(run: Run) -> PretrainingMethod:
        trained.append(run.path)
        return warping

    monkeypatch.setattr(evidence, "trained_method", trained_method)
    result = judged._gap(arm, 0)
    assert trained == [judged._run_of(arm, 0)]
    generator = torch.Generator().manual_seed(evidence.GAP_SEED)
    figures, person = [], []
    for name in sorted(set(faces.person.tolist())):
        rows = np.flatnonzero(faces.person == name)
        for row, uniforms in zip(rows, torch.rand(len(rows), warping.uniforms, generator=generator), strict=True):
            with torch.inference_mode():
                views = warping.make_views(faces.images[row][None], uniforms[None], faces.landmarks[row][None])
                told = warping(*views)
            figures.append([float(told["won"]), float(told["warped_similarity"])])
            person.append(name)
    assert len(set(person)) == 3
    assert len({won for won, _ in figures}) > 1
    assert result.estimate == pytest.approx(np.mean(figures, axis=0), abs=1e-5)
    for place, name in enumerate(sorted(set(person))):
        kept = [figure for figure, own in zip(figures, person, strict=True) if own != name]
        assert result.without[place] == pytest.approx(np.mean(kept, axis=0), abs=1e-5)


def test_the_probe_is_of_all_labelled_people_in_folds_by_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = small(tmp_path, monkeypatch, passes=1)
    seen: dict[str, Any] = {}

    def remember(features: Features, fold_of: Mapping[str, int]) -> Jackknife:
        seen.update(features=features, fold_of=fold_of)
        return Jackknife(np.zeros(2), np.zeros((7, 2)))

    monkeypatch.setattr(evidence, "happiness_and_macro_area", remember)
    (arm,) = (arm for arm in evidence.ARMS if arm.name == "random")
    judged._probed(arm, 0)
    people: Counter[str] = Counter()
    for track in (*judged.root.split("train"), *judged.root.split("val")):
        assert track.labels is not None
        people[track.recording] += int((track.labels[track.frames - 1] >= 0).sum())
    features, fold_of = seen["features"], seen["fold_of"]
    assert set(fold_of) == set(features.recordings) == set(people)
    counts = np.bincount(features.groups)
    assert {name: int(counts[place]) for place, name in enumerate(features.recordings)} == people
    # Each face as the network of this seed sees it by itself.
    torch.manual_seed(0)
    network = registry.create(NETWORKS["narrow"], image_size=32).eval()
    track = judged.root.split("train")[0]
    assert track.labels is not None
    (own,) = (place for place, name in enumerate(features.recordings) if name == track.recording)
    request = ImageRequest(track, int(track.frames[track.labels[track.frames - 1] >= 0][0]))
    pixels = read_batch([request], 32).images.float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.mean, network.std))
    with torch.inference_mode():
        expected = network((pixels - mean) / std).mean(dim=(2, 3))[0]
    found = torch.from_numpy(features.values[features.groups == own])
    assert float((found - expected).abs().amax(dim=1).min()) < 1e-4


# dlib's network is not part of any test.
ARMS = evidence.ARMS[:-1]


@pytest.mark.campaign
def test_from_nothing_to_a_table_and_a_killed_campaign_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "SHARED", {**evidence.SHARED, "hidden": "16", "batch": "32", "precision": "fp32"})
    short = {"iterations": "4", "batch": "16", "warmup": "1", "evaluate_every": "4", "checkpoint_every": "2", "precision": "fp32"}
    monkeypatch.setattr(evidence, "FINE_TUNING", {**evidence.FINE_TUNING, **short})
    data = write_drawn_root(tmp_path / "data", tracks=(8, 5, 4), rows=30, other_challenges=True)
    write_average_landmarks(data / LANDMARKS, data)

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
    assert "won" not in gaps["lite0"]
    # Each is of the networks that were trained: no two arms have one.
    told = [row["won"] for row in gaps.values() if "won" in row]
    assert len(set(told)) == len(told) == 5
    assert all(0 <= won <= 1 for won in told)
    manifest = json.loads((tmp_path / "whole" / "runs" / "narrow-magnitude-0-32-1-gaussian-2-0" / "run.json").read_text())
    assert manifest["recipe"]["warp_magnitude"] == 0
    assert "| contrawarping minus byol |" in table(whole)
    assert "2 passes of 50; 1 seeds of 3 of contrawarping" in verdict(whole, [])
