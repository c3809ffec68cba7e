"""Frames as detectors see them: upright, reduced, and where a point of the reduced frame lies in the whole one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data.videos import Decoder
from harness.errors import UsageError
from harness.faces.detectors import Face, find_faces, sides
from harness.faces.picture import Picture
from tests.faces import BLUE, GREEN, HEIGHT, RED, WIDTH, ColourDetector, frame_with, with_matrix, write_video

# a, b, c, d of a display matrix: the eight ways in which a rectangle can be turned and mirrored.
MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


def shown(stored: NDArray[np.uint8], matrix: tuple[int, ...]) -> NDArray[np.uint8]:
    """The picture that the definition makes of a stored one, pixel by pixel: (x, y) goes to (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    places = {(a * x + c * y, b * x + d * y): stored[y, x] for y in range(stored.shape[0]) for x in range(stored.shape[1])}
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    result = np.zeros((stored.shape[1], stored.shape[0], 3) if a == 0 else stored.shape, np.uint8)
    for (x, y), pixel in places.items():
        result[y - top, x - left] = pixel
    return result


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("scale", [1, 0.7])
def test_a_frame_is_turned_and_mirrored_by_the_whole_display_matrix(
    tmp_path: Path, matrix: tuple[int, ...], scale: float
) -> None:
    stored = frame_with([(RED, 0, 0), (GREEN, WIDTH - 32, 0), (BLUE, 0, HEIGHT - 32)])
    path = with_matrix(write_video(tmp_path / "a.mp4", [stored] * 3), *(scale * value for value in matrix))
    picture = Picture(next(iter(Decoder(path))))
    expected = shown(stored, matrix)
    assert (picture.height, picture.width) == expected.shape[:2]
    difference = np.abs(picture.rgb.astype(int) - expected)
    assert np.median(difference) < 3
    assert difference.mean() < 6
    assert picture.gray.shape == expected.shape[:2]
    assert picture.reduced_gray(80).shape == (expected.shape[0] // 2, expected.shape[1] // 2)


def test_eight_matrices_are_eight_pictures() -> None:
    stored = frame_with([(RED, 0, 0), (GREEN, WIDTH - 32, 0), (BLUE, 0, HEIGHT - 32)])
    assert len({shown(stored, matrix).tobytes() for matrix in MATRICES}) == len(MATRICES) == 8


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(64, 45), (228, 96)), (Fraction(3, 4), (160, 128)), (Fraction(1), (160, 96))]
)
def test_a_face_in_pixels_that_are_not_square_is_as_wide_as_it_is_shown(
    tmp_path: Path, aspect: Fraction, size: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "a.mp4", [frame_with([(RED, 64, 32)])] * 2, aspect=aspect)
    decoder = Decoder(path)
    picture = Picture(next(iter(decoder)), decoder.aspect)
    assert (picture.width, picture.height) == size
    for side in (size[0], 320):
        (face,) = ColourDetector().detect(picture, side)
        left, top, right, bottom = face.box
        assert (right - left) / (bottom - top) == pytest.approx(float(aspect), rel=0.08)


def test_pixels_lie_with_the_frame(tmp_path: Path) -> None:
    path = with_matrix(write_video(tmp_path / "a.mp4", [frame_with([])] * 2, aspect=Fraction(2)), 0, 1, -1, 0)
    decoder = Decoder(path)
    picture = Picture(next(iter(decoder)), decoder.aspect)
    assert (picture.width, picture.height) == (HEIGHT, 2 * WIDTH)
    assert decoder.recording.notes == (
        "pixels are 2:1 as wide as high; frames are shown wider than stored",
        "frames are shown turned by 90 degrees clockwise",
    )


def test_pixels_that_no_camera_has_are_not_believed(tmp_path: Path) -> None:
    decoder = Decoder(write_video(tmp_path / "a.mp4", [frame_with([])] * 2, aspect=Fraction(6)))
    assert Picture(next(iter(decoder)), decoder.aspect).width == WIDTH
    assert "not believed" in decoder.recording.notes[0]


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
