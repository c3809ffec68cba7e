"""Packed crops: the image files of one track one after the other in one file, so that a network disk sees one file per track.

Layout, integers little-endian: the bytes of the images in the order of their frames; the index, for each image its frame number
(int32), where it ends (int64) and its CRC-32 (uint32); a trailer with the number of images (int64), the SHA-256 of the index and
the eight bytes of MAGIC. The file's name holds the size and modification time of the folder it was made of: a folder that has
changed since has another name, and its packed file is not found any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import struct
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import files
from harness.data.cache import SETTLED_NS, kind_of_crops
from harness.data.disk import stat_of, version_of
from harness.data.listing import Listing
from harness.data.places import folder_for
from harness.errors import DataError

MAGIC = b"ABAWPK01"
STAMP = ".images"
"""Instead of `.crops`: the file that says which images a packed file was made of."""
LONGEST_STAMP = 64
LARGEST_IMAGE_FILE = 32 * 1024 * 1024
"""A 224-pixel crop has some 20 kB; a file beyond this is no crop, and is refused before anything decodes it."""

_ENTRY = np.dtype([("frame", "<i4"), ("end", "<i8"), ("crc", "<u4")])
_TRAILER = struct.Struct("<q32s8s")
_NAME = re.compile(r"(?P<track>.+)\.(?P<size>\d+)\.(?P<time>\d+)\.crops")
# Images read ahead while a track is packed: more than a few would fill the memory for nothing.
_READ_AHEAD = 256
_THREADS = 16


def folder_of_packed(root: Path, crops: str) -> Path:
    """Where the packed files of a data root lie."""
    return folder_for(root) / f"crops-{kind_of_crops(crops)}"


def packed_name(track_name: str, directory: Path) -> str:
    """The name of the packed file of a folder as it is now."""
    status = stat_of(directory)
    return f"{track_name}.{status.st_size}.{status.st_mtime_ns}.crops"


def list_packed(folder: Path) -> dict[str, str]:
    """The packed files in a folder: the track of each file name. Empty if there is no such folder."""
    try:
        names = os.listdir(folder)
    except OSError:
        return {}
    return {match[0]: match["track"] for match in map(_NAME.fullmatch, names) if match}


def pack(directory: Path, listing: Listing, target: Path) -> int:
    """Packs the images of a folder; returns their bytes. Raises DataError for an image that cannot be read, writing nothing."""

    def read(frame: int) -> bytes:
        return files.read_bytes(directory / listing.name_of(frame), LARGEST_IMAGE_FILE)

    index = np.zeros(len(listing.frames), _ENTRY)
    index["frame"] = listing.frames
    position = 0
    with files.writing(target) as handle, ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(index), _READ_AHEAD):
            part = listing.frames[start : start + _READ_AHEAD].tolist()
            for offset, data in enumerate(pool.map(read, part)):
                handle.write(data)
                position += len(data)
                index["end"][start + offset] = position
                index["crc"][start + offset] = zlib.crc32(data)
        table = index.tobytes()
        handle.write(table)
        handle.write(_TRAILER.pack(len(index), hashlib.sha256(table).digest(), MAGIC))
    return position


class PackedFile:
    """A packed file: its index is read when it is opened, images one by one, as the system reads ahead by itself.

    Raises DataError naming the file if it is not a whole packed file, and, on reading, if an image's bytes have changed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = _descriptors.open_again(path)
        size = os.fstat(descriptor).st_size
        trailer = os.pread(descriptor, _TRAILER.size, max(0, size - _TRAILER.size))
        if len(trailer) < _TRAILER.size:
            raise self._damaged("it is too short")
        count, digest, magic = _TRAILER.unpack(trailer)
        start = size - _TRAILER.size - count * _ENTRY.itemsize
        if magic != MAGIC or count < 0 or start < 0:
            raise self._damaged("its end is missing")
        table = os.pread(descriptor, count * _ENTRY.itemsize, start)
        if hashlib.sha256(table).digest() != digest:
            raise self._damaged("its index has changed")
        self._index = np.frombuffer(table, _ENTRY)
        self.frames = self._index["frame"]
        if (self._index["end"][-1] if count else 0) != start:
            raise self._damaged("images are missing")

    def read(self, frame: int) -> bytes:
        """The bytes of one image."""
        position = int(np.searchsorted(self.frames, frame))
        if position == len(self.frames) or self.frames[position] != frame:
            raise DataError(f"there is no frame {frame} in the packed crops", path=self.path, remedy=_REMEDY)
        start = int(self._index["end"][position - 1]) if position else 0
        data = _descriptors.read(self.path, start, int(self._index["end"][position]) - start)
        if zlib.crc32(data) != int(self._index["crc"][position]):
            raise self._damaged(f"the bytes of frame {frame} have changed")
        return data

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"the packed crops are damaged: {reason}", path=self.path, remedy=_REMEDY)


_REMEDY = "make them again: harness doctor DATA --pack --verify"


class _Descriptors:
    """Files open for reading, the least recently used closed when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, int] = OrderedDict()

    def open_again(self, path: Path) -> int:
        """A new descriptor of a file that may have been replaced; it may be closed as soon as another file is opened."""
        with self._lock:
            if path in self._open:
                os.close(self._open.pop(path))
            return self._get(path)

    def read(self, path: Path, start: int, length: int) -> bytes:
        """Bytes of a file. Positioned reads, so that processes that share the descriptor do not disturb each other."""
        with self._lock:
            return os.pread(self._get(path), length, start)

    def _get(self, path: Path) -> int:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        try:
            descriptor = files.open_descriptor(path)
        except OSError as error:
            raise DataError(f"cannot read the packed crops: {error.strerror}", path=path, remedy=_REMEDY) from error
        self._open[path] = descriptor
        if len(self._open) > self._most:
            os.close(self._open.popitem(last=False)[1])
        return descriptor


# Half of what a process may open, usually 512: the 317 labelled tracks of the official release stay open.
_descriptors = _Descriptors(max(16, min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)))
_files: dict[Path, PackedFile] = {}


def packed_bytes(path: Path, frame: int) -> bytes:
    """The bytes of one image of a packed file; the index of a file is read once in a process."""
    if path not in _files:
        _files[path] = PackedFile(path)
    return _files[path].read(frame)


@dataclass(frozen=True)
class Packing:
    """What pack_root did with one track: "packed", "kept", or "compared" with its images; and the bytes of the images."""

    track: str
    done: str
    size: int


def pack_root(
    root: Path, crops: str, folders: dict[str, tuple[Path, Listing]], verify: bool, note: Callable[[str], None]
) -> Iterator[Packing]:
    """Packs each folder that has images and no fresh packed file, and removes packed files that are not fresh.

    One whose images were written over since, or with `verify` every one, is compared with the images and made again where it
    differs; `note` is told so. Raises LockedError if another process packs.
    """
    with _locked(root, crops) as place:
        files.remove_temporaries(place)
        fresh = {packed_name(name, directory) for name, (directory, _) in folders.items()}
        for file_name in list_packed(place).keys() - fresh:
            files.remove(place / file_name)
            files.remove((place / file_name).with_suffix(STAMP))
        for name, (directory, listing) in folders.items():
            if len(listing.frames):
                yield _pack_folder(place, name, directory, listing, verify, note)


def remove_packed(root: Path, crops: str) -> Path:
    """Removes all that is packed of a folder of crops; returns where it lay. Raises LockedError if another process packs."""
    place = folder_of_packed(root, crops)
    if place.is_dir():
        with _locked(root, crops):
            files.remove(place)
    return place


@contextlib.contextmanager
def _locked(root: Path, crops: str) -> Iterator[Path]:
    """The folder of packed files, for one who packs or removes: a packed file and its stamp must be of the same images."""
    place = files.make_directory(folder_of_packed(root, crops))
    with files.lock(place / ".lock", f"what is packed of {crops!r}"):
        yield place


def _pack_folder(place: Path, name: str, directory: Path, listing: Listing, verify: bool, note: Callable[[str], None]) -> Packing:
    target = place / packed_name(name, directory)
    stamp = _images_stamp(directory, listing)
    if target.exists():
        if not verify and _packed_of(target) == stamp:
            return Packing(name, "kept", target.stat().st_size)
        fault = _difference(target, directory, listing)
        if not fault:
            files.write_bytes(target.with_suffix(STAMP), stamp)
            return Packing(name, "compared", target.stat().st_size)
        note(f"{name}: {fault}; packed again")
    _wait_until_settled(directory)
    target = place / packed_name(name, directory)
    size = pack(directory, listing, target)
    if target.name != packed_name(name, directory):
        files.remove(target)
        raise DataError("the folder changed while it was packed", path=directory, remedy="run the same command again")
    files.write_bytes(target.with_suffix(STAMP), stamp)
    _files.pop(target, None)
    return Packing(name, "packed", size)


def _images_stamp(directory: Path, listing: Listing) -> bytes:
    """Names, sizes, times and inodes of the images: an image that is written over in place leaves its folder as it was."""
    digest = hashlib.sha256()
    for frame in listing.frames.tolist():
        name = listing.name_of(frame)
        digest.update(f"{name} {version_of(stat_of(directory / name))}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest().encode("ascii")


def _packed_of(target: Path) -> bytes | None:
    """The stamp of the images that a packed file was made of or compared with, None if it is not known."""
    try:
        return files.read_bytes(target.with_suffix(STAMP), LONGEST_STAMP)
    except DataError:
        return None


def _wait_until_settled(directory: Path) -> None:
    """Waits until a folder is older than two seconds: a younger one may change again without showing it by its time."""
    age = time.time_ns() - stat_of(directory).st_mtime_ns
    if 0 <= age < SETTLED_NS:
        time.sleep((SETTLED_NS - age) / 1e9)


def _difference(target: Path, directory: Path, listing: Listing) -> str:
    """In what a packed file differs from the images of its folder; "" if in nothing."""
    try:
        packed = PackedFile(target)
        if not np.array_equal(packed.frames, listing.frames):
            return "other frames"
        for frame in listing.frames.tolist():
            if packed.read(frame) != files.read_bytes(directory / listing.name_of(frame), LARGEST_IMAGE_FILE):
                return f"other bytes in frame {frame}"
    except DataError as error:
        return error.problem
    return ""
