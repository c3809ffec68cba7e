"""A table of the runs below a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import DataError
from harness.runs import checkpoints, store
from harness.runs.store import Run


@dataclass(frozen=True)
class RunRow:
    """One run: its kind, what it is made of, the steps done, the last and best validation score while training, its splits."""

    name: str
    kind: str
    about: str
    steps: int | None
    last: float | None
    best: float | None
    splits: tuple[str, ...]
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The row as plain values."""
        return asdict(self)


def overview() -> list[RunRow]:
    """One row for each run below runs/. A damaged run is a row that says so."""
    return [_row(run) for run in store.every()]


def _row(run: Run) -> RunRow:
    try:
        steps, last, best = _progress(run)
        return RunRow(run.name, run.manifest.get("kind", "unknown"), _about(run), steps, last, best, run.splits())
    except DataError as error:
        return RunRow(run.name, "damaged", "", None, None, None, (), fault=str(error).splitlines()[0])


def _about(run: Run) -> str:
    manifest = run.manifest
    try:
        if manifest.get("kind") == "ensemble":
            return " + ".join(f"{member['weight']:.2f} {member['run']}" for member in run.part("members"))
        if manifest.get("features"):
            recipe, sources = run.part("recipe"), " + ".join(entry["run"] for entry in manifest["features"])
            return f"{recipe['model']} on features of {sources}, {recipe['window']:g} s, seed {recipe['seed']}"
        if manifest.get("kind") in ("training", "crossval"):
            recipe = run.part("recipe")
            folds = f"{len(run.part('members'))} folds of " if manifest["kind"] == "crossval" else ""
            return f"{folds}{recipe['backbone']}, {recipe['image_size']} px, seed {recipe['seed']}"
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a part of the run's manifest lacks {error}", path=run.manifest_path) from error
    return str(manifest.get("source", ""))


def _progress(run: Run) -> tuple[int | None, float | None, float | None]:
    """Steps, last and best metric from the manifests of the checkpoints, which are not verified here."""
    rated = []
    for path in checkpoints.folders(run):
        try:
            rated.append(checkpoints.read_manifest(path))
        except DataError:
            continue
    if not rated:
        return None, None, None
    metrics = [checkpoint.metric for checkpoint in rated if checkpoint.metric is not None]
    return rated[-1].step, rated[-1].metric, max(metrics, default=None)


def table(rows: Sequence[RunRow]) -> str:
    """The rows as aligned text."""
    cells = [("run", "kind", "steps", "last F1", "best F1", "splits", "about")]
    for row in rows:
        cells.append(
            (
                row.name,
                row.kind,
                "-" if row.steps is None else str(row.steps),
                "-" if row.last is None else f"{row.last:.4f}",
                "-" if row.best is None else f"{row.best:.4f}",
                ",".join(row.splits) or "-",
                row.fault or row.about,
            )
        )
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells)
