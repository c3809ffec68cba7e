"""Faces of a report: which frames are kept, that each picture is of its frame, and that the limit holds."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.challenge import MACRO_F1
from harness.data.tracks import DataRoot
from harness.errors import MissingExtraError
from harness.postprocess.chain import PostProcessing
from harness.report.content import RunContent, drawn_alike, gather
from harness.report.faces import SIZE, Faces, faces_of, spread
from tests.grey_faces import frame_of, grey_face
from tests.simulated_runs import labelled_root, noisy_run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faces")


@pytest.fixture(scope="module")
def root(place: Path) -> DataRoot:
    return labelled_root(place / "root", recordings=6, image=grey_face)


@pytest.fixture(scope="module")
def runs(root: DataRoot, place: Path) -> list[RunContent]:
    made = [noisy_run(root, place / "runs" / name, noise) for name, noise in (("good", 1.0), ("poor", 3.0))]
    return drawn_alike([gather(run, "val", root, PostProcessing(), MACRO_F1, timelines=2) for run in made], 2)


def frames_there(runs: list[RunContent], root: DataRoot) -> dict[str, set[int]]:
    drawn = {name for run in runs for name, _ in run.chosen}
    return {track.name: set(track.frames.tolist()) for track in root.tracks if track.name in drawn}


def by_name(faces: Faces) -> dict[str, dict[int, bytes]]:
    return {name: {k: base64.b64decode(one) for k, one in own.items()} for (_, name), own in faces.tracks.items()}


@pytest.mark.parametrize("count", [*range(20), 64, 70, 1000])
def test_every_beginning_of_the_order_is_spread_over_the_track(count: int) -> None:
    order = spread(count).tolist()
    assert sorted(order) == list(range(count))
    digits = max(count - 1, 1).bit_length()
    assert order == sorted(range(count), key=lambda k: f"{k:0{digits}b}"[::-1])
    for taken in (2**power for power in range(1, digits)):
        kept = sorted(order[:taken])
        assert np.diff([*kept, count]).max() <= 2 ** (digits - taken.bit_length() + 2)


def test_each_picture_is_small_and_of_its_own_frame(runs: list[RunContent], root: DataRoot) -> None:
    faces, there = faces_of(runs, 10_000_000), frames_there(runs, root)
    assert {name: set(pictures) for name, pictures in by_name(faces).items()} == there
    for pictures in by_name(faces).values():
        assert list(pictures) == sorted(pictures)
        for frame, picture in pictures.items():
            assert Image.open(io.BytesIO(picture)).size == (SIZE, SIZE)
            assert frame_of(picture) == frame
    assert (faces.left_out, faces.unreadable) == (0, 0)
    # Both runs draw the same tracks, and each stands in the page once.
    assert faces.count == sum(map(len, there.values()))
    assert faces.size == sum(len(text) for pictures in faces.tracks.values() for text in pictures.values())


def test_what_finds_no_room_is_counted_and_the_tracks_share_the_room(runs: list[RunContent], root: DataRoot) -> None:
    everything = faces_of(runs, 10_000_000)
    limit = everything.size // 4
    faces = faces_of(runs, limit)
    assert 0.9 * limit < faces.size <= limit
    assert faces.count + faces.left_out == everything.count
    numbers = [len(pictures) for pictures in faces.tracks.values()]
    assert max(numbers) - min(numbers) <= 1
    for pictures in faces.tracks.values():
        assert max(np.diff(list(pictures))) <= 16  # about every fourth of 90 frames, some of them without a face
    assert faces_of(runs, 10).tracks == {}
    assert faces_of(runs, 10).left_out == everything.count


def test_an_image_that_cannot_be_read_is_counted(place: Path) -> None:
    root = labelled_root(
        place / "damaged", recordings=2, image=lambda name, frame: b"" if frame % 10 == 5 else grey_face(name, frame)
    )
    content = gather(noisy_run(root, place / "runs" / "damaged", 1.0), "val", root, PostProcessing(), MACRO_F1, timelines=1)
    faces = faces_of([content], 10_000_000)
    (track,) = root.split("val")
    damaged = {frame for frame in track.frames.tolist() if frame % 10 == 5}
    assert faces.unreadable == len(damaged) > 0
    assert set(by_name(faces)[track.name]) == set(track.frames.tolist()) - damaged


def test_what_decodes_images_is_named_where_it_is_missing(runs: list[RunContent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harness.images.decode", None)
    with pytest.raises(MissingExtraError, match=r"pictures of faces") as caught:
        faces_of(runs, 10_000)
    assert "abaw-harness[report]" in str(caught.value)
