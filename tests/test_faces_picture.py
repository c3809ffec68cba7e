"""Frames as detectors see them: upright, reduced, and where a point of the reduced frame lies in the whole one."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from harness.data.videos import Decoder
from harness.errors import UsageError
from harness.faces.detectors import Face
from harness.faces.picture import Picture
from harness.faces.search import find_faces, sides
from tests.faces import BLUE, GREEN, HEIGHT, RED, WIDTH, ColourDetector, frame_with, write_video

# The display matrix of an MP4 track header for each turn clockwise, as a telephone writes it (ISO 14496-12, 8.3.2).
MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def with_rotation(path: Path, clockwise: int) -> Path:
    """Marks an MP4 file to be shown turned, by the bytes of its track header."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 36
    a, b, c, d = (value * 65536 for value in MATRICES[clockwise])
    data[matrix : matrix + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("clockwise", list(MATRICES))
def test_a_frame_marked_as_turned_is_turned_upright(tmp_path: Path, clockwise: int) -> None:
    upright = frame_with([(RED, 0, 0), (GREEN, WIDTH - 32, 0), (BLUE, 0, HEIGHT - 32)])
    stored = np.ascontiguousarray(np.rot90(upright, clockwise // 90))
    path = with_rotation(write_video(tmp_path / "a.mp4", [stored] * 3), clockwise)
    picture = Picture(next(iter(Decoder(path))))
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert picture.rgb.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(picture.rgb.astype(int) - upright)[4:28, 4:28].max() < 40
    assert np.abs(picture.rgb.astype(int) - upright)[4:28, -28:-4].max() < 40
    assert np.abs(picture.rgb.astype(int) - upright)[-28:-4, 4:28].max() < 40
    assert picture.reduced_gray(80).shape == (48, 80)
    assert picture.gray.shape == (HEIGHT, WIDTH)
    assert picture.rotation == -clockwise % 360


def test_a_point_of_the_reduced_frame_is_the_same_point_of_the_whole_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [frame_with([(RED, 64, 32)])] * 2)
    picture = Picture(next(iter(Decoder(path))))
    for side in (40, 80, 160, 320):
        (face,) = ColourDetector().detect(picture, side)
        # Colour is stored at half the resolution, so an edge may bleed by a pixel.
        np.testing.assert_allclose(face.box, (63.5, 31.5, 95.5, 63.5), atol=1.1 * max(1, 160 / side))
    quarter = picture.reduced_rgb(40)
    # The first of 40 columns covers the first 4 of 160, whose middle lies between the second and the third.
    np.testing.assert_allclose(picture.full_size([(0, 0), (39, 23)], quarter), [(1.5, 1.5), (157.5, 93.5)])


def test_faces_are_looked_for_coarsely_first() -> None:
    assert sides(0.25) == (320,)
    assert sides(0.5) == (160,)
    assert sides(0.125) == (320, 640)
    assert sides(0.1) == (320, 640, 800)
    assert sides(0.0625) == (320, 640, 1280)


@pytest.mark.parametrize("share", [0.0, 0.009, 1.1, -1, float("nan")])
def test_an_impossible_smallest_face_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="smallest face"):
        sides(share)


class Scripted:
    """Answers with the faces that are given for each side."""

    def __init__(self, **by_side: list[Face]) -> None:
        self.by_side = {int(side[1:]): faces for side, faces in by_side.items()}
        self.asked: list[int] = []
        self.description = {"back_end": "scripted"}

    def detect(self, picture: Picture, side: int) -> list[Face]:
        self.asked.append(side)
        return self.by_side[side]


def face(side: float, spread: float = 10.0) -> Face:
    return Face(np.array([0, 0, side, side]), np.arange(10.0).reshape(5, 2) * spread, 1.0)


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    return Picture(next(iter(Decoder(write_video(tmp_path / "a.mp4", [frame_with([])] * 2)))))


def test_a_finer_look_is_taken_only_where_the_coarse_one_finds_nothing(picture: Picture) -> None:
    detector = Scripted(s320=[face(40)], s640=[face(40), face(10)])
    assert len(find_faces(detector, picture, (320, 640), every=False)) == 1
    assert detector.asked == [320]
    detector = Scripted(s320=[], s640=[face(10), face(30)])
    found = find_faces(detector, picture, (320, 640), every=False)
    assert [one.box[2] for one in found] == [30, 10]
    assert detector.asked == [320, 640]


def test_where_every_face_counts_only_the_finest_look_is_taken(picture: Picture) -> None:
    detector = Scripted(s320=[face(40)], s640=[face(10), face(40)])
    assert [one.box[2] for one in find_faces(detector, picture, (320, 640), every=True)] == [40, 10]
    assert detector.asked == [640]


def test_landmarks_that_are_one_point_or_not_finite_are_no_face(picture: Picture) -> None:
    detector = Scripted(s320=[face(40, 0.0), face(40, float("nan"))])
    assert find_faces(detector, picture, (320,), every=False) == []
