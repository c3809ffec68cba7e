"""The program as a user calls it, within the test's own process."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli import main


def harness(*arguments: str | Path) -> int:
    """Runs `harness` with these arguments; returns its exit code."""
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    return int(caught.value.code or 0)
