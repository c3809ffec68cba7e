"""Where a recipe's files and folders lie, apart from what they are: run.json compares runs without their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.recipes.pretraining import PretrainingRecipe
from harness.recipes.recipe import Recipe
from harness.recipes.settings import BaseRecipe, default_of
from harness.recipes.temporal import TemporalRecipe

FILES = ("weights", "weights_second", "landmarks")
DEFAULT_CROPS = "cropped_aligned"


def recorded(recipe: BaseRecipe) -> dict[str, Any]:
    """The settings as run.json keeps them: files and folders by their names alone, added keys (see `setting`) unless default."""
    settings = recipe.as_dict()
    for entry in fields(recipe):
        if entry.metadata["added"] and settings[entry.name] == default_of(entry):
            del settings[entry.name]
    return {key: Path(value).name if key in (*FILES, "crops") and value is not None else value for key, value in settings.items()}


def completed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a run.json, with the keys that its recipe lacks at their defaults."""
    stored = manifest.get("recipe")
    kinds: dict[str, type[BaseRecipe]] = {"pretraining": PretrainingRecipe, "training": Recipe, "crossval": Recipe}
    kind = TemporalRecipe if manifest.get("features") else kinds.get(str(manifest.get("kind")))
    if kind is None or not isinstance(stored, Mapping):
        return dict(manifest)
    return {**manifest, "recipe": {**kind.defaults(stored), **{key: stored[key] for key in stored.keys() - kind.RETIRED.keys()}}}


def places(recipe: BaseRecipe, root: Path) -> dict[str, str]:
    """Where the data and the recipe's files and folders lie, for the `where` of run.json, which nothing compares.

    A folder of crops inside of the data root is kept relative to it, so that it is found in a copy of the data elsewhere.
    """
    found = {"data": str(root.resolve())}
    settings = recipe.as_dict()
    for key in FILES:
        path = Path(settings.get(key) or "")
        if path.is_file():
            found[key] = str(path.resolve())
    crops = recipe.crops
    if Path(crops).name != crops:
        place = (root / crops).resolve()
        found["crops"] = str(place.relative_to(root.resolve()) if place.is_relative_to(root.resolve()) else place)
    return found


def crops_of(manifest: Mapping[str, Any], root: Path) -> str:
    """Which crops of a data root a run reads, as `scan` takes them: where they lay in training, else by their name."""
    place = manifest.get("where", {}).get("crops")
    if place is not None and (root / place).is_dir():
        return str(place)
    return str(manifest.get("recipe", {}).get("crops", DEFAULT_CROPS))
