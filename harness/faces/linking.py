"""Links the faces of successive frames that overlap, so that a person who stays in the picture has one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_OVERLAP = 0.3
"""Intersection over union of two boxes of one person in successive frames."""

PATIENCE = 15
"""Frames a face may be lost before a new one at its place counts as another link."""


def overlaps(boxes: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union (N, M) of boxes (N, 4) and others (M, 4), each left, top, right, bottom."""
    left = np.asarray(boxes, dtype=np.float64).reshape(-1, 1, 4)
    right = np.asarray(others, dtype=np.float64).reshape(1, -1, 4)
    sides = np.minimum(left[..., 2:], right[..., 2:]) - np.maximum(left[..., :2], right[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    union = (left[..., 2:] - left[..., :2]).prod(axis=-1) + (right[..., 2:] - right[..., :2]).prod(axis=-1) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


class Linker:
    """Gives each face of each frame the number of its link; frames come in order."""

    def __init__(self) -> None:
        self._count = 0
        self._last: dict[int, tuple[int, NDArray[np.float64]]] = {}  # link -> last frame and box

    def link(self, frame: int, boxes: NDArray[np.float64]) -> list[int]:
        """The link of each of `boxes` (N, 4): the best overlaps are taken first, what is left over begins a link."""
        self._last = {link: seen for link, seen in self._last.items() if frame - seen[0] <= PATIENCE}
        known = list(self._last)
        links: list[int | None] = [None] * len(boxes)
        shares = overlaps(boxes, [self._last[link][1] for link in known]) if known else np.zeros((len(boxes), 0))
        for place in np.argsort(-shares, axis=None, kind="stable"):
            face, link = divmod(int(place), len(known))
            if shares[face, link] >= LEAST_OVERLAP and links[face] is None and known[link] not in links:
                links[face] = known[link]
        numbers = []
        for face, found in enumerate(links):
            if found is None:
                found = self._count
                self._count += 1
            numbers.append(found)
            self._last[found] = (frame, boxes[face])
        return numbers
