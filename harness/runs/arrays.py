"""Arrays in npz files that may be damaged or hostile: no pickles, and one kind of error whatever is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, HarnessError
from harness.findings import printable


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
