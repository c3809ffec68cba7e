"""The 68 landmarks of the faces the embedded data set is made from, and their place in an aligned crop."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Points of the 68-point scheme (iBUG 300-W), numbered from 0. "Left" is the left of the picture.
JAW = tuple(range(17))
LEFT_BROW, RIGHT_BROW = tuple(range(17, 22)), tuple(range(22, 27))
NOSE_BRIDGE, NOSTRILS = tuple(range(27, 31)), tuple(range(31, 36))
LEFT_EYE, RIGHT_EYE = tuple(range(36, 42)), tuple(range(42, 48))
OUTER_LIPS, INNER_LIPS = tuple(range(48, 60)), tuple(range(60, 68))

# The point of the other half of the face that mirrors each point; points of the midline mirror themselves.
MIRROR = (
    *(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
    *(26, 25, 24, 23, 22, 21, 20, 19, 18, 17),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)

CROP_SIZE = 112  # pixels; the side of Aff-Wild2's aligned crops
EYE_DISTANCE = 40.0  # pixels between the eye centres of a crop; the ORL pictures just reach its edges
EYE_HEIGHT = 40.0  # pixels from the top of a crop to the eyes

LIP_GAP = 0.8  # pixels of a crop at least between the edges of closed lips, whose landmarks would else coincide

_TABLE = Path(__file__).with_name("orl_landmarks.csv")


@dataclass(frozen=True, eq=False)
class Portrait:
    """The most neutral picture of one of the 40 persons of the ORL faces.

    Attributes
    ----------
    file : its place below `ORL_faces`, for instance `s1/3.pgm`.
    landmarks : float64 (68, 2), x and y in pixels of the 92x112 picture; found with dlib's 68-point model, and set right for the
        pictures whose rows are out of place in the package (see faces.photograph).
    """

    file: str
    landmarks: NDArray[np.float64]


@cache
def portraits() -> tuple[Portrait, ...]:
    """The 40 portraits in order of the persons: for each, the picture of highest mean neutral probability of five classifiers."""
    with open(_TABLE, encoding="utf-8", newline="") as table:
        rows = list(csv.reader(table))[1:]
    return tuple(Portrait(row[0], np.array(row[2:], np.float64).reshape(68, 2)) for row in rows)


def eye_centres(landmarks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centres (x, y) of the left and the right eye of landmarks (68, 2)."""
    return landmarks[list(LEFT_EYE)].mean(axis=0), landmarks[list(RIGHT_EYE)].mean(axis=0)


def alignment(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarity (2, 3) that takes picture coordinates to crop coordinates: eyes level, centred, EYE_DISTANCE apart."""
    left, right = eye_centres(landmarks)
    across = (right - left) / np.square(right - left).sum() * EYE_DISTANCE
    turn = np.array([[across[0], across[1]], [-across[1], across[0]]])
    shift = np.array([CROP_SIZE / 2, EYE_HEIGHT]) - turn @ ((left + right) / 2)
    return np.column_stack([turn, shift])


def aligned(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks (68, 2) in pixels of the crop, the inner edges of the lips LIP_GAP apart or more."""
    similarity = alignment(landmarks)
    moved = landmarks @ similarity[:, :2].T + similarity[:, 2]
    for upper, lower in zip(INNER_LIPS[1:4], INNER_LIPS[:4:-1], strict=True):
        closer = max(0.0, LIP_GAP - (moved[lower, 1] - moved[upper, 1])) / 2
        moved[upper, 1] -= closer
        moved[lower, 1] += closer
    return np.asarray(moved)
