"""What a report gathers: tracks in numbers, gaps, the tracks worth a look, in memory that does not grow with the tracks."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import EXPR, MACRO_F1
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.evaluation.evaluate import TrackReport
from harness.kinds.parts import parts_of
from harness.postprocess.chain import PostProcessing
from harness.report.content import TrackSummary, choose, drawn_alike, gather
from harness.rows.predictions import RunPredictions
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    return labelled_root(tmp_path_factory.mktemp("data") / "root")


@pytest.fixture(scope="module")
def model(root: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return noisy_run(root, tmp_path_factory.mktemp("runs") / "noisy", 1.5, splits=("val", "test"))


def test_every_track_in_numbers_agrees_with_a_loop(root: DataRoot, model: Run) -> None:
    content = gather(model, "val", root, PostProcessing(), MACRO_F1)
    before = {one.track: one for one in RunPredictions(model, "val", PostProcessing(seconds=0), root)}
    after = {one.track: one for one in RunPredictions(model, "val", PostProcessing(), root)}
    assert [track.track for track in content.tracks] == [track.name for track in root.split("val")]
    for summary, track in zip(content.tracks, root.split("val"), strict=True):
        assert track.labels is not None
        classes = after[track.name].classes.tolist()
        seen = set(track.frames.tolist())
        gaps = [len(list(group)) for face, group in groupby(k in seen for k in range(1, track.rows + 1)) if not face]
        hits = [label == one for label, one in zip(track.labels.tolist(), classes, strict=True) if label >= 0]
        assert summary.missing == track.rows - len(seen) == sum(gaps)
        assert summary.longest == max(gaps, default=0)
        assert summary.changes == len(list(groupby(classes))) - 1
        assert summary.changes_before == len(list(groupby(before[track.name].classes.tolist()))) - 1
        assert summary.labelled == len(hits)
        assert summary.nearness == pytest.approx(np.mean(hits))
        chosen = [row[c] for row, c in zip(after[track.name].probabilities, classes, strict=True)]
        assert summary.confidence == pytest.approx(np.mean(chosen))
    assert sum(gap.length for gap in content.gaps) == sum(track.missing for track in content.tracks)
    assert [gap.length for gap in content.gaps] == sorted((gap.length for gap in content.gaps), reverse=True)


def test_gaps_say_where_they_lie_and_how_long_they_last(tmp_path: Path) -> None:
    frames = {"whole": [], "start": [4, 5, 6], "end": [1, 2, 3], "inside": [1, 2, 6]}
    root, run = _bare_run(tmp_path, {name: (6, np.array(seen, np.int32)) for name, seen in frames.items()}, rate=3.0)
    content = gather(run, "test", root, PostProcessing(), MACRO_F1)
    found = {gap.track: (gap.first, gap.length, gap.place, gap.seconds) for gap in content.gaps}
    assert found == {
        "whole": (1, 6, "whole track", 2.0),
        "start": (1, 3, "start", 1.0),
        "end": (4, 3, "end", 1.0),
        "inside": (3, 3, "inside", 1.0),
    }


def test_a_split_without_labels_has_everything_but_scores(root: DataRoot, model: Run) -> None:
    content = gather(model, "test", root, PostProcessing(), MACRO_F1)
    assert content.evaluation is None
    assert content.unsmoothed is None
    assert content.scored is None
    assert [track.track for track in content.tracks] == ["video99"]
    assert content.tracks[0].nearness is None
    assert content.chosen[0][1].startswith("worst: mean confidence")


def test_without_frame_rates_nothing_is_smoothed(tmp_path: Path) -> None:
    root = labelled_root(tmp_path / "root", rate=None)
    content = gather(noisy_run(root, tmp_path / "run", 1.0), "val", root, PostProcessing(), MACRO_F1)
    assert not content.smoothed
    assert content.unsmoothed is None
    assert content.pair.timeline("video0").unsmoothed is None


def test_a_run_without_scores_of_the_split_is_refused(root: DataRoot, model: Run) -> None:
    with pytest.raises(DataError, match="no complete scores"):
        gather(model, "train", root, PostProcessing(), MACRO_F1)


def summary(name: str, accuracy: float | None, missing: int = 0, changes: int = 0) -> TrackSummary:
    most = {"expression": "Neutral"}
    report = TrackReport(name, name, 100, 100, 100 - missing, accuracy, {}, most, most)
    return TrackSummary(
        **vars(report),
        missing=missing,
        longest=missing,
        changes=changes,
        changes_before=None,
        smoothed=False,
        confidence=0.5,
    )


def test_the_worst_the_gappiest_the_restless_the_middle_and_the_best_are_chosen() -> None:
    tracks = [summary(f"t{k}", k / 20) for k in range(20)]
    tracks[15] = replace(tracks[15], missing=90, longest=90)
    tracks[16] = replace(tracks[16], changes=50)
    chosen = dict(choose(tracks, 10, parts_of(EXPR)))
    assert list(chosen)[:5] == ["t0", "t1", "t2", "t3", "t4"]
    assert chosen["t0"] == "worst: 0 % of its labelled frames correct"
    assert chosen["t15"].startswith("most frames without a face")
    assert chosen["t16"].startswith("changes most")
    assert chosen["t10"].startswith("middle")
    assert chosen["t19"].startswith("best")
    assert len(chosen) == 10


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_never_more_tracks_than_asked_and_none_twice(count: int) -> None:
    tracks = [summary(f"t{k}", k / 8, missing=k, changes=8 - k) for k in range(8)]
    names = [name for name, _ in choose(tracks, count, parts_of(EXPR))]
    assert len(names) == len(set(names)) == min(count, 8)
    assert choose([], count, parts_of(EXPR)) == []


def test_several_runs_show_the_same_tracks_the_worst_of_each_first(root: DataRoot, model: Run, tmp_path: Path) -> None:
    other = noisy_run(root, tmp_path / "other", 3.0, seed=9)
    runs = [gather(run, "val", root, PostProcessing(), MACRO_F1, timelines=4) for run in (model, other)]
    wishes = [[name for name, _ in run.chosen] for run in runs]
    assert wishes[0] != wishes[1]
    in_turn = [name for pair in zip(*wishes, strict=True) for name in pair]
    shown = drawn_alike(runs, 4)
    assert [name for name, _ in shown[0].chosen] == [name for name, _ in shown[1].chosen] == list(dict.fromkeys(in_turn))[:4]
    for run, alike in zip(runs, shown, strict=True):
        nearness = {track.track: track.nearness for track in run.tracks}
        for name, reason in alike.chosen:
            assert reason.endswith(f"{100 * (nearness[name] or 0):.0f} % of its labelled frames correct")
            assert dict(run.chosen).get(name, reason) == reason
    assert drawn_alike(runs[:1], 4)[0].chosen == runs[0].chosen


def test_a_run_of_other_tracks_draws_its_own(root: DataRoot, model: Run, tmp_path: Path) -> None:
    other = labelled_root(tmp_path / "root", recordings=20, seed=3)
    stranger = gather(noisy_run(other, tmp_path / "run", 1.0), "val", other, PostProcessing(), MACRO_F1, timelines=9)
    shown = drawn_alike([gather(model, "val", root, PostProcessing(), MACRO_F1, timelines=9), stranger], 9)
    for run in shown:
        assert run.chosen
        assert {name for name, _ in run.chosen} <= {track.track for track in run.tracks}


def _bare_run(place: Path, tracks: dict[str, tuple[int, np.ndarray]], rate: float | None = None) -> tuple[DataRoot, Run]:
    """A run with scores of test tracks, given as rows and seen frames, beside a data root of the same without files."""
    known = tuple(
        Track(name, name, "test", rows, "images", frames, None, place, frame_rate=rate) for name, (rows, frames) in tracks.items()
    )
    run, _ = store.open_or_create(place / "run", {"kind": "import", "class_names": list(EXPR.class_names)})
    generator = np.random.default_rng(0)
    stored = {
        track.name: TrackScores(track.frames, generator.normal(size=(len(track.frames), 8)).astype(np.float32)) for track in known
    }
    scores.write_split(run, "test", stored, {track.name: (track.rows, "images") for track in known}, "logits", {})
    return DataRoot(place, known), run


def test_memory_does_not_grow_with_the_number_of_tracks(tmp_path: Path) -> None:
    peaks = []
    for count in (4, 24):
        everything = np.arange(1, 4001, dtype=np.int32)
        root, run = _bare_run(tmp_path / str(count), {f"t{k}": (4000, everything) for k in range(count)}, rate=30.0)
        tracemalloc.start()
        gather(run, "test", root, PostProcessing(), MACRO_F1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_track = 4000 * 8 * 8
    assert peaks[1] - peaks[0] < 2 * one_track


def test_curves_are_read_from_the_run(root: DataRoot, model: Run) -> None:
    lines = [{"step": k, "loss": 1 / k} for k in range(1, 4)]
    (model.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "lo')
    assert gather(model, "val", root, PostProcessing(), MACRO_F1, timelines=1).curves == lines
