"""Where the scores behind a submission come from: the run, what it is made of, and what each of these was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness import files
from harness.data.tracks import OUT_OF_FOLD
from harness.runs import scores
from harness.runs.members import feature_names, member_names
from harness.runs.store import Run

# What run.json says of a run's making; absent where the kind of run has no such thing.
NAMED = ("kind", "challenge", "seed", "data", "weights", "source", "sha256", "versions", "git_commit")


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


def is_unchanged(run: Run, split: str, told: Mapping[str, Any]) -> bool:
    """Whether a run, and the models of a cross-validation, are those that `told`, the lineage of scores of the split, names.

    What a lineage does not say is not compared: one that is only a name fits every run of that name.
    """
    if told.get("found") is False:
        return False
    checkpoint = scores.read_index(run, split).checkpoint if split in run.splits() else None
    if told.get("manifest", run_digest(run)) != run_digest(run) or told.get("checkpoint", checkpoint) != checkpoint:
        return False
    # The scores of an ensemble's members stand in its run.json, those of folds do not.
    folds = told.get("members", []) if told.get("kind") == "crossval" else []
    members = {fold["name"]: Run(run.path.parent / fold["name"]) for fold in folds}
    return all(
        members[fold["name"]].manifest_path.is_file() and is_unchanged(members[fold["name"]], split, fold) for fold in folds
    )


def scored_otherwise(run: Run, split: str, other: str) -> list[str]:
    """The names of the models, `run` itself or members of it, whose scores of two splits were not made alike.

    That is, by other checkpoints or settings. Scores that no checkpoint made, and models without one of the splits, are passed
    over.
    """
    found = []
    for model, own in models_of(run, split):
        if {own, other} <= set(model.splits()):
            first, second = scores.read_index(model, own), scores.read_index(model, other)
            if None not in (first.checkpoint, second.checkpoint) and first.made_by(_OF_THE_SPLIT) != second.made_by(
                _OF_THE_SPLIT
            ):
                found.append(model.name)
    return list(dict.fromkeys(found))


# What says nothing of how scores were made: images at a time, and the frame rates of this split's own tracks.
_OF_THE_SPLIT = ("batch", "frame_rates")


def models_of(run: Run, split: str, above: tuple[str, ...] = ()) -> Iterator[tuple[Run, str]]:
    """A run and its members, as far as they are still beside it, each with the name under which it has the split's scores."""
    if not run.manifest_path.is_file():
        return
    yield run, split
    manifest = run.manifest
    by_folds = manifest.get("kind") == "crossval" and split == OUT_OF_FOLD
    for number, name in enumerate(member_names(manifest)):
        if name not in (*above, run.name):
            member = Run(run.path.parent / name)
            yield from models_of(member, f"fold-{number}" if by_folds else split, (*above, run.name))


def run_digest(run: Run) -> str:
    """sha256 of the part of run.json that is a function of the inputs."""
    manifest = {key: value for key, value in run.manifest.items() if key != "where"}
    return files.sha256_of_bytes(files.json_text(manifest).encode())
