"""Labels that lie outside of the annotation folders: they become those of the tracks of their split, and of no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.challenge import EXPR, MTL, Challenge
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.rows.labelled import has_labels, with_labels

UNITS = [1, 0] * 6


def root(place: Path, challenge: Challenge = EXPR, asked: tuple[int, ...] | None = None) -> DataRoot:
    """A validation track and the test tracks a and b of four rows each, none with labels; of each the lines `asked`, or all."""
    lines = None if asked is None else np.array(asked, np.int32)
    track = Track("of_val", "of_val", "val", 4, "sample", np.arange(1, 5, dtype=np.int32), None, place, asked=lines)
    test = tuple(replace(track, name=name, recording=name, split="test") for name in "ab")
    return DataRoot(place, (track, *test), challenge=challenge)


def test_a_file_for_each_track_of_the_split_gives_its_labels(tmp_path: Path) -> None:
    kept = {"a": [0, 7, -1, 3], "b": [2, 2, 6, -1]}
    for name, labels in kept.items():
        (tmp_path / f"{name}.txt").write_text("\n".join([EXPR.header, *map(str, labels)]) + "\n")
    data = root(tmp_path)
    labelled = with_labels(data, "test", tmp_path)
    assert not has_labels(data, "test")
    assert has_labels(labelled, "test")
    assert {track.name: np.asarray(track.labels).tolist() for track in labelled.split("test")} == kept
    assert labelled.split("val") == data.split("val")


def test_a_file_of_other_rows_than_its_track_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{EXPR.header}\n0\n1\n2\n")
    with pytest.raises(DataError, match="the labels do not fit the track") as refused:
        with_labels(root(tmp_path), "test", tmp_path)
    assert (refused.value.found, refused.value.expected) == ("3 labels", "4 rows")


def test_one_file_for_all_tracks_gives_the_rows_that_the_list_names(tmp_path: Path) -> None:
    rows: dict[tuple[str, int], list[float]] = {
        ("a", 4): [0.5, -0.5, 3, *UNITS],
        ("a", 2): [0, 0.25, 7, *UNITS],
        ("b", 4): [1, -1, 0, *UNITS],
        ("b", 2): [0, 0, 1, *UNITS],
    }
    lines = [f"{name}/{frame:05d}.jpg,{','.join(map(str, numbers))}" for (name, frame), numbers in rows.items()]
    (tmp_path / "labels.txt").write_text("\n".join(["image,valence,arousal,expression,aus", *lines]) + "\n")
    data = root(tmp_path, MTL, asked=(4, 2))
    labelled = with_labels(data, "test", tmp_path)
    found = {track.name: np.asarray(track.labels) for track in labelled.split("test")}
    for (name, frame), numbers in rows.items():
        assert found[name][frame - 1].tolist() == numbers
    assert labelled.split("val") == data.split("val")
    with pytest.raises(DataError, match="the labels do not fit the track a"):
        with_labels(root(tmp_path, MTL, asked=(2, 4)), "test", tmp_path)
