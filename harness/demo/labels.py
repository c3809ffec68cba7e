"""Labels of the other challenges for a performance: valence and arousal, and action units. Functions of what is acted.

Units are exact by construction, for the faces are moved by them. Valence and arousal are an expression's place on the circumplex
times its strength.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR_CLASSES, UNITS, VA
from harness.demo.action_units import EXPRESSIONS
from harness.demo.performance import Performance

# Mean pleasure and arousal of "happy", "angry", "disgusted", "fearful", "sad" and "surprised" as rated by students: Russell and
# Mehrabian (1977), Evidence for a three-factor theory of emotions, Journal of Research in Personality 11, 273-294. A pucker,
# which is "Other" here, has no place there and stays unlabelled.
CIRCUMPLEX: Mapping[str, tuple[float, float]] = {
    "Neutral": (0.0, 0.0),
    "Anger": (-0.51, 0.59),
    "Disgust": (-0.60, 0.35),
    "Fear": (-0.64, 0.60),
    "Happiness": (0.81, 0.51),
    "Sadness": (-0.63, -0.27),
    "Surprise": (0.40, 0.67),
}
VISIBLE = 0.25
"""Strength from which a unit counts as active: a quarter of its full displacement."""
DECIMALS = 3
NOT_LABELLED = float(VA.ignore_label)


def affect_of(performance: Performance) -> NDArray[np.float64]:
    """Valence and arousal (rows, 2) in -1..1; both -5 where an expression without a place on the circumplex is acted."""
    places = np.array([CIRCUMPLEX.get(name, (np.nan, np.nan)) for name in EXPR_CLASSES])
    resting = performance.intensity[:, None] == 0
    values = np.where(resting, 0.0, places[performance.expression] * performance.intensity[:, None])
    return np.where(np.isnan(values), NOT_LABELLED, np.round(values, DECIMALS) + 0.0)


def units_of(performance: Performance) -> NDArray[np.int8]:
    """Which of the competition's twelve action units are active, (rows, 12) of 0 and 1."""
    active = np.array([[int(unit.removeprefix("AU")) in EXPRESSIONS[name] for unit in UNITS] for name in EXPR_CLASSES])
    return (active[performance.expression] & (performance.intensity[:, None] >= VISIBLE)).astype(np.int8)


def affect_lines(performance: Performance) -> list[str]:
    """Valence and arousal of each frame as an annotation file has them."""
    return [f"{valence:.3f},{arousal:.3f}" if valence != NOT_LABELLED else "-5,-5" for valence, arousal in affect_of(performance)]


def unit_lines(performance: Performance) -> list[str]:
    """The units of each frame as an annotation file has them."""
    return [",".join(map(str, units)) for units in units_of(performance).tolist()]
