"""Options of the verbs that train a recipe, and what they mean; shared by train, crossval and rehearse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from harness.commands.shared.options import DataPlace, data_option, find_data, split_changes
from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.recipes.recipe import Recipe
from harness.recipes.settings import LabelledRecipe
from harness.recipes.temporal import TemporalRecipe

if TYPE_CHECKING:
    from harness.data.extra import ExtraFaces
    from harness.data.folds import Folds


def recipe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--recipe, --data, --set, --seed, --weights and --from-scratch: all that `chosen_recipe` takes."""
    options: list[Callable[..., Any]] = [
        click.option(
            "--recipe",
            "recipe_name",
            default=None,
            help="Recipe by name or .yaml file. [default: lite0 on the embedded set, else res50]",
        ),
        data_option,
        click.option(
            "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one key of the recipe; may be repeated."
        ),
        click.option("--seed", type=int, default=None, help="Short for --set seed=N."),
        click.option(
            "--weights", type=click.Path(), default=None, help="Weights the backbone starts from; short for --set weights=FILE."
        ),
        click.option("--from-scratch", is_flag=True, help="Start from random weights even if the recipe wants others."),
    ]
    for decorate in reversed(options):
        function = decorate(function)
    return function


def tracker_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--tracker NAME."""
    return click.option(
        "--tracker",
        "trackers",
        multiple=True,
        metavar="NAME",
        help="Tell the figures to a tracker of Accelerate, too: tensorboard, wandb, mlflow, ...; changes no result.",
    )(function)


def extra_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--extra, --extra-order and --extra-share."""
    options: list[Callable[..., Any]] = [
        click.option(
            "--extra",
            type=click.Path(),
            default=None,
            help="Labelled images of other data sets to learn from: path,label as CSV.",
        ),
        click.option(
            "--extra-order", default=None, help="What their label numbers mean: abaw, affectnet, raf-db, ferplus or expw."
        ),
        click.option(
            "--extra-share",
            type=float,
            default=None,
            help="Share of the images seen that are extra. [default: each once in a pass]",
        ),
    ]
    for decorate in reversed(options):
        function = decorate(function)
    return function


AnyRecipe = TypeVar("AnyRecipe", bound=LabelledRecipe)


@dataclass(frozen=True)
class Chosen(Generic[AnyRecipe]):
    """A recipe with all changes, the data root it is for, and the name of a run of it by default."""

    recipe: AnyRecipe
    root: DataRoot
    name: str


def chosen_recipe(
    recipe_name: str | None, data: str | None, changes: Sequence[str], seed: int | None, weights: str | None
) -> Chosen[Recipe]:
    """The recipe and the scanned data root that the options name."""
    place = find_data(data)
    name = recipe_name or ("lite0" if place.embedded else "res50")
    if name in TemporalRecipe.names():
        raise UsageError(f"the recipe {name!r} learns from stored features", expected=f"--recipe {name} --features RUN")
    return _chosen(Recipe, name, place, {**_settings(changes, seed), **({} if weights is None else {"weights": weights})})


def chosen_temporal(
    recipe_name: str | None,
    data: str | None,
    changes: Sequence[str],
    seed: int | None,
    fps: float | None,
    features: Sequence[str],
) -> Chosen[TemporalRecipe]:
    """The temporal recipe and the scanned data root that the options name; by default the data of the first feature set."""
    from harness.runs import store

    name = recipe_name or "temporal-transformer"
    if name in Recipe.names():
        known = " or ".join(TemporalRecipe.names())
        raise UsageError(f"the recipe {name!r} learns from images", expected=f"--features with {known}")
    manifest = store.find(features[0]).manifest
    place = find_data(data, manifest.get("where", {}).get("data"))
    settings = {"crops": manifest.get("recipe", {}).get("crops", "cropped_aligned"), **_settings(changes, seed)}
    return _chosen(TemporalRecipe, name, place, {**settings, **({} if fps is None else {"fps": str(fps)})})


def _chosen(kind: type[AnyRecipe], name: str, place: DataPlace, settings: Mapping[str, str]) -> Chosen[AnyRecipe]:
    from harness.challenge import challenge_named
    from harness.data.scan import scan

    recipe = kind.load(name, settings)
    stem = Path(name).stem
    challenge = challenge_named(recipe.challenge)
    return Chosen(recipe, scan(place.path, crops=recipe.crops, challenge=challenge), f"demo-{stem}" if place.embedded else stem)


def _settings(changes: Sequence[str], seed: int | None) -> dict[str, str]:
    settings = split_changes(changes)
    if seed is not None:
        settings["seed"] = str(seed)
    return settings


def stored_folds(path: str, root: DataRoot) -> Folds:
    """The folds in a file, which must be of this data. Raises DataError with the way to make one where there is none."""
    from harness.data.folds import fold_tracks, read_folds

    if not Path(path).is_file():
        remedy = f"make it with `harness folds --data {root.path} --output {path}`"
        raise DataError("there is no such file of folds", path=path, remedy=remedy)
    return read_folds(path, fold_tracks(root))


def named_extra(extra: str | None, order: str | None, share: float | None) -> ExtraFaces | None:
    """The extra faces of a CSV, None if none is named. Raises UsageError for options that need one."""
    from harness.data.extra import read_extra

    if extra is not None:
        return read_extra(extra, order)
    if order is not None or share is not None:
        raise UsageError("--extra-order and --extra-share are about the images of --extra", expected="--extra FILE")
    return None
