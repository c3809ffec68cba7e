"""The comparison of pairs of frames with pairs of views: from nothing to a table, a row at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import video_positives
from benchmarks.rows import Rows
from benchmarks.video_positives import fill, table
from harness.demo.drawn import write_drawn_root
from harness.runs.store import Run


@pytest.mark.slow
def test_both_ways_see_the_same_videos_and_are_judged_on_the_same_unseen_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"hidden": "16", "batch": "8", "precision": "fp32"}
    monkeypatch.setattr(video_positives, "SHARED", {**video_positives.SHARED, **small})
    data = write_drawn_root(tmp_path / "data", tracks=(6, 2, 4), rows=40, other_challenges=True)
    keys = [
        {"method": method, "positives": positives, "seed": 0, "network": "narrow", "steps": steps, "side": 32, "seconds": 0.5}
        for method, positives, steps in (
            ("none", "none", 0), ("byol", "image", 3), ("byol", "track", 3),
            ("contrawarping", "image", 3), ("contrawarping", "track", 3),
        )
    ]  # fmt: skip
    rows = Rows(tmp_path / "rows.jsonl")
    fill(keys[:1], data, tmp_path / "work", rows)
    fill(keys, data, tmp_path / "work", Rows(tmp_path / "rows.jsonl"))
    rows = Rows(tmp_path / "rows.jsonl")
    assert [(row["method"], row["positives"]) for row in rows.all] == [(key["method"], key["positives"]) for key in keys]
    # One of the four test tracks shows no face.
    assert {row["people"] for row in rows.all} == {3}
    assert all(0 <= row[name] <= 1 for row in rows.all for name in video_positives.FIGURES)
    manifests = [Run(path).manifest for path in sorted((tmp_path / "work").iterdir()) if (path / "run.json").is_file()]
    assert len(manifests) == 4
    assert len({str(manifest["data"]) for manifest in manifests}) == 1
    assert sorted((manifest["recipe"]["method"], str(manifest["recipe"].get("positives"))) for manifest in manifests) == [
        ("byol", "None"), ("byol", "track"), ("contrawarping", "None"), ("contrawarping", "track")
    ]  # fmt: skip
    assert all(manifest["recipe"]["sampling"] == "tracks" for manifest in manifests)
    text = table(rows.all)
    assert "| narrow | byol | 3 | 32 | frames within 0.5 s | 1 |" in text
    assert "| narrow | byol | 3 | 32 | frames minus image |" in text
    assert "| narrow | contrawarping | 3 | 32 | frames minus image |" in text


def test_the_page_shows_what_the_rows_say() -> None:
    docs = Path(__file__).parent.parent / "docs"
    assert table(Rows(docs / "video-positives.jsonl").all) in (docs / "pretraining.md").read_text()
