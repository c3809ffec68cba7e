"""What happens in each track of a made data set: which expression when and how strong, head, light, labels and gaps.

Nothing here draws a picture. The drawn and the real faces follow the same performances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR, EXPR_CLASSES

LEVELS = 16  # intensities are multiples of 1/16, so that a face of one expression and intensity is made once
NEUTRAL = EXPR_CLASSES.index("Neutral")
# A frame bears the name of its act from this share of the act's own peak on. What comes, goes or lies between two acts is not
# labelled, as annotators leave out what they cannot decide.
CLEAR = 0.5


class Gap(Enum):
    """Where a track has frames without a face."""

    NONE = "none"
    LEADING = "leading"
    TRAILING = "trailing"
    INTERIOR = "interior"
    TOTAL = "total"


@dataclass(frozen=True)
class Role:
    """One track to be made.

    Attributes
    ----------
    track, recording : names; both persons of a recording share the second.
    split : "train", "val" or "test".
    person : number of the face, from 0.
    rows : frames of the recording.
    frame_rate : frames per second.
    gap : where frames have no face.
    acts : how many expressions follow each other.
    """

    track: str
    recording: str
    split: str
    person: int
    rows: int
    frame_rate: float
    gap: Gap = Gap.NONE
    acts: int = 3


@dataclass(frozen=True, eq=False)
class Performance:
    """A role, frame by frame.

    Attributes
    ----------
    expression : int8 (rows,), the class acted or coming and going.
    intensity : float64 (rows,), 0 (neutral) to 1, a multiple of 1/LEVELS.
    labels : int8 (rows,), class or -1.
    seen : bool (rows,), False where there is no image.
    shift : float64 (rows, 2), the head's way to the right and down in pixels, a multiple of 1/8.
    roll : float64 (rows,), clockwise turn of the head in degrees, a multiple of 1/16.
    zoom : float64 (rows,), size of the head over its mean size, a multiple of 1/512.
    light : int32 (rows,), brightness in 1/256 of the picture's own.
    noise_seed : int, the seed of the noise of the camera.
    """

    role: Role
    expression: NDArray[np.int8]
    intensity: NDArray[np.float64]
    labels: NDArray[np.int8]
    seen: NDArray[np.bool_]
    shift: NDArray[np.float64]
    roll: NDArray[np.float64]
    zoom: NDArray[np.float64]
    light: NDArray[np.int32]
    noise_seed: int


def perform(roles: Sequence[Role], seed: int) -> list[Performance]:
    """The performances of all roles, a function of the roles and the seed.

    Every split goes through the eight classes in turn, so each is acted as often as the others; to act Neutral is to rest for
    that time.
    """
    performances = []
    decks: dict[str, list[int]] = {}
    for number, role in enumerate(roles):
        rng = np.random.default_rng([seed, number])
        deck = decks.setdefault(role.split, [])
        while len(deck) < role.acts:
            deck.extend(rng.permutation(len(EXPR_CLASSES)).tolist())
        performances.append(_perform(role, [deck.pop(0) for _ in range(role.acts)], rng))
    return performances


def _perform(role: Role, acts: list[int], rng: np.random.Generator) -> Performance:
    expression, intensity, labels = _play(role.rows, acts, rng)
    return Performance(
        role=role,
        expression=expression,
        intensity=intensity,
        labels=labels,
        seen=_seen(role.rows, role.gap, rng),
        shift=np.round(8 * np.column_stack([_motion(role.rows, 2.5, 1.5, rng), _motion(role.rows, 2.5, 1.5, rng)])) / 8,
        roll=np.round(16 * _motion(role.rows, 4.0, 2.0, rng)) / 16,
        zoom=1 + np.round(512 * _motion(role.rows, 0.03, 0.03, rng)) / 512,
        light=np.round(256 * (1 + 0.15 * _drift(role.rows, rng))).astype(np.int32),
        noise_seed=int(rng.integers(2**31)),
    )


def _play(rows: int, acts: list[int], rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.int8]]:
    """Expression, intensity and label of each frame: rest, onset, apex, offset for one act after the other."""
    expression = np.full(rows, NEUTRAL, np.int8)
    intensity = np.zeros(rows)
    labels = np.full(rows, EXPR.ignore_label, np.int8)
    starts = np.linspace(0, rows, len(acts) + 1).astype(int)
    for act, start, end in zip(acts, starts[:-1], starts[1:], strict=True):
        envelope = _envelope(end - start, rng)
        peak = 0.75 + 0.25 * rng.random()
        labels[start:end][envelope >= CLEAR] = act
        if act != NEUTRAL:
            expression[start:end] = act
            intensity[start:end] = np.round(envelope * peak * LEVELS) / LEVELS
    expression[intensity == 0] = NEUTRAL
    return expression, intensity, labels


def _envelope(length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Strength (length,) of one act, 0 to 1: rest, quick onset, long apex, slower offset, rest; smooth at both ramps."""
    rest, onset, offset = 0.04 + 0.06 * rng.random(), 0.08 + 0.06 * rng.random(), 0.12 + 0.08 * rng.random()
    moment = (np.arange(length) + 0.5) / length
    ramp = np.clip(np.minimum((moment - rest) / onset, (1 - rest / 2 - moment) / offset), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def _motion(rows: int, drift: float, tremble: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The head's slow drift (rows,) and, anew in every frame, the error of the face detector; each at most so large."""
    return drift * _drift(rows, rng) + tremble * (rng.random(rows) + rng.random(rows) - 1)


def _drift(rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A slow smooth way (rows,) between -1 and 1: two waves of 40 to 120 frames."""
    moment = np.arange(rows)
    periods, phases = 40 + 80 * rng.random(2), 2 * np.pi * rng.random(2)
    return np.asarray(
        (np.sin(2 * np.pi * moment / periods[0] + phases[0]) + np.sin(2 * np.pi * moment / periods[1] + phases[1])) / 2
    )


def _seen(rows: int, gap: Gap, rng: np.random.Generator) -> NDArray[np.bool_]:
    seen = np.ones(rows, bool)
    length = max(2, int(rows * (0.10 + 0.10 * rng.random())))
    start = int(rng.integers(rows // 4, max(rows // 4 + 1, rows * 3 // 4 - length)))
    if gap is Gap.LEADING:
        seen[:length] = False
    elif gap is Gap.TRAILING:
        seen[rows - length :] = False
    elif gap is Gap.INTERIOR:
        seen[start : start + length] = False
        seen[rng.integers(1, rows - 1)] = False  # and a single frame somewhere else
    elif gap is Gap.TOTAL:
        seen[:] = False
    return seen
