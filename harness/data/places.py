"""Where the program keeps what it makes of a data root."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
import stat
from pathlib import Path

from harness import files
from harness.errors import HarnessError

FOLDER = ".harness-cache"
CACHE_VARIABLE = "HARNESS_CACHE"
KEY_BYTES = 32


def is_writable(root: Path) -> bool:
    """Whether a data root is to be written to. A folder whose mode lets nobody write is left alone even where this user could."""
    try:
        return os.access(root, os.W_OK) and bool(stat.S_IMODE(os.stat(root).st_mode) & 0o222)
    except OSError:
        return False


def folder_for(root: Path) -> Path:
    """The folder for scan cache and packed crops: inside the root, or in the user's cache folder if it is not to be written to.

    Its name is known to this user alone, so that what came with a data root from others is not taken for it. HARNESS_CACHE names
    another folder, as on a faster disk, for all data roots; whoever can write there is trusted. A link of that name in the root
    is not followed: it came with the data, and what is written through it would lie elsewhere.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).absolute() / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = Path(home).absolute() / "abaw-harness"
    own = hashlib.sha256(_secret(place / "key") + os.fsencode(root)).hexdigest()[:32]
    return root / FOLDER / own if is_writable(root) and not (root / FOLDER).is_symlink() else place / own


@functools.cache
def _secret(path: Path) -> bytes:
    """Random bytes that this user keeps; others for this process alone where none can be kept, so that nothing is found again."""
    with contextlib.suppress(HarnessError):
        return files.read_bytes(path, KEY_BYTES)
    fresh = secrets.token_bytes(KEY_BYTES)
    with contextlib.suppress(HarnessError):
        files.write_bytes(path, fresh)
    return fresh
