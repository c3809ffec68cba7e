"""metrics.jsonl: the figures of each step, cut back to the checkpoint when a run goes on; times go to timings.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness import files
from harness.errors import DataError
from harness.runs.store import Run

if TYPE_CHECKING:
    from harness.training.trackers import Trackers

LARGEST_LOG = 1024**3


class MetricsLog:
    """Appends figures to a run's metrics.jsonl and timings.jsonl, and tells them to `trackers`."""

    def __init__(self, run: Run, trackers: Trackers | None = None) -> None:
        self.trackers = trackers
        self.metrics = run.path / "metrics.jsonl"
        self.timings = run.path / "timings.jsonl"

    def cut_back(self, step: int) -> None:
        """Drops all that was noted after `step` steps were done, and a last line that a crash cut short."""
        for path in (self.metrics, self.timings):
            if not path.exists():
                continue
            kept = []
            for line in files.read_bytes(path, LARGEST_LOG).splitlines(keepends=True):
                try:
                    if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                        kept.append(line)
                except (ValueError, KeyError, TypeError):
                    continue
            files.write_bytes(path, b"".join(kept))

    def sync(self) -> None:
        """Waits until all figures are on the disk: a checkpoint must not be there without those of its steps."""
        files.sync(self.metrics)

    def note(self, step: int, figures: Mapping[str, float]) -> None:
        """Notes figures that are functions of the run's inputs."""
        files.append_line(self.metrics, json.dumps({"step": step, **figures}, sort_keys=True, allow_nan=False))
        if self.trackers is not None:
            self.trackers.log(step, figures)

    def time(self, step: int, figures: Mapping[str, float]) -> None:
        """Notes times and rates, which differ from machine to machine."""
        rounded = {name: round(value, 4) for name, value in figures.items() if math.isfinite(value)}
        files.append_line(self.timings, json.dumps({"step": step, **rounded}, sort_keys=True))
        if self.trackers is not None:
            self.trackers.log(step, rounded)


def read(run: Run) -> list[dict[str, Any]]:
    """All lines of a run's metrics.jsonl, without a last part of a line. Raises DataError for a damaged line."""
    path = run.path / "metrics.jsonl"
    if not path.exists():
        return []
    lines = []
    for number, line in enumerate(files.read_bytes(path, LARGEST_LOG).splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            break
        try:
            lines.append(json.loads(line))
        except ValueError as error:
            raise DataError("not a line of metrics", path=path, line=number) from error
    return lines
