"""The network of a run with the weights of one of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.errors import DataError, MissingExtraError
from harness.recipes import recipe as recipes
from harness.recipes.recipe import Recipe
from harness.runs.checkpoints import Checkpoint
from harness.runs.store import Run
from models import classifier
from models.classifier import Classifier
from models.names import MissingPackageError, UnknownNameError

MODEL = "model.safetensors"


def recipe_of(run: Run) -> Recipe:
    """The recipe stored in a run's manifest. Raises DataError if the run has no network, as ensembles and imports."""
    manifest: Mapping[str, Any] = run.manifest
    if manifest.get("kind") != "training":
        raise DataError(
            f"the run {run.name!r} is of kind {manifest.get('kind')!r} and has no network of its own",
            path=run.manifest_path,
            remedy="predict its members; `harness submission` writes again from stored scores",
        )
    return recipes.from_dict(run.part("recipe"), str(run.manifest_path))


def load_network(run: Run, recipe: Recipe, checkpoint: Checkpoint) -> Classifier:
    """The network of `recipe` with the weights of `checkpoint`.

    Raises DataError if they do not belong together, MissingExtraError if the network's package is not installed.
    """
    path: Path = checkpoint.path / MODEL
    try:
        network = classifier.build(**recipe.network_arguments(), classes=len(run.class_names))
        network.load_state_dict(load_file(path))
    except MissingPackageError as error:
        raise MissingExtraError(error.package, error.extra, error.purpose) from error
    except (UnknownNameError, ValueError) as error:
        raise DataError(f"the network of this run cannot be built: {error}", path=run.manifest_path) from error
    except (SafetensorError, OSError, RuntimeError) as error:
        raise DataError(f"the checkpoint's weights are not those of the run's network: {error}", path=path) from error
    return network
