"""Where facial points lie in an aligned crop, and along which axes muscles move them.

The points are the 68 of the iBUG 300-W scheme: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, lips 48-67.
"""

from __future__ import annotations

import math

TEMPLATE_SIDE = 112.0
"""Side in pixels of the crop that TEMPLATE is measured in."""

# fmt: off
TEMPLATE = (
    (14.3, 55.1), (14.9, 65.5), (16.1, 75.7), (18.1, 85.8), (21.6, 95.4), (27.6, 103.9), (35.6, 110.8), (44.9, 116.1),
    (56.0, 117.4), (67.1, 116.1), (76.4, 110.8), (84.4, 103.9), (90.4, 95.4), (93.9, 85.8), (95.9, 75.7), (97.1, 65.5),
    (97.7, 55.1), (21.3, 48.4), (26.3, 43.2), (33.9, 41.3), (41.9, 42.0), (49.5, 44.7), (62.5, 44.7), (70.1, 42.0),
    (78.1, 41.3), (85.7, 43.2), (90.7, 48.4), (56.0, 51.8), (56.0, 58.4), (56.0, 64.9), (56.0, 71.6), (47.4, 76.9),
    (51.5, 78.3), (56.0, 79.5), (60.5, 78.3), (64.6, 76.9), (30.2, 54.0), (34.6, 51.5), (39.9, 51.4), (44.9, 54.4),
    (39.8, 55.3), (34.5, 55.5), (67.1, 54.4), (72.1, 51.4), (77.4, 51.5), (81.8, 54.0), (77.5, 55.5), (72.2, 55.3),
    (39.4, 90.3), (45.7, 88.1), (51.7, 86.8), (56.0, 87.8), (60.3, 86.8), (66.3, 88.1), (72.6, 90.3), (66.5, 94.9),
    (60.6, 97.0), (56.0, 97.4), (51.4, 97.0), (45.5, 94.9), (41.9, 90.5), (51.6, 90.0), (56.0, 90.5), (60.4, 90.0),
    (70.1, 90.5), (60.5, 91.9), (56.0, 92.5), (51.5, 91.9),
)
# fmt: on
"""x and y of each point in a crop of 112 pixels aligned by eyes, nose and mouth corners to ArcFace's five points: the mean of the
400 ORL faces (AT&T Laboratories Cambridge; points by dlib), made symmetric. A point varies by about 2 pixels between people."""

MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
"""Number of the point on the other side of the face, for each point."""


def _axis(degrees: float) -> tuple[float, float]:
    """A direction in the image by its angle above the outward horizontal on the face's left half (smaller x)."""
    return -math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))


_LEFT_AXES = {
    # Brows: frontalis lifts them; corrugator draws the inner ends down and inward.
    **dict.fromkeys((17, 18, 19), _axis(90)),
    **dict.fromkeys((20, 21), _axis(65)),
    # Lids: levator palpebrae and orbicularis oculi open and close the eye.
    **dict.fromkeys((36, 37, 38, 39, 40, 41), _axis(90)),
    # Wings of the nose: levator labii superioris alaeque nasi.
    31: _axis(80),
    # Corners of the mouth: zygomaticus major draws them out and up, its opposite is depressor anguli oris.
    **dict.fromkeys((48, 60), _axis(40)),
    # Lips: levator labii superioris, orbicularis oris, depressor labii inferioris, mentalis.
    **dict.fromkeys((49, 50, 59, 58, 61, 67), _axis(90)),
    # Chin: the jaw drops.
    7: _axis(90),
}
_MIDDLE_AXES = dict.fromkeys((8, 51, 57, 62, 66), _axis(90))
_RIGHT_AXES = {MIRROR[point]: (-x, y) for point, (x, y) in _LEFT_AXES.items()}

MUSCLE_AXES = dict(sorted({**_LEFT_AXES, **_MIDDLE_AXES, **_RIGHT_AXES}.items()))
"""Point that muscles move -> unit vector of its motion (x to the right, y down), one way or the opposite. After the muscular
basis of the Facial Action Coding System (Ekman and Friesen 1978); coarse, our reading of "simulating muscle movements"."""

RIGID = (0, 1, 15, 16, 27, 28, 29, 30, 33)
"""Points that no muscle moves: where the jaw hangs, and the nose down its middle."""
