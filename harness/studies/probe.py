"""Probes a frozen backbone: linear classifier, nearest neighbours, retrieval; answers only for recordings not learned from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness import files
from harness.challenge import EXPR
from harness.data.folds import Folds, make_folds
from harness.data.persons import Persons, by_person
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError, MissingExtraError, UsageError
from harness.evaluation.intervals import jackknife, score_interval
from harness.kinds.confusion import confusion, supported_classes
from harness.kinds.f1 import class_f1
from harness.recipes.places import placed_code
from harness.runs import checkpoints, store
from harness.studies import probing
from harness.studies.features import Features, InputSettings, labelled_features
from models import registry, weights
from models.backbones.base import Backbone
from models.names import MissingPackageError, UnknownNameError
from models.ssl.diagnostics import feature_deviation
from models.weights import WeightsError

RANDOM = "random"
"""The target that stands for a backbone with random weights: what any training has to beat."""
MODEL = "model.safetensors"


@dataclass(frozen=True, eq=False)
class Target:
    """A backbone to probe, how it wants its images, and where it came from (recorded with the figures)."""

    backbone: Backbone
    settings: InputSettings
    source: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Probe:
    """The answers of one kind of probe: counts (R, C, C) per recording, rows labels, columns predictions."""

    recordings: tuple[str, ...]
    matrices: NDArray[np.int64]

    def scores(self) -> dict[str, Any]:
        """Macro-F1 over all classes and over the supported ones, each with its 95 % interval over recordings."""
        supported = supported_classes(self.matrices.sum(axis=0))

        def statistic(counts: NDArray[Any]) -> NDArray[np.float64]:
            f1 = class_f1(counts)
            return np.stack([f1.mean(axis=-1), f1[..., supported].mean(axis=-1)], axis=-1)

        result = jackknife(self.matrices, statistic)
        interval = score_interval(result)
        figures = {}
        for index, name in enumerate(("macro_f1", "supported_macro_f1")):
            bounds = [float(interval.low[index]), float(interval.high[index])]
            figures[name] = {
                "value": float(result.estimate[index]),
                "interval": bounds if np.isfinite(bounds).all() else None,
            }
        return figures


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """What the features are worth.

    Attributes
    ----------
    linear, neighbours : answers of the two classifiers.
    recall : rank -> share of frames with one of their class among so many nearest of other recordings, classes alike.
    deviation : spread of the features, 0 for a collapsed network, about 1 at best.
    facts : what was probed on what.
    """

    linear: Probe
    neighbours: Probe
    recall: Mapping[int, float]
    deviation: float
    facts: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, a function of weights, data and options; counts per recording let two probes be compared in pairs."""
        supported = supported_classes(self.linear.matrices.sum(axis=0))
        return {
            **self.facts,
            "class_names": list(EXPR.class_names),
            "supported_classes": [name for name, enough in zip(EXPR.class_names, supported, strict=True) if enough],
            "linear": self.linear.scores(),
            "neighbours": self.neighbours.scores(),
            "recall": {str(rank): None if np.isnan(share) else share for rank, share in self.recall.items()},
            "feature_deviation": self.deviation,
            "recordings": list(self.linear.recordings),
            "linear_counts": self.linear.matrices.tolist(),
            "neighbour_counts": self.neighbours.matrices.tolist(),
        }


def find_target(
    name: str, *, backbone: str | None, image_size: int | None, checkpoint: str, seed: int, say: Callable[[str], None]
) -> Target:
    """The backbone of a run, of a weights file, or a random one.

    Raises UsageError if a file or a random backbone is wanted and its architecture not named, DataError if there is no such run
    or file or its weights do not fit.
    """
    try:
        if name == RANDOM or Path(name).is_file():
            return _free_target(name, backbone, image_size, seed)
        return _run_target(store.find(name), checkpoint, say)
    except UnknownNameError as error:
        raise UsageError(str(error)) from error
    except MissingPackageError as error:
        raise MissingExtraError(error.package, error.extra, error.purpose) from error
    except WeightsError as error:
        raise DataError(error.problem, path=name, found=error.found, expected=error.expected, remedy=error.remedy) from error


def _free_target(name: str, architecture: str | None, image_size: int | None, seed: int) -> Target:
    path = None if name == RANDOM else Path(name)
    wanted = None
    if path is not None:
        file = weights.read(path)
        wanted = weights.input_of(file)
        architecture = architecture or file.metadata.get("backbone")
    if architecture is None:
        raise UsageError(f"which architecture is {name!r}?", remedy="name it with --backbone; `harness weights FILE` tells")
    if image_size is None and wanted is not None:
        image_size = wanted.image_size
    backbone = _build(architecture, image_size, seed)
    if wanted is not None:
        wanted.normalise(backbone)
    source: dict[str, Any] = {"backbone": architecture, "seed": seed}
    if path is not None:
        source = {"backbone": architecture, "weights": weights.load_backbone(backbone, path).as_dict()}
    size = backbone.image_size
    return Target(backbone, InputSettings(size, size, size), source)


def _run_target(run: store.Run, which: str, say: Callable[[str], None]) -> Target:
    recipe = run.manifest.get("recipe")
    if not isinstance(recipe, dict) or "backbone" not in recipe:
        raise DataError(f"the run {run.name!r} has no backbone to probe", path=run.manifest_path)
    checkpoint = checkpoints.choose(run, which, lambda error: say(f"skipped a damaged checkpoint: {error}"))
    normalise = recipe.get("normalise", "backbone")
    architecture = str(placed_code(recipe, run.manifest, str(run.manifest_path)).get("backbone", recipe["backbone"]))
    backbone = _build(architecture, recipe.get("image_size"), 0, None if normalise == "backbone" else normalise)
    weights.load_backbone(backbone, checkpoint.path / MODEL, accept_untouched_statistics=True)
    size = backbone.image_size
    settings = InputSettings(recipe.get("decode_size", size), recipe.get("test_resize", size), size)
    source = {"run": run.name, "backbone": recipe["backbone"], "step": checkpoint.step, "checkpoint": checkpoint.digest}
    return Target(backbone, settings, source)


def _build(name: str, image_size: int | None, seed: int, normalisation: str | None = None) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return registry.create(name, image_size=image_size, normalisation=normalisation)


def probe(
    target: Target,
    root: DataRoot,
    *,
    split: str,
    test_split: str | None,
    folds: int,
    seed: int,
    most: int,
    device: torch.device,
    workers: int,
    say: Callable[[str], None],
    given_folds: Folds | None = None,
    persons: Persons | None = None,
) -> ProbeResult:
    """Probes `target` on labelled frames: on folds over the recordings of `split`, or learning there for `test_split`.

    Parameters
    ----------
    folds, seed : how many folds are drawn, and from what, unless they are given.
    given_folds : a team's own folds by recording.
    persons : who is in which recording; folds, retrieval and intervals then go by person.

    Raises DataError if there are fewer recordings than folds, or no labelled frames; MismatchError if folds part a person.
    """
    tracks = root.split(split)
    recordings_fold = None if given_folds is None else given_folds.fold_of
    if persons is not None:
        recordings_fold = recordings_fold and _folds_of_persons(recordings_fold, tracks, persons)
        tracks = by_person(tracks, persons)
    extract = functools.partial(
        labelled_features, target.backbone, settings=target.settings, most=most, device=device, workers=workers
    )
    features = extract(tracks)
    facts: dict[str, Any] = {
        "source": dict(target.source),
        "data": root.fingerprint(),
        "split": split,
        "test_split": test_split,
        "folds": (folds if given_folds is None else given_folds.count) if test_split is None else None,
        "folds_given": given_folds is not None,
        "groups": "recording" if persons is None else "person",
        "persons": None if persons is None else {"file": persons.name, "sha256": persons.sha256},
        "seed": seed,
        "frames": len(features.labels),
    }
    if test_split is None:
        fold_of = recordings_fold or make_folds(tracks, folds, seed).fold_of
        divisions = list(probing.divide(features.groups, [fold_of[name] for name in features.recordings]))
        if len(divisions) < 2:
            raise DataError("all labelled recordings are in one fold, so there is nothing to learn from", found=f"split {split}")
        judged = features
    else:
        others = root.split(test_split)
        tested = extract(others if persons is None else by_person(others, persons))
        facts["test_frames"] = len(tested.labels)
        features, divisions = _joined(features, tested)
        judged = tested
    classes = len(EXPR.class_names)
    linear = np.full(len(features.labels), -1, dtype=np.int64)
    neighbours = linear.copy()
    for division in divisions:
        linear[division.test] = probing.linear_predictions(features.values, features.labels, features.groups, division)
        neighbours[division.test] = probing.neighbour_predictions(features.values, features.labels, division, classes)
    for reason in features.unreadable[:10]:
        say(f"left out, could not be read: {reason}")
    return ProbeResult(
        _counted(features, linear, classes),
        _counted(features, neighbours, classes),
        probing.retrieval_recall(judged.values, judged.labels, judged.groups),
        float(feature_deviation(torch.from_numpy(judged.values))),
        facts,
    )


def _folds_of_persons(fold_of: Mapping[str, int], tracks: Sequence[Track], persons: Persons) -> dict[str, int]:
    """Folds by person of folds by recording. Raises MismatchError for a person in two of them."""
    found: dict[str, int] = {}
    for track, person in zip(tracks, (track.recording for track in by_person(tracks, persons)), strict=True):
        if found.setdefault(person, fold_of[track.recording]) != fold_of[track.recording]:
            raise MismatchError(
                "the recordings of a person are in different folds",
                path=persons.name,
                found=person,
                remedy="put them in one fold; the probe would know whom it is judged on",
            )
    return found


def _joined(fit: Features, test: Features) -> tuple[Features, list[probing.Division]]:
    """Both sets of features as one, and the division that learns from the first and answers for the second."""
    common = sorted(set(fit.recordings) & set(test.recordings))
    if common:
        raise DataError("recordings are in both splits, so the probe would know them", found=", ".join(common[:5]))
    joined = Features(
        np.concatenate([fit.values, test.values]),
        np.concatenate([fit.labels, test.labels]),
        np.concatenate([fit.groups, test.groups + len(fit.recordings)]),
        fit.recordings + test.recordings,
        fit.unreadable + test.unreadable,
    )
    rows = np.arange(len(joined.labels))
    return joined, [probing.Division(rows[: len(fit.labels)], rows[len(fit.labels) :])]


def _counted(features: Features, predictions: NDArray[np.int64], classes: int) -> Probe:
    """Counts per recording of the rows that were answered for."""
    answered = predictions >= 0
    groups = sorted(set(features.groups[answered].tolist()))
    matrices = np.stack(
        [
            confusion(features.labels[rows], predictions[rows], classes)
            for rows in (np.flatnonzero(answered & (features.groups == group)) for group in groups)
        ]
    )
    return Probe(tuple(features.recordings[group] for group in groups), matrices)


def write(path: Path, outcome: ProbeResult) -> None:
    """Writes the outcome as JSON, whole or not at all."""
    files.write_json(path, outcome.as_dict())
