"""Arrays in npy and npz files that may be damaged or hostile: no pickles, and one kind of error whatever is wrong."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, HarnessError
from harness.findings import printable

LOCAL_HEADER = 30
"""Bytes of a zip member's local header before its name (APPNOTE.TXT, section 4.3.7); two lengths stand at its end."""


def unpack(path: Path, source: Path | IO[bytes]) -> dict[str, NDArray[Any]]:
    """All arrays of the npz file `source` by name; `path` is what errors name. Raises DataError for anything that is none."""
    try:
        with np.load(source, allow_pickle=False) as loaded:
            found = {name: loaded[name] for name in loaded.files}
            # A member whose head is damaged is handed over as bytes.
            strange = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
            if strange:
                raise ValueError(f"the member {printable(strange[0])!r} is no array")
            return found
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except Exception as error:
        raise not_arrays(path, error) from error


def not_arrays(path: Path, error: Exception) -> HarnessError:
    """What to raise for an error of NumPy's and zipfile's readers, which let out whatever their parsers and inflaters raise."""
    if isinstance(error, HarnessError):
        return error
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"not an npz file without pickles, or a damaged one: {reason}", path=path, expected="arrays saved by np.savez"
    )


def announced(handle: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and type in the head of an npy file. Raises ValueError if it has none."""
    version = np.lib.format.read_magic(handle)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy format {version}")
    return read(handle)


def mapped(path: Path, name: str) -> NDArray[Any]:
    """The array `name` of an npz file written without compression, mapped into memory: pages are read when they are looked at.

    Raises DataError naming the file if it is no such file.
    """
    try:
        with open(path, "rb") as handle:
            with zipfile.ZipFile(handle) as archive:
                entry = archive.getinfo(f"{name}.npy")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError("compressed")
            handle.seek(entry.header_offset)
            head = handle.read(LOCAL_HEADER)
            handle.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
            shape, fortran, dtype = announced(handle)
            if dtype.hasobject or fortran:
                raise ValueError(f"{dtype} in Fortran order: {fortran}")
            if 0 in shape:
                return np.empty(shape, dtype)
            return np.memmap(path, dtype, "r", handle.tell(), shape)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"the array {name!r} cannot be mapped: {error}", path=path) from error
