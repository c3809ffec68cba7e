"""Rows of figures that are kept as they come."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any


class Rows:
    """Rows of figures, one JSON object a line: written as soon as they are known, never computed again.

    Several processes can share a file, each with rows of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: list[dict[str, Any]] = self._read()

    def find(self, **key: Any) -> dict[str, Any] | None:
        """The row with these values, None if it is not known yet."""
        return next((row for row in self.all if all(row.get(name) == value for name, value in key.items())), None)

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Keeps a row beside all that were kept meanwhile; the file is replaced as a whole."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.all = [*self._read(), row]
            beside = self.path.with_suffix(".part")
            beside.write_text("".join(json.dumps(known) + "\n" for known in self.all))
            beside.replace(self.path)
        finally:
            os.close(folder)
        return row

    def _read(self) -> list[dict[str, Any]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]
