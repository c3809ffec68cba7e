"""A data root of drawn faces for unit tests: strokes for brows, eyes, nose and mouth, moved by the real ones' action units.

Takes a fraction of a second and no package but numpy for the drawing; Pillow writes the JPEG files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.demo import layout
from harness.demo.action_units import move, strengths_of
from harness.demo.landmarks import (
    CROP_SIZE,
    EYE_DISTANCE,
    EYE_HEIGHT,
    INNER_LIPS,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    NOSE_BRIDGE,
    NOSTRILS,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    aligned,
    portraits,
)
from harness.demo.performance import Gap, Performance, Role, perform
from harness.demo.pictures import expose, jpeg
from harness.demo.warp import lip_heights

FACE, HAIR, LIPS, DARK, BACKGROUND = 190, 70, 120, 40, 100  # grey levels
NOISE = 4  # grey levels


def drawn_roles(
    tracks: tuple[int, int, int] = (4, 4, 4), rows: int = 30, rates: tuple[float, float] = (30.0, 12.5)
) -> list[Role]:
    """The cast of a drawn data root: `tracks` of train, val and test, no person in two splits.

    With three tracks or more in a split: train's first three have a leading, a trailing and an interior gap; val's first two are
    `video2_left` and `video2_right` of one recording, the third has an interior gap; test's have a leading, a trailing and a
    total gap. Any further track is whole. Rows grow by one from track to track, so that no two tracks have the same number by
    chance; only the pair shares it. Recordings alternate between the two frame rates.
    """
    gaps = {
        "train": (Gap.LEADING, Gap.TRAILING, Gap.INTERIOR),
        "val": (Gap.NONE, Gap.NONE, Gap.INTERIOR),
        "test": (Gap.LEADING, Gap.TRAILING, Gap.TOTAL),
    }
    roles: list[Role] = []
    for split, count in zip(gaps, tracks, strict=True):
        for place in range(count):
            number = len(roles)
            pair = split == "val" and count >= 2 and place < 2
            first = number - place if pair else number  # the number that both tracks of the pair go by
            recording = "video2" if pair else f"{number + 3}-30-640x360" if number % 3 else f"video{number + 3}"
            roles.append(
                Role(
                    track=f"{recording}_{'left' if place == 0 else 'right'}" if pair else recording,
                    recording=recording,
                    split=split,
                    person=number % len(portraits()),
                    rows=rows + first,
                    frame_rate=rates[first % 2],
                    gap=gaps[split][place] if place < 3 and count >= 3 else Gap.NONE,
                    acts=max(1, rows // 12),
                )
            )
    return roles


def write_drawn_root(
    path: str | Path,
    seed: int = 0,
    tracks: tuple[int, int, int] = (4, 4, 4),
    rows: int = 30,
    rates: tuple[float, float] = (30.0, 12.5),
    roles: Sequence[Role] | None = None,
    other_challenges: bool = False,
) -> Path:
    """Writes a small, complete data root of drawn faces in the official layout of the 5th edition.

    The same arguments give the same bytes.

    Parameters
    ----------
    path : the folder to make or to replace.
    seed : of expressions, head, light and noise.
    tracks : number of tracks of train, val and test.
    rows : frames of the first track; each further one has one more (see `drawn_roles`).
    rates : the two frame rates, frames per second.
    other_challenges : whether labels, lists and samples of VA, AU and MTL stand beside those of EXPR.
    roles : the cast itself, instead of `tracks`, `rows` and `rates`, for a test that needs particular names, lengths or gaps.

    Returns
    -------
    `path`, which then holds `cropped_aligned/<track>/00001.jpg` (112x112),
    `5th_ABAW_Annotations/EXPR_Classification_Challenge/{Train_Set,Validation_Set}/<track>.txt` with some -1 lines, the names file
    and the sample file of the test split, `frame_rates.csv`, and `test_labels/<track>.txt`, which is no split.
    The default has 12 tracks and about 370 images: gaps at the start, at the end, inside and of a whole test track (an empty
    folder), one `_left`/`_right` pair in val, two frame rates, and every class in every split.
    """
    cast = drawn_roles(tracks, rows, rates) if roles is None else roles
    with files.writing_directory(path) as root:
        performances = perform(cast, seed)
        layout.write(root, performances, _pictures)
        if other_challenges:
            layout.write_other_challenges(root, performances)
    return Path(path)


def _pictures(performance: Performance) -> layout.Pictures:
    rng = np.random.default_rng(performance.noise_seed)
    neutral = aligned(portraits()[performance.role.person].landmarks)
    known: dict[tuple[int, float], NDArray[np.uint8]] = {}
    for row in np.flatnonzero(performance.seen):
        state = (int(performance.expression[row]), float(performance.intensity[row]))
        if state not in known:
            known[state] = draw_face(move(neutral, strengths_of(*state), EYE_DISTANCE))
        moved = np.roll(known[state], np.round(performance.shift[row]).astype(int)[::-1], axis=(0, 1))
        yield int(row) + 1, jpeg(expose(moved, int(performance.light[row]), NOISE, rng))


def draw_face(landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A grey picture (112, 112) of a face with these landmarks (68, 2) in pixels."""
    canvas = np.full((CROP_SIZE, CROP_SIZE), float(BACKGROUND))
    _oval(canvas, landmarks)
    for points, width, level in (
        (LEFT_BROW, 1.6, HAIR),
        (RIGHT_BROW, 1.6, HAIR),
        (NOSE_BRIDGE, 0.8, LIPS),
        (NOSTRILS, 0.9, LIPS),
        ((*LEFT_EYE, LEFT_EYE[0]), 0.8, DARK),
        ((*RIGHT_EYE, RIGHT_EYE[0]), 0.8, DARK),
    ):
        _stroke(canvas, landmarks[list(points)], width, level)
    for eye in (LEFT_EYE, RIGHT_EYE):
        _stroke(canvas, np.repeat(landmarks[list(eye)].mean(axis=0, keepdims=True), 2, axis=0), 1.8, DARK)
    _mouth(canvas, landmarks)
    return np.asarray(np.round(canvas), np.uint8)


def _oval(canvas: NDArray[np.float64], landmarks: NDArray[np.float64]) -> None:
    """The face: as wide as the jaw and from the chin to as far above the eyes."""
    jaw = landmarks[list(JAW)]
    chin = jaw[:, 1].max()
    centre_x, centre_y = (jaw[0, 0] + jaw[16, 0]) / 2, EYE_HEIGHT
    down, across = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
    distance = np.hypot((across - centre_x) / ((jaw[16, 0] - jaw[0, 0]) / 2), (down - centre_y) / (chin - centre_y))
    canvas += (FACE - canvas) * np.clip((1 - distance) * 30, 0, 1)


def _stroke(canvas: NDArray[np.float64], points: NDArray[np.float64], width: float, level: float) -> None:
    """Draws the line through points (N, 2), `width` pixels to each side, with soft edges; touches only the pixels around it."""
    window, positions = _around(canvas, points, width)
    start, end = points[:-1, None, None], points[1:, None, None]
    along = end - start
    share = ((positions - start) * along).sum(-1) / np.maximum(np.square(along).sum(-1), 1e-9)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    distance = np.sqrt(np.square(positions - nearest).sum(-1)).min(axis=0)
    canvas[window] += (level - canvas[window]) * np.clip(width + 0.5 - distance, 0, 1)


def _mouth(canvas: NDArray[np.float64], landmarks: NDArray[np.float64]) -> None:
    """Lips, and darkness where they part."""
    for points, level in ((OUTER_LIPS, LIPS), (INNER_LIPS, DARK)):
        outline = landmarks[list(points)]
        window, positions = _around(canvas, outline, 1.0)
        upper, lower, between = lip_heights(outline, positions[..., 0])
        covered = np.clip(np.minimum(positions[..., 1] - upper, lower - positions[..., 1]) + 0.5, 0, 1) * between
        canvas[window] += (level - canvas[window]) * covered


def _around(
    canvas: NDArray[np.float64], points: NDArray[np.float64], margin: float
) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """The part of the canvas around points (N, 2), and the positions (h, w, 2) of its pixels."""
    low = np.clip(np.floor(points.min(axis=0) - margin - 1).astype(int), 0, canvas.shape[0] - 1)
    high = np.clip(np.ceil(points.max(axis=0) + margin + 2).astype(int), 1, canvas.shape[0])
    down, across = np.mgrid[low[1] : high[1], low[0] : high[0]]
    return (slice(low[1], high[1]), slice(low[0], high[0])), np.stack([across, down], axis=-1).astype(np.float64)
