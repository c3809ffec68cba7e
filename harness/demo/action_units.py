"""Facial action units as landmark displacements, and the expressions as sums of action units.

The one table behind the real and the drawn faces. The action units are those of the Facial Action Coding System (Ekman and
Friesen, 1978); the sums of units per expression follow its emotional reading, EMFACS. The displacements are our own: they are
sized to look natural on the ORL faces, not measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR_CLASSES
from harness.demo.landmarks import MIRROR

# fmt: off
# Action unit -> landmark of the left half or the midline -> (outward, down) in units of the distance between the eye centres.
DISPLACEMENTS: Mapping[int, Mapping[int, tuple[float, float]]] = {
    # inner brow raiser
    1: {21: (0.00, -0.20), 20: (0.00, -0.17), 19: (0.00, -0.09), 18: (0.00, -0.03)},
    # outer brow raiser
    2: {17: (0.00, -0.13), 18: (0.00, -0.18), 19: (0.00, -0.14), 20: (0.00, -0.06)},
    # brow lowerer
    4: {21: (-0.05, 0.10), 20: (-0.05, 0.10), 19: (-0.03, 0.09), 18: (-0.01, 0.06), 17: (0.00, 0.02), 27: (0.00, 0.03)},
    # upper lid raiser
    5: {37: (0.00, -0.06), 38: (0.00, -0.06)},
    # cheek raiser
    6: {40: (0.00, -0.03), 41: (0.00, -0.04), 36: (0.00, -0.01)},
    # lid tightener
    7: {37: (0.00, 0.03), 38: (0.00, 0.03), 40: (0.00, -0.03), 41: (0.00, -0.03)},
    # nose wrinkler
    9: {
        31: (0.03, -0.08), 32: (0.02, -0.08), 33: (0.00, -0.07), 30: (0.00, -0.06), 29: (0.00, -0.03),
        21: (-0.02, 0.04), 20: (-0.01, 0.03), 39: (0.00, -0.01), 40: (0.00, -0.02),
        49: (0.00, -0.06), 50: (0.00, -0.07), 51: (0.00, -0.06), 61: (0.00, -0.03), 62: (0.00, -0.03),
        66: (0.00, -0.02), 67: (0.00, -0.02),
    },
    # lip corner puller
    12: {
        48: (0.17, -0.14), 60: (0.14, -0.12), 49: (0.09, -0.06), 59: (0.09, -0.03),
        61: (0.06, -0.03), 67: (0.06, -0.01), 50: (0.03, -0.01), 58: (0.03, 0.00),
    },
    # lip corner depressor
    15: {48: (0.02, 0.11), 60: (0.02, 0.10), 59: (0.01, 0.07), 49: (0.01, 0.04), 61: (0.00, 0.01), 67: (0.00, 0.02)},
    # chin raiser
    17: {
        57: (0.00, -0.07), 58: (0.00, -0.06), 59: (0.00, -0.02), 66: (0.00, -0.04), 67: (0.00, -0.03),
        62: (0.00, -0.04), 61: (0.00, -0.03), 51: (0.00, -0.03), 50: (0.00, -0.02), 8: (0.00, -0.02), 7: (0.00, -0.01),
    },
    # lip pucker
    18: {
        48: (-0.19, 0.00), 60: (-0.17, 0.00), 49: (-0.10, -0.02), 59: (-0.10, 0.02), 61: (-0.07, 0.00), 67: (-0.07, 0.00),
        50: (-0.04, -0.04), 51: (0.00, -0.03), 58: (-0.04, 0.04), 57: (0.00, 0.04),
    },
    # lip stretcher
    20: {
        48: (0.17, 0.06), 60: (0.14, 0.06), 49: (0.08, 0.01), 59: (0.09, 0.03),
        61: (0.04, 0.00), 67: (0.06, 0.01), 50: (0.02, 0.00), 58: (0.03, 0.00),
    },
    # lip tightener
    23: {
        48: (-0.06, 0.00), 60: (-0.06, 0.00), 49: (-0.02, 0.03), 50: (0.00, 0.04), 51: (0.00, 0.04),
        59: (-0.02, -0.03), 58: (0.00, -0.06), 57: (0.00, -0.06),
    },
    # lips part
    25: {
        66: (0.00, 0.12), 67: (0.02, 0.10), 57: (0.00, 0.10), 58: (0.00, 0.09), 59: (0.00, 0.04), 8: (0.00, 0.04),
        62: (0.00, -0.03), 61: (0.01, -0.03), 51: (0.00, -0.03), 50: (0.00, -0.03),
    },
    # mouth stretch
    27: {
        66: (0.00, 0.37), 67: (0.05, 0.33), 57: (0.00, 0.39), 58: (0.03, 0.35), 59: (0.00, 0.26),
        48: (-0.07, 0.15), 60: (-0.06, 0.15), 49: (-0.04, 0.05), 62: (0.00, -0.03), 61: (0.03, -0.02),
        8: (0.00, 0.35), 7: (0.00, 0.34), 6: (0.00, 0.28), 5: (0.00, 0.18), 4: (0.00, 0.08),
    },
}
# fmt: on

# Expression -> its action units.
EXPRESSIONS: Mapping[str, tuple[int, ...]] = {
    "Neutral": (),
    "Anger": (4, 5, 7, 17, 23),
    "Disgust": (4, 9, 15, 17),
    "Fear": (1, 2, 4, 5, 20, 25),
    "Happiness": (6, 12, 25),
    "Sadness": (1, 4, 15, 17),
    "Surprise": (1, 2, 5, 27),
    "Other": (18,),
}
# Points of the outer and the inner edge of a lip that lie above each other: of the upper lip (-1), of the lower (1).
LIP_EDGES = ((50, 61, -1), (51, 62, -1), (52, 63, -1), (58, 67, 1), (57, 66, 1), (56, 65, 1))
THINNEST_LIP = 0.6  # the share of its thickness that a lip keeps when pressed


def displacement(strengths: Mapping[int, float], halves: tuple[float, float] = (1.0, 1.0)) -> NDArray[np.float64]:
    """The sum of action units, each times its strength: float64 (68, 2), x and y in units of the eye distance.

    `halves` are the widths of the left and the right half of the face as shares of their mean; a turned face shows its farther
    half narrower, and the ways to the side in it shorter. Raises KeyError for an action unit that is not in the table.
    """
    total = np.zeros((68, 2))
    left, right = halves
    for unit, strength in strengths.items():
        for point, (outward, down) in DISPLACEMENTS[unit].items():
            total[point] += strength * np.array([-outward * left, down])
            if MIRROR[point] != point:
                total[MIRROR[point]] += strength * np.array([outward * right, down])
    return total


def move(resting: NDArray[np.float64], strengths: Mapping[int, float], eye_distance: float) -> NDArray[np.float64]:
    """The landmarks `resting` (68, 2) of an upright face under action units; lips are not pressed thinner than they can be.

    The eye distance is in the unit of the landmarks.
    """
    left, middle, right = resting[[60, 62, 64], 0]
    mean = (right - left) / 2
    moved = resting + eye_distance * displacement(strengths, ((middle - left) / mean, (right - middle) / mean))
    for outer, inner, side in LIP_EDGES:
        thinnest = THINNEST_LIP * side * (resting[outer, 1] - resting[inner, 1])
        moved[outer, 1] = moved[inner, 1] + side * max(side * (moved[outer, 1] - moved[inner, 1]), thinnest)
    return moved


def strengths_of(expression: int, intensity: float) -> dict[int, float]:
    """The action units of a class of the EXPR challenge (0..7), each as strong as `intensity`."""
    return dict.fromkeys(EXPRESSIONS[EXPR_CLASSES[expression]], intensity)
