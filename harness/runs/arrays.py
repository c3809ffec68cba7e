"""Arrays in npy and npz files that may be damaged or hostile: no pickles, and one kind of error whatever is wrong."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, HarnessError
from harness.findings import printable

LOCAL_HEADER = 30
"""Bytes of a zip member's local header before its name (APPNOTE.TXT, section 4.3.7); two lengths stand at its end."""
LONGEST_HEAD = 65_536
"""Bytes of the head of an npy file; what np.save writes has some hundred."""
ROWS_AT_ONCE = 4096


def unpack(path: Path, source: Path | IO[bytes], only: str | None = None) -> dict[str, NDArray[Any]]:
    """All arrays of the npz file `source` by name, or the `only` one; `path` is what errors name.

    Raises DataError for anything that is no such file.
    """
    try:
        with np.load(source, allow_pickle=False) as loaded:
            found = {name: loaded[name] for name in (loaded.files if only is None else [only])}
            # A member whose head is damaged is handed over as bytes.
            strange = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
            if strange:
                raise ValueError(f"the member {printable(strange[0])!r} is not an array")
            return found
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error


def not_arrays(
    path: Path,
    error: Exception,
    said: str = "this is not an npz file that can be read",
    expected: str = "arrays saved by np.savez",
) -> HarnessError:
    """What to raise for an error of libraries that read files, which let out whatever their parsers and inflaters raise."""
    if isinstance(error, HarnessError):
        return error
    return DataError(f"{said}: {_reason(error)}", path=path, expected=expected)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def announced(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type in the head of an npy file. Raises ValueError if it has none that can be."""
    try:
        shape, fortran, dtype = _head(handle)
    except Exception as error:  # NumPy reads a head as Python, which lets out whatever its parser raises
        raise ValueError(_reason(error)) from error
    if any(length < 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    return shape, fortran, dtype


def _head(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(handle)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(handle)
    if version != (2, 0):
        raise ValueError(f"npy format {version}")
    # NumPy would read as much as the head says it has, up to 4 GiB, before it looks at how long that is.
    length = handle.read(4)
    if int.from_bytes(length, "little") > LONGEST_HEAD:
        raise ValueError(f"a head of {int.from_bytes(length, 'little'):,} bytes")
    return np.lib.format.read_array_header_2_0(io.BytesIO(length + handle.read(int.from_bytes(length, "little"))))


def name_blocks(path: Path, name: str) -> Iterator[NDArray[np.str_]]:
    """The array `name` (N,) of text in an npz file, so many rows at a time."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        shape, _, dtype = announced(member)
        for start in range(0, shape[0], ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, shape[0] - start)
            data = member.read(count * dtype.itemsize)
            if len(data) < count * dtype.itemsize:
                raise DataError(f"the array {printable(name)!r} ends too early", path=path)
            yield np.frombuffer(data, dtype)


def joined_names(path: Path, blocks: Iterable[NDArray[np.str_]], longest: int) -> NDArray[np.str_]:
    """The names (N,) in blocks of text, as wide as the longest of them, however wide the blocks are.

    Raises DataError for a name of more than `longest` characters, which would make all of them as wide.
    """
    narrow, row = [np.empty(0, "<U1")], 0
    for block in blocks:
        lengths = np.char.str_len(block)
        if lengths.max(initial=0) > longest:
            place = int(np.argmax(lengths > longest))
            raise DataError(
                f"row {row + place + 1}: a name longer than any track's",
                path=path,
                found=f"{printable(str(block[place])[:40])!r}, {lengths[place]:,} characters",
                expected=f"at most {longest}",
            )
        narrow.append(block.astype(f"<U{max(1, int(lengths.max(initial=0)))}"))
        row += len(block)
    return np.concatenate(narrow)


@dataclass(frozen=True)
class StoredArray:
    """An array (N, ...) in an npz file written without compression, whose rows are read where they lie; no file stays open.

    Attributes
    ----------
    path : of the npz file.
    version : inode, size and time of change of the file that was looked at; another one is never taken for it.
    offset : of the first row in it, in bytes.
    shape, dtype : of the array.
    """

    path: Path
    version: tuple[int, int, int]
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, first: int, last: int) -> NDArray[Any]:
        """The rows first..last-1, see `read_into`."""
        rows = np.empty((last - first, *self.shape[1:]), self.dtype)
        self.read_into(first, rows)
        return rows

    def read_into(self, first: int, rows: NDArray[Any]) -> None:
        """Fills `rows` (n, ...), of this type and in C order, with those from `first` on, in one reading.

        Raises DataError if the file has been changed, or cannot be read.
        """
        if not rows.size:
            return
        try:
            with open(self.path, "rb", buffering=0) as handle:
                unchanged = _version(os.fstat(handle.fileno())) == self.version
                handle.seek(self.offset + first * (rows.nbytes // len(rows)))
                read = handle.readinto(rows.data.cast("B")) if unchanged else 0
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path=self.path) from error
        if read != rows.nbytes:
            raise DataError("the file was changed while it was read", path=self.path, remedy="run the command again")


def stored_arrays(path: Path, names: Sequence[str]) -> list[StoredArray]:
    """Where the arrays of these names lie in an npz file. Raises DataError naming the file if it is no such file."""
    try:
        with open(path, "rb") as handle:
            with zipfile.ZipFile(handle) as archive:
                entries = [archive.getinfo(f"{name}.npy") for name in names]
            return [_stored_array(path, handle, entry) for entry in entries]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"the arrays {', '.join(names)} cannot be read: {error}", path=path) from error


def _stored_array(path: Path, handle: IO[bytes], entry: zipfile.ZipInfo) -> StoredArray:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed")
    handle.seek(entry.header_offset)
    head = handle.read(LOCAL_HEADER)
    handle.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
    shape, fortran, dtype = announced(handle)
    if dtype.hasobject or fortran or not shape:
        raise ValueError(f"{dtype} {shape} in Fortran order: {fortran}")
    status = os.fstat(handle.fileno())
    if handle.tell() + math.prod(shape) * dtype.itemsize > status.st_size:
        raise ValueError(f"{dtype} {shape} is more than there is")
    return StoredArray(path, _version(status), handle.tell(), shape, dtype)


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
