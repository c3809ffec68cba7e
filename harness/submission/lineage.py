"""Where the scores behind a submission come from: the run, what it is made of, and what each of these was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import files
from harness.runs import scores
from harness.runs.members import feature_names, member_names
from harness.runs.store import Run

# What run.json says of a run's making; absent where the kind of run has no such thing.
NAMED = ("kind", "seed", "data", "weights", "source", "sha256", "versions", "git_commit")


def lineage(run: Run, split: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """A run as plain values, with the runs it is made of or sees features of inside, down to trained models and imported files.

    `manifest` is the sha256 of the part of run.json that is a function of the inputs, `checkpoint` that of the weights which
    scored the split. A member that is gone is named as such. `above` are the runs around it, which none may name again.
    """
    if not run.manifest_path.is_file():
        return {"name": run.name, "found": False}
    manifest = run.manifest
    found: dict[str, Any] = {
        "name": run.name,
        "manifest": run_digest(run),
        "checkpoint": scores.read_index(run, split).checkpoint if split in run.splits() else None,
        **{key: manifest[key] for key in NAMED if key in manifest},
    }
    inside = [name for name in member_names(manifest) if name not in (*above, run.name)]
    if inside:
        shares = {member["run"]: member for member in manifest["members"] if isinstance(member, Mapping)}
        found["members"] = [
            {**_share(shares.get(name, {})), **lineage(Run(run.path.parent / name), split, (*above, run.name))} for name in inside
        ]
    sources = [name for name in feature_names(manifest) if name not in (*above, run.name)]
    if sources:
        found["features"] = [lineage(Run(run.path.parent / name), split, (*above, run.name)) for name in sources]
    return found


def _share(member: Mapping[str, Any]) -> dict[str, Any]:
    """What an ensemble does with a member."""
    return {key: member[key] for key in ("weight", "temperature", "flip") if key in member}


def run_digest(run: Run) -> str:
    """sha256 of the part of run.json that is a function of the inputs."""
    manifest = {key: value for key, value in run.manifest.items() if key != "where"}
    return files.sha256_of_bytes(files.json_text(manifest).encode())
