"""The network of a run, of images or of features, with the weights of one of its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from harness.errors import DataError, MissingExtraError
from harness.recipes import recipe as recipes
from harness.recipes import temporal as temporal_recipes
from harness.recipes.recipe import Recipe
from harness.recipes.temporal import TemporalRecipe
from harness.runs.checkpoints import Checkpoint
from harness.runs.store import Run
from models import classifier, temporal
from models.classifier import Classifier
from models.names import MissingPackageError, UnknownNameError
from models.temporal.network import TemporalNetwork

MODEL = "model.safetensors"

Network = TypeVar("Network", bound=nn.Module)


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
    return recipes.from_dict(manifest["recipe"], str(run.manifest_path))


def temporal_recipe_of(run: Run) -> TemporalRecipe:
    """The recipe stored in the manifest of a run that sees stored features."""
    return temporal_recipes.from_dict(_manifest_of_training(run)["recipe"], str(run.manifest_path))


def _manifest_of_training(run: Run) -> Mapping[str, Any]:
    manifest = run.manifest
    if manifest.get("kind") != "training":
        raise DataError(
            f"the run {run.name!r} is of kind {manifest.get('kind')!r} and has no network of its own",
            path=run.manifest_path,
            remedy="predict its members; `harness submission` writes again from stored scores",
        )
    return manifest


def load_network(run: Run, recipe: Recipe, checkpoint: Checkpoint) -> Classifier:
    """The network of `recipe` with the weights of `checkpoint`.

    Raises DataError if they do not belong together, MissingExtraError if the network's package is not installed.
    """
    return _loaded(run, checkpoint, lambda: classifier.build(**recipe.network_arguments(), classes=len(run.class_names)))


def load_temporal(run: Run, recipe: TemporalRecipe, checkpoint: Checkpoint, width: int) -> TemporalNetwork:
    """The temporal network of `recipe` for features of `width` numbers, with the weights of `checkpoint`; raises likewise."""
    arguments = recipe.network_arguments()
    return _loaded(run, checkpoint, lambda: temporal.build(inputs=width, classes=len(run.class_names), **arguments))


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
