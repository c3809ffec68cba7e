"""The whole chain from stored scores to classes: each track by itself, as a slow loop over frames has it."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.challenge import EXPR
from harness.data.tracks import DataRoot, Track
from harness.errors import MismatchError
from harness.postprocess.chain import PostProcessing
from harness.rows.predictions import PredictedTrack, RunPredictions
from harness.runs import scores, store
from harness.runs.scores import TrackScores
from harness.runs.store import Run
from harness.submission.from_run import write_submission

CLASSES = len(EXPR.class_names)
PRIOR = [0.25, 0.05, 0.05, 0.1, 0.15, 0.1, 0.1, 0.2]


@dataclass(frozen=True)
class Made:
    """A made-up track: its rows, the frames that were scored, a frame rate (None: unknown) and the seed of its logits."""

    rows: int
    frames: tuple[int, ...]
    frame_rate: float | None
    seed: int

    @property
    def logits(self) -> np.ndarray:
        return np.random.default_rng(self.seed).normal(scale=3, size=(len(self.frames), CLASSES)).astype(np.float32)


@st.composite
def made_tracks(draw: st.DrawFn) -> Made:
    rows = draw(st.integers(1, 30))
    frames = draw(st.sets(st.integers(1, rows), max_size=rows))
    rate = draw(st.sampled_from([None, 7.5, 29.97, 30.0]))
    return Made(rows, tuple(sorted(frames)), rate, draw(st.integers(0, 1000)))


def predictions(place: Path, tracks: dict[str, Made], post: PostProcessing) -> dict[str, PredictedTrack]:
    """What the chain makes of the tracks, stored as one split of a run."""
    run: Run = store.open_or_create(place, {"class_names": list(EXPR.class_names), "prior": PRIOR})[0]
    stored = {name: TrackScores(np.array(made.frames, np.int32), made.logits) for name, made in tracks.items()}
    scores.write_split(run, "val", stored, {name: (made.rows, "sample") for name, made in tracks.items()}, "logits", {})
    root = DataRoot(
        place,
        tuple(
            Track(name, name, "val", made.rows, "sample", np.array(made.frames, np.int32), None, place, made.frame_rate)
            for name, made in tracks.items()
        ),
    )
    return {one.track: one for one in RunPredictions(run, "val", post, root)}


def slow_chain(made: Made, seconds: float) -> tuple[list[list[float]], list[int]]:
    """Linear fill, mean over the window, largest probability: one frame after the other, in plain Python."""
    seen = {}
    for frame, logits in zip(made.frames, made.logits.tolist(), strict=True):
        highest = max(logits)
        exponentials = [math.exp(value - highest) for value in logits]
        seen[frame] = [value / sum(exponentials) for value in exponentials]
    filled = []
    for frame in range(1, made.rows + 1):
        earlier = [other for other in made.frames if other <= frame]
        later = [other for other in made.frames if other >= frame]
        if not made.frames:
            filled.append(PRIOR)
        elif not earlier or not later:
            filled.append(seen[later[0] if later else earlier[-1]])
        elif earlier[-1] == later[0]:
            filled.append(seen[frame])
        else:
            share = (frame - earlier[-1]) / (later[0] - earlier[-1])
            filled.append([(1 - share) * a + share * b for a, b in zip(seen[earlier[-1]], seen[later[0]], strict=True)])
    smoothed = []
    for frame in range(1, made.rows + 1):
        window = []
        if made.frame_rate is not None:
            window = [other for other in made.frames if abs(other - frame) / made.frame_rate <= seconds + 1e-12]
        rows = [seen[other] for other in window] or [filled[frame - 1]]
        smoothed.append([sum(column) / len(rows) for column in zip(*rows, strict=True)] if window else rows[0])
    return smoothed, [row.index(max(row)) for row in smoothed]


@settings(max_examples=40)
@given(made_tracks(), st.sampled_from([0.0, 0.1, 0.5, 1.67]))
def test_the_whole_chain_is_that_of_a_slow_loop(made: Made, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as place:
        found = predictions(Path(place) / "a", {"t": made}, PostProcessing(seconds=seconds))["t"]
    expected, classes = slow_chain(made, seconds)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-12)
    assert found.imputed.tolist() == [frame not in made.frames for frame in range(1, made.rows + 1)]
    margins = np.diff(np.sort(np.array(expected), axis=1)[:, -2:], axis=1)[:, 0]
    clear = margins > 1e-9
    assert found.classes[clear].tolist() == np.array(classes)[clear].tolist()


@settings(max_examples=30)
@given(
    made_tracks(),
    made_tracks(),
    made_tracks(),
    st.sampled_from([PostProcessing(), PostProcessing("nearest", 0.5, "gaussian"), PostProcessing("hold", 0.3, "median")]),
)
def test_a_track_is_the_same_bytes_whatever_its_neighbour_is(one: Made, other: Made, changed: Made, post: PostProcessing) -> None:
    with tempfile.TemporaryDirectory() as place:
        before = predictions(Path(place) / "a", {"before": other, "t": one, "after": other}, post)["t"]
        after = predictions(Path(place) / "b", {"before": changed, "t": one, "after": changed}, post)["t"]
    for name in ("probabilities", "classes", "imputed"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()


def test_the_slow_loop_is_right_where_the_answer_is_known() -> None:
    made = Made(4, (1, 4), 30.0, 0)
    rows, _ = slow_chain(made, 0.0)
    third = [a / 3 + 2 * b / 3 for a, b in zip(rows[0], rows[3], strict=True)]
    assert rows[2] == pytest.approx(third)
    assert slow_chain(made, 1.0)[0][1] == pytest.approx([(a + b) / 2 for a, b in zip(rows[0], rows[3], strict=True)])


def with_mirrored(place: Path, frames: tuple[int, ...] = (1, 2), **changes: Any) -> Run:
    """A run with scores of val and of its mirrored images, whose index has other values in `changes`."""
    run: Run = store.open_or_create(place, {"kind": "training", "class_names": list(EXPR.class_names), "prior": PRIOR})[0]
    for split, seen, flip in (("val", (1, 2), False), ("val.flip", frames, True)):
        made = Made(3, seen, None, 0)
        rows = {"t": (3, "sample")}
        scores.write_split(run, split, {"t": TrackScores(np.array(seen, np.int32), made.logits)}, rows, "logits", {})
        index = replace(scores.read_index(run, split), checkpoint="first", settings={"flip": flip, "precision": "fp32"})
        scores.write_index(run, split, replace(index, **changes) if flip else index)
    return run


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"checkpoint": "second"}, "checkpoint second"), ({"settings": {"flip": True, "precision": "bf16"}}, "precision bf16")],
)
def test_mirrored_scores_of_another_checkpoint_or_precision_are_not_averaged_in(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    run = with_mirrored(tmp_path / "b", **changes)
    RunPredictions(run, "val", PostProcessing(), None)
    with pytest.raises(MismatchError, match=says) as refused:
        RunPredictions(run, "val", PostProcessing(flip=True), None)
    assert refused.value.remedy == "`harness predict b --split val --flip`"


def test_mirrored_scores_of_the_same_checkpoint_are_averaged_in(tmp_path: Path) -> None:
    run = with_mirrored(tmp_path / "b")
    assert len(list(RunPredictions(run, "val", PostProcessing(flip=True), None))) == 1


def test_mirrored_scores_of_other_frames_are_refused_with_run_and_split(tmp_path: Path) -> None:
    run = with_mirrored(tmp_path / "b", frames=(1, 3))
    with pytest.raises(MismatchError, match="of b, split 'val', are of other frames") as refused:
        list(RunPredictions(run, "val", PostProcessing(flip=True), None))
    assert "harness predict b --split val --flip" in str(refused.value)


def test_a_run_that_is_written_anew_while_its_rows_are_read_gives_no_rows_of_both(tmp_path: Path) -> None:
    tracks = {"a": Made(4, (1, 2), 30.0, 0), "b": Made(4, (1, 2, 3), 30.0, 1)}
    predictions(tmp_path / "run", tracks, PostProcessing())
    run = Run(tmp_path / "run")
    reading = iter(RunPredictions(run, "val", PostProcessing(), None))
    next(reading)
    predictions(tmp_path / "run", {**tracks, "b": Made(4, (1, 2, 3), 30.0, 7)}, PostProcessing())
    with pytest.raises(MismatchError, match="the run 'run' was rewritten while its scores were read"):
        list(reading)
    whole = RunPredictions(run, "val", PostProcessing(), None)
    assert len(list(whole)) == 2
    store.rewrite(run, {**run.manifest, "prior": PRIOR[::-1]})
    with pytest.raises(MismatchError, match="rewritten"):
        list(whole)


def test_scores_of_other_rows_than_the_data_are_refused_with_the_first_track(tmp_path: Path) -> None:
    scored = {"a": Made(4, (1,), 30.0, 0), "b": Made(5, (1,), 30.0, 1), "c": Made(6, (1,), 30.0, 2)}
    predictions(tmp_path / "run", scored, PostProcessing())
    data = tuple(
        Track(name, name, "val", rows, "sample", np.array([1], np.int32), None, tmp_path) for name, rows in (("a", 4), ("b", 7))
    )
    with pytest.raises(MismatchError, match=r"other tracks or rows than the data root \(in 2 tracks\)") as refused:
        RunPredictions(Run(tmp_path / "run"), "val", PostProcessing(), DataRoot(tmp_path, data))
    assert refused.value.found == "b: 5 rows in the scores, 7 in the data"


def test_a_submission_tells_which_tracks_had_no_face(tmp_path: Path) -> None:
    tracks = {"seen": Made(4, (1, 2, 3, 4), 30.0, 0), "empty": Made(3, (), 30.0, 1), "partly": Made(5, (2,), 30.0, 2)}
    predictions(tmp_path / "run", tracks, PostProcessing())
    whole = RunPredictions(Run(tmp_path / "run"), "val", PostProcessing(), None)
    written = write_submission(whole, tmp_path / "answer", 5, None, {"split": "val"})
    assert (written.tracks, written.rows, written.faceless) == (3, 12, ["empty"])
