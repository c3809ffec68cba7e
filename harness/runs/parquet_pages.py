"""What the pages of a Parquet file take unpacked, by the head of each: the words of the file's foot bind no page.

Source: parquet.thrift of apache/parquet-format (PageHeader) and the compact protocol of Apache Thrift.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
"""Types of pages; another is passed over by who reads the column."""
_HEADS = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}
"""The field of a page's head that is about its values, by its type."""
_ENCODING = {_DATA: 2, _DICTIONARY: 2, _DATA_2: 4}
SHARES_BEGINNINGS = 7
"""The encoding DELTA_BYTE_ARRAY: a text says how much of the one before it begins it, so that few bytes become many."""
BESIDE_PAGE = 32
"""Bytes that a page counts beside what is in it."""
SMALLEST_ENTRY = 4
"""Bytes of the smallest entry of a dictionary: a number, or the length of a text."""
_DEEPEST = 8
_LARGEST_HEAD = 64 * 1024


def bytes_of_pages(file: IO[bytes], start: int, values: int) -> Iterator[int]:
    """How many bytes each page of a column chunk takes, those that hold `values` values from the place `start` of `file`.

    Raises ValueError for a head that is none, and for an encoding by which a page says nothing of what its texts take.
    """
    file.seek(start)
    while values > 0:
        head = _Compact(file).struct()
        kind, unpacked, packed = (_whole(head.get(field)) for field in (1, 2, 3))
        inside = head.get(_HEADS.get(kind, 0), {})
        if kind in _HEADS:
            if not isinstance(inside, dict):
                raise ValueError("the head of a page has a number where it tells of its values")
            count = _whole(inside.get(1))
            if inside.get(_ENCODING[kind]) == SHARES_BEGINNINGS:
                raise ValueError("texts in the encoding DELTA_BYTE_ARRAY; write the file with dictionaries")
            values -= count if kind != _DICTIONARY else 0
            yield BESIDE_PAGE + max(unpacked, packed, count * SMALLEST_ENTRY if kind == _DICTIONARY else 0)
        file.seek(packed, io.SEEK_CUR)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("the head of a page lacks a number")
    return value


class _Compact:
    """A struct of Thrift's compact protocol: its numbers of 32 bits and the structs in it, by the numbers of their fields."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _LARGEST_HEAD

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of the struct that begins here."""
        found: dict[int, Any] = {}
        number = 0
        while kind := (byte := self._byte()) & 15:
            number = number + (byte >> 4) if byte >> 4 else self._zigzag()
            value = None if kind in (1, 2) else self._value(kind, depth)
            if kind in (5, 12):  # a field of another kind is passed over by who reads the column, too
                found[number] = value
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("the head of a page is too deep")
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._zigzag()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                byte = self._byte()
                return [self._value(byte & 15, depth + 1) for _ in range(byte >> 4 if byte >> 4 < 15 else self._varint())]
            case 12:
                return self.struct(depth + 1)
        raise ValueError(f"the head of a page holds a value of the unknown kind {kind}")

    def _bytes(self, count: int) -> bytes:
        self._left -= count
        data = self._file.read(count) if self._left >= 0 else b""
        if len(data) < count:
            raise ValueError("the head of a page does not end")
        return data

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("the head of a page holds a number of more than ten bytes")

    def _zigzag(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)
