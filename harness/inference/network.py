"""The network of a run, of images or of features, with the weights of one of its checkpoints."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from harness.errors import DataError, MissingExtraError
from harness.recipes.places import with_code
from harness.recipes.recipe import Recipe
from harness.recipes.starting import BACKBONE, train_options
from harness.recipes.temporal import TemporalRecipe
from harness.runs import checkpoints
from harness.runs.checkpoints import Checkpoint
from harness.runs.remedies import FOLD
from harness.runs.store import Run
from models import classifier, temporal
from models.classifier import Classifier
from models.names import MissingPackageError, UnknownNameError
from models.temporal.network import FeatureNetwork

MODEL = "model.safetensors"

TRIES = 3
"""How often a checkpoint is chosen where the one that was chosen goes away."""

PAUSE = 0.2
"""Seconds after which a folder that is being removed is gone."""

Network = TypeVar("Network", bound=nn.Module)
Loaded = TypeVar("Loaded")


def recipe_of(run: Run) -> Recipe:
    """The recipe stored in the manifest of a run whose network sees images.

    Raises DataError if the run has no network, as ensembles and imports, or one that sees stored features.
    """
    manifest = _manifest_of_training(run)
    if manifest.get("features"):
        raise DataError(
            f"the run {run.name!r} is a temporal model: it sees stored features, not images",
            path=run.manifest_path,
            remedy="`harness predict` scores the splits of a data root with it; for the rest name the run its features are of",
        )
    recipe = Recipe.from_dict(manifest["recipe"], str(run.manifest_path))
    return with_code(recipe, manifest, str(run.manifest_path))


def temporal_recipe_of(run: Run) -> TemporalRecipe:
    """The recipe stored in the manifest of a run that sees stored features."""
    manifest = _manifest_of_training(run)
    recipe = TemporalRecipe.from_dict(manifest["recipe"], str(run.manifest_path))
    return with_code(recipe, manifest, str(run.manifest_path))


def _manifest_of_training(run: Run) -> Mapping[str, Any]:
    manifest = run.manifest
    if manifest.get("kind") != "training":
        raise DataError(
            f"the run {run.name!r} is of kind {manifest.get('kind')!r} and has no network of its own",
            path=run.manifest_path,
            remedy=_without_network(run, manifest),
        )
    return manifest


def _without_network(run: Run, manifest: Mapping[str, Any]) -> str:
    """What to do instead of asking a run of another kind than a training for its network."""
    kind, splits, name = manifest.get("kind"), run.splits(), shlex.quote(run.name)
    if kind == "crossval":
        return f"name the run of one of its folds, such as {run.name}{FOLD}0"
    if kind == "pretraining":
        recipe = run.part("recipe")
        options = train_options(str(recipe.get("backbone")), int(recipe.get("image_size", 0)), str(run.path / BACKBONE))
        return f"train on its backbone first: `harness train {options}`"
    if not splits:
        return "name a run of a training: `harness runs` lists them"
    split = "test" if "test" in splits else splits[0]
    written = f"`harness predict {name} --split {split} --from-scores` writes its stored scores"
    return written if kind != "ensemble" else f"{written}; for others predict its members and make the ensemble again"


def load_network(run: Run, recipe: Recipe, checkpoint: Checkpoint) -> Classifier:
    """The network of `recipe` with the weights of `checkpoint`.

    Raises DataError if they do not belong together, MissingExtraError if the network's package is not installed.
    """
    return _loaded(run, checkpoint, lambda: classifier.build(**recipe.network_arguments(), classes=len(run.class_names)))


def load_temporal(run: Run, recipe: TemporalRecipe, checkpoint: Checkpoint, widths: Sequence[int]) -> FeatureNetwork:
    """The network of `recipe` for feature sets of these widths, with the weights of `checkpoint`; raises likewise."""
    arguments = recipe.network_arguments()
    return _loaded(run, checkpoint, lambda: temporal.build(widths=widths, classes=len(run.class_names), **arguments))


def with_checkpoint(
    run: Run, which: str, say: Callable[[str], None], load: Callable[[Checkpoint], Loaded]
) -> tuple[Checkpoint, Loaded]:
    """The `last` or `best` checkpoint of a run and what `load` makes of it.

    A checkpoint that a training in progress removes meanwhile is chosen again. Raises as checkpoints.choose and `load` do.
    """
    for left in reversed(range(TRIES)):
        there = checkpoints.folders(run)
        try:
            chosen = checkpoints.choose(run, which, lambda error: say(f"skipped a damaged checkpoint: {error}"))
            return chosen, load(chosen)
        except DataError:
            if left == 0:
                raise
            time.sleep(PAUSE)  # A folder is not removed in one go.
            if checkpoints.folders(run) == there:
                raise
    raise AssertionError("the last try returns or raises")


def warn_if_unfinished(run: Run, chosen: Checkpoint, say: Callable[[str], None]) -> None:
    """Says so if the run's last checkpoint has not all steps of its recipe."""
    wanted = run.part("recipe").get("iterations")
    if not isinstance(wanted, int) or chosen.step >= wanted:
        return
    try:
        last = checkpoints.last(run, lambda error: None) or chosen
    except DataError:
        last = chosen
    if last.step < wanted:
        say(f"warning: the training of {run.name} is not finished: its last checkpoint is of step {last.step} of {wanted}")


def _loaded(run: Run, checkpoint: Checkpoint, build: Callable[[], Network]) -> Network:
    path: Path = checkpoint.path / MODEL
    try:
        network = build()
        network.load_state_dict(load_file(path))
    except MissingPackageError as error:
        raise MissingExtraError(error.package, error.extra, error.purpose) from error
    except (UnknownNameError, ValueError) as error:
        raise DataError(f"the network of this run cannot be built: {error}", path=run.manifest_path) from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise DataError(f"the checkpoint's weights are not those of the run's network: {error}", path=path) from error
    return network
