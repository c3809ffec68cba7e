"""Reads a file piece by piece in few, large reads where the pieces follow one another, and each alone where they do not."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

Read = Callable[[int, int], bytes]
"""Reads so many bytes from a position on; fewer at the end of the file."""

SMALLEST = 64 * 1024
LARGEST = 1024 * 1024
MOST_FILES = 16
"""Files of which a block is kept: with blocks of a mebibyte, a process holds at most 16 MiB."""


@dataclass(frozen=True)
class _Place:
    """Where the last piece of a file ended, and the bytes read from `start` on, which may reach beyond it."""

    end: int
    start: int
    data: bytes


class ReadAhead:
    """Pieces of many files, each read ahead of as long as its pieces are asked for in order.

    A piece that begins at most SMALLEST bytes behind the last one of its file, as when every n-th image is read, is taken for the
    next. Then a block is read, twice as large as the one before, up to LARGEST; so little is read for nothing when the order ends
    soon. A piece anywhere else is read alone.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[Hashable, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def forget(self, file: Hashable) -> None:
        """Drops what is kept of a file, which may have been replaced."""
        with self._lock:
            self._places.pop(file, None)

    def piece(self, file: Hashable, start: int, length: int, limit: int, read: Read) -> bytes:
        """`length` bytes of a file from `start` on; of what follows nothing from `limit` on is read."""
        with self._lock:
            place = self._places.get(file)
            if place is None or not (place.start <= start and start + length <= place.start + len(place.data)):
                size = length
                if place is not None and 0 <= start - place.end <= SMALLEST:
                    size = max(length, min(LARGEST, max(SMALLEST, 2 * len(place.data))))
                block = read(start, min(size, limit - start))
                # A piece that was read alone is not asked for again: where it ended is enough.
                place = _Place(start + length, start, block if size > length else b"")
                data = block[:length]
            else:
                place = replace(place, end=start + length)
                data = place.data[start - place.start : start - place.start + length]
            self._places[file] = place
            self._places.move_to_end(file)
            if len(self._places) > MOST_FILES:
                self._places.popitem(last=False)
            return data
