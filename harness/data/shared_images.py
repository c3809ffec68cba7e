"""Finds images that several tracks have in common, whatever their frame numbers: eight bytes are kept of each image."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

MOST_OWNERS = 10
"""An image that is in more tracks than this is a placeholder, as a black one, and tells nothing of where its tracks come from."""


class ImageMarks:
    """Collects a mark of each different image of a folder: the first eight bytes of its SHA-256.

    Two of the 2.7 million images of the release that differ have the same mark with a probability below one in a million.
    """

    def __init__(self) -> None:
        self._marks: set[bytes] = set()

    def add(self, data: bytes) -> None:
        """Marks the bytes of an image."""
        self._marks.add(hashlib.sha256(data).digest()[:8])

    def as_text(self) -> str:
        """All marks as text that JSON can hold."""
        return base64.b64encode(b"".join(sorted(self._marks))).decode("ascii")


def marks_of(text: str) -> NDArray[np.uint64]:
    """The marks in a text that `as_text` made, each once."""
    return np.frombuffer(base64.b64decode(text), np.uint64)


def shared_images(marks: Mapping[str, NDArray[np.uint64]]) -> Counter[tuple[str, str]]:
    """How many different images each two tracks have in common, for those that have any; names in the order of `marks`."""
    names = list(marks)
    values = np.concatenate([np.zeros(0, np.uint64), *marks.values()])
    owners = np.repeat(np.arange(len(names), dtype=np.int32), [len(one) for one in marks.values()])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]) != 0)
    sizes = np.diff(starts, append=len(values))
    several = (sizes > 1) & (sizes <= MOST_OWNERS)
    groups = zip(starts[several].tolist(), sizes[several].tolist(), strict=True)
    pairs = (itertools.combinations(owners[start : start + size].tolist(), 2) for start, size in groups)
    counts = Counter(itertools.chain.from_iterable(pairs))
    return Counter({(names[first], names[second]): count for (first, second), count in counts.items()})
