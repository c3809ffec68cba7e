"""Recordings divided anew: nothing of what is to come true is shown, and what comes true is scored as it should be."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from benchmarks.cheap_runs import LabelledSet, divide, make_runs
from benchmarks.honesty import Known, read_rows, row_of, table
from benchmarks.power import as_good_as
from harness.data.tracks import DataRoot
from harness.selection.scorer import Scorer, ValidationSet
from tests.simulated_recordings import Model, Population, concentrated_counts
from tests.simulated_runs import labelled_root

SHARES = {"train": 0.3, "val": 0.3, "test": 0.4}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    return labelled_root(tmp_path_factory.mktemp("root"), recordings=30, rate=None)


@pytest.fixture
def labelled(root: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabelledSet:
    """Thirty recordings with features that say something of the labels, and a model from elsewhere."""
    monkeypatch.chdir(tmp_path)
    tracks = tuple(track for track in root.tracks if track.labels is not None)
    generator = np.random.default_rng(0)

    def seen(noise: float) -> dict[str, np.ndarray]:
        found = {}
        for track in tracks:
            assert track.labels is not None
            right = np.eye(8)[np.maximum(track.labels[track.frames - 1], 0)]
            found[track.name] = np.exp(2 * right + noise * generator.standard_normal(right.shape)).astype(np.float32)
        return found

    outside = {name: values / values.sum(axis=1, keepdims=True) for name, values in seen(1.5).items()}
    return LabelledSet("faces", replace(root, tracks=tracks), {"pixels": seen(1.5), "edges": seen(2.5)}, {"elsewhere": outside})


def test_a_division_shares_out_recordings_and_shows_no_label_of_the_others(labelled: LabelledSet) -> None:
    divided = divide(labelled, SHARES, seed=1)
    assert Counter(track.split for track in divided.asked.tracks) == {"train": 9, "val": 9, "test": 12}
    assert all((track.labels is None) == (track.split == "test") for track in divided.asked.tracks)
    assert all(track.labels is not None for track in divided.known.tracks)
    again, other = divide(labelled, SHARES, seed=1), divide(labelled, SHARES, seed=2)
    assert [track.name for track in again.asked.tracks] == [track.name for track in divided.asked.tracks]
    assert [track.name for track in other.asked.tracks] != [track.name for track in divided.asked.tracks]


def test_what_comes_true_is_the_score_of_the_others_by_the_classes_judged_on_val(labelled: LabelledSet) -> None:
    divided = divide(labelled, SHARES, seed=1)
    run, *_ = make_runs(labelled, divided.asked, seed=1)
    known = Known(divided, Scorer(run, ValidationSet("val", divided.asked)).yardstick)
    found = known.beside(known.sums(run, "val"), run)
    answers = known.scored(run, "test").tracks
    labels, said = (np.concatenate([getattr(one, what) for one in answers]) for what in ("labels", "answers"))
    kept = labels >= 0
    judged = [number for number, enough in enumerate(known.yardstick.supported) if enough]
    expected = f1_score(labels[kept], said[kept], labels=judged, average="macro")
    assert found["true"] == pytest.approx(expected)
    assert isinstance(found["holds"], bool)


def test_a_row_has_all_that_the_table_tells(labelled: LabelledSet, tmp_path: Path) -> None:
    row = row_of(labelled, 0)
    assert row["recordings"] == {"train": 9, "val": 7, "test": 14}
    assert row["best"]["name"].startswith("best-")
    assert isinstance(row["pack"]["printed"], float)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "seed": 1}) + '\n{"set": "fac')
    rows = read_rows(path)
    assert [one["seed"] for one in rows] == [0, 1]
    lines = table(rows).splitlines()
    assert all(line.count("|") == 8 for line in lines)
    assert any(
        "`best`, the first" in line and f"{row['best']['printed']:.3f} | {row['best']['true']:.3f}" in line for line in lines
    )


def test_a_model_is_made_as_good_as_another() -> None:
    def truth(model: Model) -> float:
        return Population(concentrated_counts(), model).true_macro_f1(np.random.default_rng(5))

    better = as_good_as(Model(spread=0.2), Model(spread=1.0), 0.02)
    assert truth(better) - truth(Model(spread=0.2)) == pytest.approx(0.02, abs=0.01)
