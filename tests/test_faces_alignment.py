"""Landmarks to crops: the similarity against Umeyama's own formulas, the crop against a slow loop."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from harness.faces.alignment import TEMPLATE, align, five_points, jpeg, similarity, template

coordinates = st.floats(-1000, 1000, allow_nan=False)
point_sets = st.lists(st.tuples(coordinates, coordinates), min_size=5, max_size=5).map(np.array)


def umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Umeyama 1991, eq. 40-42, in matrices: singular values of the covariance, the last sign turned against reflections."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    covariance = (target - target_mean).T @ (source - source_mean) / len(source)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = left @ np.diag(signs) @ right
    scale = (singular * signs).sum() / ((source - source_mean) ** 2).sum() * len(source)
    return np.column_stack([scale * rotation, target_mean - scale * rotation @ source_mean])


def spread(points: NDArray[np.float64]) -> float:
    return float(points.std(axis=0).max())


@given(point_sets, point_sets)
def test_the_similarity_is_umeyamas(source: NDArray[np.float64], target: NDArray[np.float64]) -> None:
    singular = np.linalg.svd((target - target.mean(0)).T @ (source - source.mean(0)), compute_uv=False)
    if spread(source) < 1 or spread(target) < 1 or singular[0] - singular[1] < 1:
        return  # nearly one point, or a covariance that leaves the rotation open
    expected = umeyama(source, target)
    error = np.abs(similarity(source, target) - expected).max()
    assert error <= 1e-6 * max(1.0, np.abs(expected).max())


@given(st.floats(-np.pi, np.pi), st.floats(0.1, 10), coordinates, coordinates, point_sets)
def test_a_moved_face_is_moved_back_exactly(angle: float, scale: float, x: float, y: float, points: NDArray[np.float64]) -> None:
    if spread(points) < 1:
        return
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = similarity(points, points @ turn.T + (x, y))
    np.testing.assert_allclose(found, np.column_stack([turn, (x, y)]), atol=1e-6)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    matrix = similarity(TEMPLATE * (-1, 1), TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_points_that_are_one_cannot_be_aligned() -> None:
    with pytest.raises(ValueError, match="differ"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_the_template_is_the_96_wide_one_moved_by_8() -> None:
    # mmcls and evoLVe print the unmoved points.
    published = [(30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)]
    np.testing.assert_allclose(template(112), np.add(published, (8, 0)), atol=1e-4)


def test_a_crop_of_twice_the_size_shows_the_same() -> None:
    np.testing.assert_allclose((template(224) + 0.5) / 2 - 0.5, template(112))


def test_five_points_of_68() -> None:
    landmarks = np.zeros((68, 2))
    landmarks[36:42] = [(10, 50), (12, 48), (16, 48), (18, 50), (16, 52), (12, 52)]
    landmarks[42:48] = [(40, 50), (42, 48), (46, 48), (48, 50), (46, 52), (42, 52)]
    landmarks[30], landmarks[48], landmarks[54] = (29, 65), (20, 80), (38, 81)
    np.testing.assert_array_equal(five_points(landmarks), [(14, 50), (44, 50), (29, 65), (20, 80), (38, 81)])


def smooth_picture(height: int, width: int) -> NDArray[np.uint8]:
    down, across = np.mgrid[:height, :width]
    channels = [128 + 100 * np.sin(across / 23 + k) * np.cos(down / 31 - k) for k in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def sampled(pixels: NDArray[np.uint8], landmarks: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The crop by a slow loop: each pixel's centre is taken back to the picture, and read there bilinearly."""
    matrix = np.vstack([umeyama(landmarks, template(size)), [0, 0, 1]])
    backward = np.linalg.inv(matrix)
    crop = np.zeros((size, size, 3))
    for row in range(size):
        for column in range(size):
            x, y, _ = backward @ (column, row, 1)
            left, top = int(np.floor(x)), int(np.floor(y))
            if 0 <= left < pixels.shape[1] - 1 and 0 <= top < pixels.shape[0] - 1:
                square = pixels[top : top + 2, left : left + 2].astype(float)
                weights = np.outer([1 - (y - top), y - top], [1 - (x - left), x - left])
                crop[row, column] = (square * weights[..., None]).sum(axis=(0, 1))
    return crop


@pytest.mark.parametrize(
    ("size", "scale", "angle"), [(112, 1.0, 0.0), (112, 0.8, 0.4), (112, 1.7, -0.3), (112, 3.1, 0.2), (224, 2.3, 0.1)]
)
def test_a_crop_is_the_picture_read_through_the_similarity(size: int, scale: float, angle: float) -> None:
    pixels = smooth_picture(600, 700)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = (TEMPLATE - 56) @ turn.T + (340, 300)
    crop = np.asarray(align(pixels, landmarks, size), dtype=float)
    expected = sampled(pixels, landmarks, size)
    assert crop.shape == (size, size, 3)
    # Whole grey levels, and the averaging of large faces, differ by little where the picture is smooth.
    assert np.abs(crop - expected)[2:-2, 2:-2].max() <= 3.0


def test_a_large_face_is_averaged_not_sampled() -> None:
    # A fine chequerboard is grey from afar; reading single pixels would give black and white.
    pixels = np.indices((1200, 1200)).sum(axis=0) % 2 * 255
    picture = np.repeat(pixels[..., None], 3, axis=2).astype(np.uint8)
    crop = np.asarray(align(picture, (TEMPLATE - 56) * 8.3 + 600, 112), dtype=float)
    assert abs(crop.mean() - 127.5) < 2
    assert crop.std() < 10


@pytest.mark.parametrize("centre", [(0, 0), (99, 5), (-300, -300), (5000, 40)])
def test_a_face_at_or_beyond_the_edge_is_black_there(centre: tuple[int, int]) -> None:
    picture = np.full((80, 100, 3), 200, np.uint8)
    crop = np.asarray(align(picture, TEMPLATE - 56 + centre, 112))
    inside = (np.arange(112) - 56 + centre[0] >= 0) & (np.arange(112) - 56 + centre[0] < 100)
    down = (np.arange(112) - 56 + centre[1] >= 0) & (np.arange(112) - 56 + centre[1] < 80)
    covered = np.outer(down, inside)
    assert (crop[~covered] <= 200).all()
    assert (crop[covered] > 0).all()
    margin = np.zeros((112, 112), bool)
    margin[4:-4, 4:-4] = ~covered[4:-4, 4:-4]
    near = np.zeros_like(covered)
    for shift in range(-3, 4):
        near |= np.roll(covered, shift, 0) | np.roll(covered, shift, 1)
    assert (crop[margin & ~near] == 0).all()


def test_the_same_crop_gives_the_same_bytes() -> None:
    picture = align(smooth_picture(200, 200), TEMPLATE + 20, 112)
    data = jpeg(picture)
    assert data == jpeg(picture)
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size, image.mode) == ("JPEG", (112, 112), "RGB")
