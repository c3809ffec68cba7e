"""Where a recipe's files and folders lie, apart from what they are: run.json compares runs without their places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import MismatchError
from harness.recipes import plugins
from harness.recipes.pretraining import PretrainingRecipe
from harness.recipes.recipe import Recipe
from harness.recipes.settings import BaseRecipe, default_of
from harness.recipes.temporal import TemporalRecipe

FILES = ("weights", "weights_second", "landmarks")
DEFAULT_CROPS = "cropped_aligned"

Kind = TypeVar("Kind", bound=BaseRecipe)


def recorded(recipe: BaseRecipe) -> dict[str, Any]:
    """The settings as run.json keeps them: files and folders by their names alone, added keys (see `setting`) unless default."""
    settings = recipe.as_dict()
    for entry in fields(recipe):
        if entry.metadata["added"] and settings[entry.name] == default_of(entry):
            del settings[entry.name]
    return {key: _without_place(key, value) for key, value in settings.items()}


def _without_place(key: str, value: Any) -> Any:
    if key in plugins.KEYS and plugins.is_plugin(value):
        return plugins.without_place(value)
    return Path(value).name if key in (*FILES, "crops") and value is not None else value


def completed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a run.json, with the keys that its recipe lacks, or that change nothing there, at their defaults."""
    stored = manifest.get("recipe")
    kinds: dict[str, type[BaseRecipe]] = {"pretraining": PretrainingRecipe, "training": Recipe, "crossval": Recipe}
    kind = TemporalRecipe if manifest.get("features") else kinds.get(str(manifest.get("kind")))
    if kind is None or not isinstance(stored, Mapping):
        return dict(manifest)
    meant = stored.keys() - kind.RETIRED.keys() - kind.without_effect(stored)
    return {**manifest, "recipe": {**kind.defaults(stored), **{key: stored[key] for key in meant}}}


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
    for key in plugins.KEYS:
        code = plugins.place_of(str(settings.get(key) or ""))
        if code is not None:
            found[key] = str(code.resolve())
    crops = recipe.crops
    if Path(crops).name != crops:
        place = (root / crops).resolve()
        found["crops"] = str(place.relative_to(root.resolve()) if place.is_relative_to(root.resolve()) else place)
    return found


def with_code(recipe: Kind, manifest: Mapping[str, Any], source: str) -> Kind:
    """The recipe of a run with the files of code that it names where they lay. Raises as `placed_code` does."""
    return replace(recipe, **placed_code(recipe.as_dict(), manifest, source))


def placed_code(settings: Mapping[str, Any], manifest: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Those of a run's settings that name code of one's own, with files where they lay.

    Raises MismatchError where the code is not what the run was made with, DataError where it is gone. `source` is its run.json.
    """
    known = manifest.get("plugins", {})
    where = manifest.get("where", {})
    placed: dict[str, Any] = {
        key: plugins.located(str(settings[key]), Path(where.get(key, "")).parent)
        for key in plugins.KEYS
        if plugins.is_plugin(settings.get(key))
    }
    found = plugins.sources(placed)
    for key, digest in found.items():
        if known.get(key) != digest:
            raise MismatchError(
                f"the code of {key} is not what the run was made with",
                path=source,
                found=f"{placed[key]} with sha256 {digest}",
                expected=f"sha256 {known.get(key)}",
                remedy="put that version back, or train a run of another name with the code as it is",
            )
    return placed


def crops_of(manifest: Mapping[str, Any], root: Path) -> str:
    """Which crops of a data root a run reads, as `scan` takes them: where they lay in training, else by their name."""
    place = manifest.get("where", {}).get("crops")
    if place is not None and (root / place).is_dir():
        return str(place)
    return str(manifest.get("recipe", {}).get("crops", DEFAULT_CROPS))
