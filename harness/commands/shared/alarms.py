"""What a verb says of runs that may know labels they must not have seen, and of a test split that is unlike validation."""

from __future__ import annotations

from collections.abc import Sequence

from harness.commands.shared.options import say
from harness.commands.shared.scoring import Found
from harness.data.tracks import DataRoot
from harness.runs.store import Run


def say_alarms(runs: Sequence[Run], root: DataRoot, split: str) -> list[str]:
    """Says what is alarming about runs on a split, one line each, and returns it."""
    from harness.selection.alarms import alarms

    found = alarms(runs, root, split)
    for line in found:
        say(f"ALARM: {line}")
    return found


def alarms_of(found: Sequence[Found], split: str) -> list[str]:
    """What is alarming about the runs among what is scored, said and returned."""
    runs = [one.scored.run for one in found if one.scored.run is not None]
    return say_alarms(runs, found[0].root, split)


def drift_of(run: Run | None, root: DataRoot, split: str) -> list[str]:
    """In what test differs from the split without labels, as warnings; of a text nothing is known."""
    from harness.selection.drift import warnings_of

    return [] if run is None else [f"warning: {line}" for line in warnings_of(run, root, split)]
