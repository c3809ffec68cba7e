"""What each benchmark is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import Clock


@dataclass(frozen=True)
class Bench:
    """An empty folder to work in, how many rounds to make, the clock they are measured by, and where the peers are installed."""

    folder: Path
    rounds: int
    clock: Clock
    peers: Path | None = None
