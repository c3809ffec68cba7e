"""Which code of one's own a recipe names, where it lies, and what its source is: without running any of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import DataError, UsageError

KEYS = ("backbone", "head", "loss", "augmentation", "model")
"""Recipe keys that may name code."""
RESERVED = ("timm", "torchvision")
"""What stands before a colon in the names of networks that libraries bring."""
ENTRY_POINTS = "abaw_harness.plugins"
SOURCE = ".py"


def is_plugin(value: Any) -> bool:
    """Whether the value of a key is `file.py:name`, `package.module:name` or `entry:NAME`."""
    place, colon, name = str(value or "").rpartition(":")
    return bool(colon and name and place) and place not in RESERVED


def located(value: str, folder: Path) -> str:
    """A value whose file is named relative to `folder` with the whole path of the file; others as they are."""
    place, _, name = value.rpartition(":")
    return f"{(folder / place).resolve()}:{name}" if place.endswith(SOURCE) else value


def place_of(value: str) -> Path | None:
    """The file of a value that names one."""
    place = value.rpartition(":")[0]
    return Path(place) if place.endswith(SOURCE) else None


def without_place(value: str) -> str:
    """A value as a run records it: a file by its name alone."""
    place, name = place_of(value), value.rpartition(":")[2]
    return value if place is None else f"{place.name}:{name}"


def sources(settings: Mapping[str, Any]) -> dict[str, str]:
    """Key -> sha256 of the source of the code that it names: of a file, or of all of the package that the module is in.

    Raises DataError for a file that is not there, UsageError for a package that is not installed.
    """
    return {key: _digest(str(settings[key]), key) for key in KEYS if is_plugin(settings.get(key))}


def _digest(value: str, key: str) -> str:
    path = place_of(value)
    if path is not None:
        if not path.is_file():
            raise DataError(
                f"the code that {key} names is not there", path=path, remedy="name it relative to the recipe's folder"
            )
        return files.sha256(path)
    module = _entry(value, key).rpartition(":")[0] if value.startswith("entry:") else value.rpartition(":")[0]
    # Of the outermost package alone: to look for a module inside of one would import it.
    top = module.partition(".")[0]
    try:
        specification = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        specification = None
    if specification is None or specification.origin is None:
        raise UsageError(
            f"{key} names a package that is not installed", found=value, expected="package.module:name or file.py:name"
        )
    folders = [Path(folder) for folder in specification.submodule_search_locations or ()]
    texts = [(str(text.relative_to(folder)), text) for folder in folders for text in folder.rglob(f"*{SOURCE}")]
    return files.sha256_of_bytes(
        "".join(f"{name} {files.sha256(text)}\n" for name, text in sorted(texts or [("", Path(specification.origin))])).encode()
    )


def _entry(value: str, key: str) -> str:
    """What an entry point stands for, as `package.module:name`."""
    wanted = value.partition(":")[2]
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == wanted:
            return entry.value
    raise UsageError(f"{key} names an entry point that no installed package has", found=wanted, expected=f"one of {ENTRY_POINTS}")
