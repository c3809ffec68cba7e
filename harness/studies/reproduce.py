"""Makes a run again from its run.json, in a second place, and compares what came out byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import files
from harness.data.tracks import DataRoot
from harness.errors import DataError, MismatchError, UsageError
from harness.inference.network import recipe_of, temporal_recipe_of
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.recipes.places import completed, with_code
from harness.recipes.pretraining import PretrainingRecipe
from harness.recipes.recipe import Recipe
from harness.recipes.starting import BACKBONE
from harness.runs import checkpoints, scores, store
from harness.runs.scores import FLIPPED
from harness.runs.store import Run
from harness.selection.ensemble import Member, ensemble
from harness.selection.stored import stored_settings
from harness.studies.table1 import InterruptedTrainingError
from harness.training.loop import TrainingOutcome
from harness.training.network import initial_backbone, initial_weights
from harness.training.pretrain import pretrain, refuse_earlier_objective
from harness.training.start import train
from harness.training.start_temporal import train_temporal
from harness.training.state import MODEL
from harness.training.training_data import TrainingData

METRICS = "metrics.jsonl"
SPLITS = ("train", "val", "test")
"""Splits that are predicted again; others, as out-of-fold scores, are put together of several runs."""


@dataclass(frozen=True)
class ComparedPart:
    """A part of a run: its name, and whether both have it with the same bytes."""

    name: str
    equal: bool


@dataclass(frozen=True)
class Reproduction:
    """A run made again: the run, its parts compared, and what differs in the code and versions that made them."""

    again: Run
    parts: tuple[ComparedPart, ...]
    surroundings: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether every part has the same bytes."""
        return all(part.equal for part in self.parts)


def reproduce(
    run: Run, root: DataRoot, path: Path, data: TrainingData | None, *, workers: int, say: Callable[[str], None]
) -> Reproduction:
    """Makes `run` again at `path` and compares weights, metrics and scores; goes on where an earlier call stopped.

    `data` is what a training with labels learned from. The splits that the run has scores of are predicted with its settings.

    Raises UsageError for a run that was not made here, MismatchError naming what differs if the data, the weights it started from
    or the members it averages are not those of the run, DataError for a training that is not done, and InterruptedTrainingError
    if a signal ended a training.
    """
    manifest = run.manifest
    kind = manifest.get("kind")
    if kind == "ensemble":
        again, _ = ensemble(_members(run), path, bool(manifest.get("union")), False, stored_settings(run, untuned=True))
    elif kind == "pretraining":
        _refuse_unfinished(run)
        _refuse_other_data(run, root)
        again = _done(_pretrained(run, root, path, workers, say))
    elif kind == "training" and data is not None:
        _refuse_unfinished(run)
        _refuse_other_data(run, root)
        _refuse_other_extra(run, data)
        again = _done(_trained(run, root, path, data, workers, say))
        for split in run.splits():
            if split.removesuffix(FLIPPED) in SPLITS:
                _predict(run, again, root, split, workers, say)
    else:
        raise UsageError(
            f"a run of the kind {kind!r} cannot be made again from its run.json",
            found=run.name,
            expected="a training, a pre-training or an ensemble",
            remedy="reproduce the fold models of a cross-validation one by one; import a file again with `harness import`",
        )
    return Reproduction(again, tuple(_compare(run, again)), tuple(_surroundings(manifest, again.manifest)))


def _done(made: tuple[Run, TrainingOutcome]) -> Run:
    run, outcome = made
    if outcome.exit_code is not None:
        raise InterruptedTrainingError(outcome.exit_code)
    return run


def _refuse_unfinished(run: Run) -> None:
    """Raises DataError for a run whose last checkpoint has not all steps of its recipe: made again it would have more of them."""
    wanted = run.part("recipe").get("iterations")
    last = checkpoints.last(run, lambda error: None)
    made = last is None and (bool(run.splits()) or (run.path / BACKBONE).is_file())
    if made or not isinstance(wanted, int) or (last is not None and last.step >= wanted):
        return
    raise DataError(
        f"the run {run.name!r} is not finished, so nothing made again can be the same",
        path=checkpoints.directory(run),
        found=f"step {0 if last is None else last.step} of {wanted}",
        remedy="finish it first with the same command that began it, which goes on where it stopped",
    )


def _refuse_other_data(run: Run, root: DataRoot) -> None:
    recorded, found = run.manifest.get("data", {}).get("fingerprint"), root.fingerprint()
    if recorded != found:
        raise MismatchError(
            "the data are not those the run was made from",
            path=root.path,
            found=f"fingerprint {found}",
            expected=f"fingerprint {recorded}",
            remedy="name the right data root with --data",
        )


def _refuse_other_extra(run: Run, data: TrainingData) -> None:
    """Raises MismatchError for extra faces that are not those which the run learned from, before anything is trained."""
    recorded, found = run.manifest.get("data", {}).get("extra") or {}, data.provenance.get("extra") or {}
    # What an older version did not note of them is not compared.
    different = sorted(key for key in (recorded or found).keys() - {"file"} if recorded.get(key) != found.get(key))
    if different:
        raise MismatchError(
            f"the extra faces are not those that {run.name} learned from",
            found="; ".join(f"{key} {found.get(key)!r}" for key in different),
            expected="; ".join(f"{key} {recorded.get(key)!r}" for key in different),
            remedy="name the table, the order of its labels and the share as they were: --extra, --extra-order, --extra-share",
        )


def _trained(
    run: Run, root: DataRoot, path: Path, data: TrainingData, workers: int, say: Callable[[str], None]
) -> tuple[Run, TrainingOutcome]:
    """A training with labels, frame-wise or on stored features."""
    manifest = run.manifest
    if manifest.get("features"):
        recipe = temporal_recipe_of(run)
        names = [entry["run"] for entry in manifest["features"]]
        done = train_temporal(recipe, root, names, path, data, fresh=False, workers=workers, say=say)
        return done.run, done.outcome
    recipe_again = _with_places(recipe_of(run), manifest)
    from_scratch = manifest.get("weights") is None
    found = initial_weights(recipe_again, from_scratch)
    _refuse_other_weights(run, {} if found is None else found.provenance)
    done = train(recipe_again, root, path, fresh=False, workers=workers, from_scratch=from_scratch, say=say, data=data)
    return done.run, done.outcome


def _with_places(recipe: Recipe, manifest: Mapping[str, Any]) -> Recipe:
    """The recipe with its files and crops where they lay, which run.json keeps apart from it."""
    where = manifest.get("where", {})
    known = {key: where[key] for key in ("weights", "weights_second", "crops") if key in where}
    return replace(recipe, **known)


def _refuse_other_weights(run: Run, found: Mapping[str, str]) -> None:
    recorded = run.manifest.get("weights") or {}
    for key in ("sha256", "second_sha256"):
        if recorded.get(key) != found.get(key):
            raise MismatchError(
                "the weights the run started from are others now",
                path=run.manifest_path,
                found=str(found.get(key)),
                expected=str(recorded.get(key)),
                remedy="put the file with that sha256 back where run.json says it lay (`where`)",
            )


def _pretrained(run: Run, root: DataRoot, path: Path, workers: int, say: Callable[[str], None]) -> tuple[Run, TrainingOutcome]:
    manifest = run.manifest
    refuse_earlier_objective(run)
    where = manifest.get("where", {})
    places = {key: where[key] for key in ("landmarks", "crops", "weights") if key in where}
    source = str(run.manifest_path)
    recipe = with_code(replace(PretrainingRecipe.from_dict(run.part("recipe"), source), **places), manifest, source)
    if recipe.weights is not None:
        _refuse_other_weights(run, initial_backbone(recipe.weights, recipe.backbone).provenance)
    done = pretrain(recipe, root, path, fresh=False, workers=workers, say=say)
    return done.run, done.outcome


def _members(run: Run) -> list[Member]:
    """The members of an ensemble with their weights. Raises MismatchError if one has other scores now."""
    members = []
    for entry in run.part("members"):
        beside = Run(run.path.parent / entry["run"])
        member = beside if beside.manifest_path.is_file() else store.find(entry["run"])
        for split, digest in entry["scores"].items():
            found = scores.tracks_digest(scores.read_index(member, split))
            if found != digest:
                raise MismatchError(
                    f"the member {member.name!r} has other scores of {split!r} than were averaged",
                    path=scores.directory(member, split),
                    found=found,
                    expected=digest,
                    remedy=f"`harness reproduce {member.name}` first",
                )
        members.append(Member(member, entry["weight"], entry.get("temperature", 1.0), entry.get("flip", False)))
    return members


def _predict(run: Run, again: Run, root: DataRoot, split: str, workers: int, say: Callable[[str], None]) -> None:
    """Scores a split of the run made again as the run scored it."""
    index = scores.read_index(run, split)
    settings = index.settings
    scoring = Scoring(
        checkpoint=_which(run, index.checkpoint),
        precision=settings.get("precision"),
        batch=settings.get("batch"),
        stride=settings.get("stride", 1),
        flip=split.endswith(FLIPPED),
        frame_rate=settings.get("fps"),
        workers=workers,
    )
    predict(again, root, split.removesuffix(FLIPPED), scoring, say)


def _which(run: Run, digest: str | None) -> str:
    """Which of the run's checkpoints made scores: last, or else best."""
    last = checkpoints.last(run, lambda error: None)
    return "last" if last is None or last.digest == digest else "best"


def _compare(run: Run, again: Run) -> list[ComparedPart]:
    differences = store.differences(completed(run.manifest), completed(again.manifest))
    parts = [ComparedPart("settings, data and weights in run.json", not differences)]
    for name in (METRICS, BACKBONE):
        if (run.path / name).is_file():
            parts.append(ComparedPart(name, _same(run.path / name, again.path / name)))
    ours, theirs = (checkpoints.last(one, lambda error: None) for one in (run, again))
    if ours is not None:
        equal = theirs is not None and ours.step == theirs.step and _same(ours.path / MODEL, theirs.path / MODEL)
        parts.append(ComparedPart(f"weights after step {ours.step}", equal))
    for split in run.splits():
        parts.append(ComparedPart(f"scores of {split}", _same_scores(run, again, split)))
    return parts


def _same(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and files.sha256(first) == files.sha256(second)


def _same_scores(run: Run, again: Run, split: str) -> bool:
    if split not in again.splits():
        return False
    ours, theirs = scores.read_index(run, split), scores.read_index(again, split)
    names: Sequence[str] = list(ours.tracks)
    return names == list(theirs.tracks) and all(
        _same(scores.directory(run, split) / f"{name}.npz", scores.directory(again, split) / f"{name}.npz") for name in names
    )


def _surroundings(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs in the code and packages, which may explain other bytes."""
    left, right = ({"git_commit": one.get("git_commit"), **one.get("versions", {})} for one in (there, now))
    return [
        f"{key}: {left.get(key)} there, {right.get(key)} now"
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]
