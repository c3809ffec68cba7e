"""Vectors at a rate of their own: every frame has the one of its time, or lies between two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.scan import scan
from harness.data.tracks import Track
from harness.errors import DataError, MismatchError
from harness.runs import scores
from harness.runs.feature_imports import import_features, open_features
from harness.runs.resampling import Timing
from harness.runs.scores import FEATURES
from harness.runs.store import Run
from tests.test_cli_road import call, exit_code, fine

TRACK = Track("t", "t", "train", 30, "images", np.arange(1, 31, dtype=np.int32), None, Path(), frame_rate=10.0)


def test_a_frame_takes_the_vector_of_its_time_where_they_are_repeated() -> None:
    numbers = np.arange(1, 9)
    frames, vectors = Timing(2.5, repeat=True).to_frames(numbers, numbers[:, None].astype(np.float32), TRACK)
    assert frames.tolist() == list(range(1, 31))
    assert vectors[:, 0].tolist() == [int((frame - 1) / 10 * 2.5 + 1e-9) + 1 for frame in range(1, 31)]


def test_a_frame_lies_between_the_middles_of_two_vectors_where_they_are_interpolated() -> None:
    numbers = np.arange(1, 9)
    values = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    _, vectors = Timing(2.5).to_frames(numbers, values, TRACK)
    expected = np.stack([np.interp(np.arange(30) / 10, (numbers - 0.5) * 0.4, column) for column in values.T], axis=1)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_frame_without_a_vector_of_its_time_has_none() -> None:
    frames, _ = Timing(2.5).to_frames(np.array([1, 3]), np.zeros((2, 1), np.float32), TRACK)
    assert frames.tolist() == [1, 2, 3, 4, 9, 10, 11, 12]


def test_without_a_frame_rate_there_is_no_time_unless_one_is_said() -> None:
    unknown = replace(TRACK, frame_rate=None)
    with pytest.raises(DataError, match="frame rate of the recording t is unknown"):
        Timing(2.5).most(unknown)
    assert Timing(2.5, fps=10.0).most(unknown) == 8


def test_vectors_of_segments_are_imported_as_features_of_frames(
    drawn_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = scan(drawn_root)
    timing = Timing(5.0, repeat=True)
    counts = {track.name: timing.most(track) for track in root.tracks}
    np.savez(
        "segments.npz",
        track=np.concatenate([np.full(count, name) for name, count in counts.items()]),
        frame=np.concatenate([np.arange(1, count + 1) for count in counts.values()]),
        words=np.concatenate([np.arange(1, count + 1, dtype=np.float32)[:, None] for count in counts.values()]),
    )
    output = fine("import", "segments.npz", "--features", "--rate", "5", "--repeat", "--data", str(drawn_root))
    assert "vectors at 5 per second are repeated" in output
    run = Path("runs/words")
    for track in root.tracks:
        stored = np.load(run / "features" / track.split / f"{track.name}.npz")
        assert stored["frame"].tolist() == list(range(1, track.rows + 1))
        assert track.frame_rate is not None
        expected = [int((frame - 1) / track.frame_rate * 5 + 1e-9) + 1 for frame in range(1, track.rows + 1)]
        assert stored["feature"][:, 0].tolist() == expected
    assert scores.read_index(Run(run), "train", FEATURES).settings["rate"] == 5.0


def test_more_vectors_than_a_track_has_time_for_are_refused(drawn_root: Path, tmp_path: Path) -> None:
    root = scan(drawn_root)
    track = root.members("train")[0]
    count = Timing(5.0).most(track) + 1
    path = tmp_path / "f.npz"
    np.savez(path, track=np.full(count, track.name), frame=np.arange(1, count + 1), f=np.zeros((count, 2), np.float32))
    with pytest.raises(MismatchError, match="at 5 per second") as raised:
        import_features(open_features(path, 10_000), root, "", fresh=False, timing=Timing(5.0))
    assert f"{track.name}: vector {count} is outside 1..{count - 1}" in str(raised.value)


@pytest.mark.parametrize("options", [["--rate", "0"], ["--repeat"], ["--fps", "30"]])
def test_rates_that_make_no_sense_are_refused(tmp_path: Path, options: list[str]) -> None:
    assert exit_code(call("import", str(tmp_path / "f.npz"), "--features", *options)) == 2
