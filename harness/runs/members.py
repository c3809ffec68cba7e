"""What a run is made of: the members of an ensemble, the folds of a cross-validation, the runs whose features it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.runs.store import Run


def member_names(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the runs that a manifest says its run is made of: ensembles name them with their weights, folds alone."""
    members = manifest.get("members")
    if not isinstance(members, list):
        return ()
    named = [member.get("run") if isinstance(member, Mapping) else member for member in members]
    return tuple(name for name in named if isinstance(name, str) and name)


def feature_names(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the runs whose features a temporal model was trained on."""
    sets = manifest.get("features")
    named = [entry.get("run") for entry in sets if isinstance(entry, Mapping)] if isinstance(sets, list) else []
    return tuple(name for name in named if isinstance(name, str) and name)


def family(run: Run, but: Callable[[Run], bool] = lambda run: False) -> list[Run]:
    """`run` and every run it is made of, each once, as far as they are still beside it.

    What `but` is true for is left out with all that it is made of.
    """
    found: dict[str, Run] = {}
    waiting = [run]
    while waiting:
        one = waiting.pop(0)
        if one.name in found or not one.manifest_path.is_file() or but(one):
            continue
        found[one.name] = one
        waiting += [Run(run.path.parent / name) for name in (*member_names(one.manifest), *feature_names(one.manifest))]
    return list(found.values())
