"""What a run is made of: its members or the runs whose features it sees, what each learned from, and all of it as provenance."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.data.tracks import OUT_OF_FOLD
from harness.errors import DataError, MismatchError
from harness.runs import checkpoints, scores
from harness.runs.remedies import scoring_remedy
from harness.runs.store import Run, adding

# What run.json says of a run's making; absent where the kind of run has no such thing.
NAMED = ("kind", "challenge", "seed", "data", "weights", "source", "sha256", "versions", "git_commit")


# So many splits beside the one that was answered may have come to an ensemble since: train, val, oof, and those mirrored.
MOST_SPLITS = 8


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


def is_unchanged(run: Run, split: str, known: Mapping[str, Any]) -> bool:
    """Whether a run, and the models of a cross-validation, are those that `known`, the lineage of scores of the split, names.

    What a lineage does not say is not compared: one that is only a name fits every run of that name. An ensemble that has grown
    by further splits since is still the same.
    """
    if known.get("found") is False:
        return False
    checkpoint = scores.read_index(run, split).checkpoint if split in run.splits() else None
    if known.get("checkpoint", checkpoint) != checkpoint:
        return False
    if "manifest" in known and known["manifest"] not in (
        _digest_of(manifest) for manifest in _before_growing(run.manifest, split)
    ):
        return False
    # The scores of an ensemble's members stand in its run.json, those of folds do not.
    folds = known.get("members", []) if known.get("kind") == "crossval" else []
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
    return _digest_of(run.manifest)


@contextlib.contextmanager
def adding_to(run: Run, version: str, meanwhile: str) -> Iterator[None]:
    """For who adds to a run (store.adding) what was made of it when its run_digest was `version`.

    Raises MismatchError if the run was written anew `meanwhile`, which is told in words.
    """
    with adding(run):
        if run_digest(run) != version:
            raise MismatchError(
                f"the run {run.name!r} was rewritten while {meanwhile}", path=run.path, remedy="run the same command again"
            )
        yield


def _digest_of(manifest: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in manifest.items() if key != "where"}
    return files.sha256_of_bytes(files.json_text(kept).encode("utf-8", "surrogatepass"))


def of_splits(manifest: Mapping[str, Any], splits: Collection[str]) -> dict[str, Any]:
    """An ensemble's manifest as it would be if its members held no other splits."""
    members = [
        {**member, "scores": {split: digest for split, digest in member["scores"].items() if split in splits}}
        for member in manifest["members"]
    ]
    return {**manifest, "members": members}


def _before_growing(manifest: Mapping[str, Any], split: str) -> Iterator[dict[str, Any]]:
    """A manifest, and of an ensemble those that it may have had with fewer splits, `split` among them."""
    yield dict(manifest)
    members = manifest.get("members")
    if manifest.get("kind") != "ensemble" or not isinstance(members, list):
        return
    held = [
        set(member["scores"]) for member in members if isinstance(member, Mapping) and isinstance(member.get("scores"), Mapping)
    ]
    if len(held) < len(members) or not held:
        return
    others = sorted(set.intersection(*held) - {split})[:MOST_SPLITS]
    for count in range(len(others)):
        for some in itertools.combinations(others, count):
            yield of_splits(manifest, {split, *some})


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


def learned_from(run: Run, split: str) -> list[str]:
    """The names of the trained runs, `run` itself, members of it or those whose features it sees, that learned from a split.

    Those that are no longer beside the run are passed over. A cross-validation scores each track out of fold, with a model
    that never saw its recording; but features that were learned from all tracks have seen it (harness.studies.learned_features).
    """
    wanted = {"train", "val"} if split == OUT_OF_FOLD else {split}
    models = family(run, but=lambda one: split == OUT_OF_FOLD and one.manifest.get("kind") == "crossval")
    manifests = {model.name: model.manifest for model in models}
    found = [
        name
        for name, manifest in manifests.items()
        if manifest.get("kind") == "training" and wanted & set(manifest.get("data", {}).get("splits", []))
    ]
    seen = [name for one in family(run) for name in one.manifest.get("features_learned", [])] if split == OUT_OF_FOLD else []
    return list(dict.fromkeys([*found, *seen]))


def outdated(run: Run, split: str, above: tuple[str, ...] = ()) -> list[str]:
    """What has changed since a split was scored, a sentence each: the checkpoints of the run or of its folds, averaged scores.

    A run without any checkpoint folder says nothing of itself, nor does a member that is gone or one of the runs `above`.
    """
    if not run.manifest_path.is_file() or split not in run.splits():
        return []
    index, manifest = scores.read_index(run, split), run.manifest
    made_by = [(run, index.checkpoint)]
    if manifest.get("kind") == "crossval":  # whose scores name the checkpoints of its folds, in their order
        folds = [Run(run.path.parent / name) for name in member_names(manifest)]
        made_by += zip(folds, index.settings.get("checkpoints", []), strict=False)
    found = [
        f"the scores of {split!r} of {run.name} are of an older checkpoint, which {_itself(model, run)} no longer has"
        for model, checkpoint in made_by
        if checkpoint is not None and (folders := checkpoints.folders(model)) and checkpoint not in _digests(folders)
    ]
    members = manifest.get("members")
    for member in members if isinstance(members, list) else []:
        if isinstance(member, Mapping) and split in member.get("scores", {}):
            source = Run(run.path.parent / str(member.get("run")))
            if source.name not in (*above, run.name) and source.manifest_path.is_file() and split in source.splits():
                if scores.tracks_digest(scores.read_index(source, split)) != member["scores"][split]:
                    found.append(f"{source.name} has other scores of {split!r} than when {run.name} averaged them")
                found += outdated(source, split, (*above, run.name))
    return found


def _itself(model: Run, run: Run) -> str:
    return "the run" if model == run else model.name


def refuse_outdated(run: Run, split: str) -> None:
    """Raises MismatchError if something has changed since a split was scored; asked before its scores are sent or averaged."""
    found = outdated(run, split)
    if found:
        remedy = scoring_remedy(run, split, fresh=True)
        raise MismatchError("the scores are not of what the run is now", found="; ".join(found), path=run.path, remedy=remedy)


def _digests(folders: Sequence[Path]) -> set[str]:
    """The digests of the checkpoints in these folders, as far as their manifests can be read."""
    found = set()
    for folder in folders:
        with contextlib.suppress(DataError):
            found.add(checkpoints.read_manifest(folder).digest)
    return found
