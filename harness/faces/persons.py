"""Which face of each frame is the person a track is about: faces that overlap in successive frames are linked, then chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PERSONS = {
    "largest": "the largest face of each frame, whoever it is",
    "kept": "the person who fills most of the video, followed from frame to frame by where the face is",
    "left": "the person on the left, track name ending in _left",
    "right": "the person on the right, track name ending in _right",
}
DEFAULT = "largest"

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


@dataclass(frozen=True, eq=False)
class FaceTable:
    """All faces found in a video, in order of the frames.

    Attributes
    ----------
    frame : int32 (N,), 1-based.
    link : int32 (N,), the number Linker gave.
    box : float64 (N, 4): left, top, right, bottom.
    width : pixels of the picture.
    """

    frame: NDArray[np.int32]
    link: NDArray[np.int32]
    box: NDArray[np.float64]
    width: int

    @property
    def area(self) -> NDArray[np.float64]:
        """Pixels of each box (N,)."""
        return np.asarray((self.box[:, 2:] - self.box[:, :2]).prod(axis=1))

    @property
    def centre(self) -> NDArray[np.float64]:
        """Where each box lies across the picture (N,)."""
        return np.asarray(self.box[:, [0, 2]].mean(axis=1))


def suffix(person: str) -> str:
    """What Aff-Wild2 appends to the recording's name for this person of several."""
    return f"_{person}" if person in ("left", "right") else ""


def choose(person: str, faces: FaceTable) -> NDArray[np.int64]:
    """The places (S,) in the table of the person's faces, at most one per frame, in order of the frames."""
    if person == "largest":
        wanted = np.ones(len(faces.frame), dtype=bool)
    elif person == "kept":
        wanted = np.isin(faces.link, _kept_links(faces))
    else:
        left, right = _links_by_side(faces)
        wanted = np.isin(faces.link, left if person == "left" else right)
    return _largest_per_frame(faces, np.flatnonzero(wanted))


def _largest_per_frame(faces: FaceTable, places: NDArray[np.int64]) -> NDArray[np.int64]:
    order = places[np.lexsort((-faces.area[places], faces.frame[places]))]
    _, first = np.unique(faces.frame[order], return_index=True)
    return order[first]


def _kept_links(faces: FaceTable) -> list[int]:
    """The link of most pixels over the video, and before and after it those that go on at its place.

    After a gap the next link that begins where the last one ended belongs to it, however long the gap is.
    """
    if not len(faces.frame):
        return []
    links = np.unique(faces.link)
    first = {int(link): int(np.flatnonzero(faces.link == link)[0]) for link in links}
    last = {int(link): int(np.flatnonzero(faces.link == link)[-1]) for link in links}
    main = int(links[np.argmax([faces.area[faces.link == link].sum() for link in links])])
    kept = [main]
    by_start = sorted(first, key=lambda link: first[link])
    for link in by_start:
        if faces.frame[first[link]] > faces.frame[last[kept[-1]]] and _overlap(faces, first[link], last[kept[-1]]):
            kept.append(link)
    for link in sorted(last, key=lambda link: -last[link]):
        if faces.frame[last[link]] < faces.frame[first[kept[0]]] and _overlap(faces, last[link], first[kept[0]]):
            kept.insert(0, link)
    return kept


def _overlap(faces: FaceTable, one: int, other: int) -> bool:
    return bool(overlaps(faces.box[one], faces.box[other])[0, 0] >= LEAST_OVERLAP)


def _links_by_side(faces: FaceTable) -> tuple[list[int], list[int]]:
    """The links of the left and of the right person.

    Links that were in a frame together are told apart there: in most of those frames the leftmost or the rightmost face. The
    others by the line halfway between these two persons, or by the middle of the picture where nobody was ever beside another.
    """
    together = np.isin(faces.frame, _shared_frames(faces.frame))
    sides: dict[str, list[int]] = {"left": [], "right": [], "between": []}
    alone = []
    for link in np.unique(faces.link):
        of_link = faces.link == link
        shared = np.flatnonzero(of_link & together)
        if not len(shared):
            alone.append(int(link))
            continue
        places = [_place_in_frame(faces, int(place)) for place in shared]
        sides[max(sides, key=places.count)].append(int(link))
    middle = [float(np.median(faces.centre[np.isin(faces.link, sides[side])])) for side in ("left", "right") if sides[side]]
    line = float(np.mean(middle)) if len(middle) == 2 else faces.width / 2
    for link in alone:
        sides["left" if np.median(faces.centre[faces.link == link]) < line else "right"].append(link)
    return sides["left"], sides["right"]


def _shared_frames(frames: NDArray[np.int32]) -> NDArray[np.int32]:
    numbers, counts = np.unique(frames, return_counts=True)
    return numbers[counts > 1]


def _place_in_frame(faces: FaceTable, place: int) -> str:
    """Whether a face is the leftmost or the rightmost of its frame, or between others."""
    first, last = np.searchsorted(faces.frame, [faces.frame[place], faces.frame[place] + 1])
    centres = faces.centre[first:last]
    if faces.centre[place] == centres.min():
        return "left"
    return "right" if faces.centre[place] == centres.max() else "between"
