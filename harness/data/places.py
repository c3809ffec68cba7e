"""Where the program keeps what it makes of a data root."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

FOLDER = ".harness-cache"
CACHE_VARIABLE = "HARNESS_CACHE"


def is_writable(root: Path) -> bool:
    """Whether a data root is to be written to. A folder whose mode lets nobody write is left alone even where this user could."""
    try:
        return os.access(root, os.W_OK) and bool(stat.S_IMODE(os.stat(root).st_mode) & 0o222)
    except OSError:
        return False


def folder_for(root: Path) -> Path:
    """The folder for scan cache and packed crops: inside the root, or in the user's cache folder if it is not to be written to.

    HARNESS_CACHE names another folder, as on a faster disk, for all data roots.
    """
    own = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).absolute() / own
    if is_writable(root):
        return root / FOLDER
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return place / "abaw-harness" / own
