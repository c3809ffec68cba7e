"""Five landmarks to an aligned crop: a least-squares similarity onto a template, then one resampling of the picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPLATE_NAME = "ArcFace 112x96, x + 8"
TEMPLATE_SIZE = 112
TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
"""(5, 2) x, y in pixels of a 112-pixel crop: eye, eye, tip of the nose, corner, corner of the mouth, left of the picture first.

The five points of SphereFace (Liu et al., CVPR 2017) and ArcFace (Deng et al., CVPR 2019) for pictures 96 wide and 112 high,
moved 8 pixels to the right for square ones. A pixel's centre has whole coordinates.
"""

JPEG_QUALITY = 95

# Points of the 68-point scheme (iBUG 300-W), numbered from 0.
_EYES = (slice(36, 42), slice(42, 48))
_NOSE_TIP = 30
_MOUTH_CORNERS = (48, 54)

# A crop is drawn from a picture at most this many times larger than itself; a larger one is first averaged down, or pixels
# between the sampled ones would not count.
_LARGEST_REDUCTION = 2.0


def template(size: int) -> NDArray[np.float64]:
    """The template (5, 2) for a crop of `size` pixels. A crop of twice the size shows the same part of the face."""
    return np.asarray((TEMPLATE + 0.5) * (size / TEMPLATE_SIZE) - 0.5)


def five_points(landmarks: ArrayLike) -> NDArray[np.float64]:
    """The template's five points (5, 2) from the 68 landmarks (68, 2) of the iBUG scheme; an eye is its outline's mean."""
    points = np.asarray(landmarks, dtype=np.float64)
    eyes = [points[eye].mean(axis=0) for eye in _EYES]
    return np.stack([*eyes, points[_NOSE_TIP], *points[list(_MOUTH_CORNERS)]])


def similarity(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift (2, 3) that takes points (N, 2) closest to others (N, 2), in least squares.

    Never a reflection. Of points in the plane the least-squares solution (Umeyama 1991, eq. 40-42) is the complex number
    a + ib = sum(conj(source) target) / sum(|source|^2) of the centred points. Raises ValueError if the source points are one.
    """
    left, right = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    left_mean, right_mean = left.mean(axis=0), right.mean(axis=0)
    moved_left, moved_right = left - left_mean, right - right_mean
    spread = np.square(moved_left).sum()
    if not spread > 0:
        raise ValueError("a similarity needs points that differ")
    a = (moved_left * moved_right).sum() / spread
    b = (moved_left[:, 0] * moved_right[:, 1] - moved_left[:, 1] * moved_right[:, 0]).sum() / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, right_mean - turn @ left_mean])


def align(pixels: NDArray[np.uint8], landmarks: ArrayLike, size: int) -> Image:
    """The face with these five landmarks (5, 2) in a picture uint8 (H, W, 3), as one of `size` pixels; black beyond the edge.

    Coordinates are those of pixel centres.
    """
    from PIL import Image

    matrix = similarity(landmarks, template(size))
    backward = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]
    window = _window(backward, size, pixels.shape[:2])
    picture = Image.fromarray(pixels[window[1], window[0]])
    reduction = max(1, int(np.hypot(backward[0, 0], backward[1, 0]) / (_LARGEST_REDUCTION / 2)))
    if reduction > 1:
        picture = picture.reduce(reduction)
    # Pillow's coordinates count from the corner of a pixel, ours from its centre.
    turn, shift = backward[:, :2], backward[:, 2] - (window[0].start, window[1].start)
    shift = shift + 0.5 - turn @ (0.5, 0.5)
    coefficients = np.column_stack([turn, shift]) / reduction
    return picture.transform((size, size), Image.Transform.AFFINE, tuple(coefficients.ravel()), resample=Image.Resampling.BICUBIC)


def _window(backward: NDArray[np.float64], size: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Columns and rows of the picture the crop is drawn from, with a margin for resampling; never empty."""
    corners = np.array([(x, y, 1.0) for x in (0, size) for y in (0, size)]) @ backward.T
    margin = 4 * max(1.0, float(np.hypot(backward[0, 0], backward[1, 0])))
    low = np.clip(np.floor(corners.min(axis=0) - margin), 0, (shape[1] - 1, shape[0] - 1)).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0) + margin), low + 1, (shape[1], shape[0])).astype(int)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def jpeg(picture: Image) -> bytes:
    """A picture as the bytes of a JPEG file; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
