"""Rows of figures that are kept as they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Rows:
    """Rows of figures, one JSON object a line: written as soon as they are known, never computed again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text() if path.exists() else ""
        self.all: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def find(self, **key: Any) -> dict[str, Any] | None:
        """The row with these values, None if it is not known yet."""
        return next((row for row in self.all if all(row.get(name) == value for name, value in key.items())), None)

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Keeps a row; the file is replaced as a whole."""
        self.all.append(row)
        beside = self.path.with_suffix(".part")
        beside.write_text("".join(json.dumps(known) + "\n" for known in self.all))
        beside.replace(self.path)
        return row
