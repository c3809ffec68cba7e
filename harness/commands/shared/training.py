"""Options of the verbs that train a recipe, and what they mean; shared by train, crossval and rehearse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from harness.challenge import Challenge, challenge_named
from harness.commands.shared import completion
from harness.commands.shared.options import DataPlace, challenge_of, data_option, find_data, say, split_changes
from harness.commands.shared.sections import RareOption
from harness.data.scan import challenges_held, scan
from harness.data.tracks import DataRoot
from harness.errors import DataError, UsageError
from harness.recipes.recipe import Recipe
from harness.recipes.settings import LabelledRecipe
from harness.recipes.temporal import TemporalRecipe

if TYPE_CHECKING:
    from harness.data.extra import ExtraFaces
    from harness.data.folds import Folds


def recipe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--recipe, --data, --challenge, --set, --seed, --weights and --from-scratch: all that `chosen_recipe` takes.

    The verb gets --challenge among the `changes`, for it is a key of the recipe.
    """

    @functools.wraps(function)
    def command(*arguments: Any, challenge: str | None, changes: tuple[str, ...], **values: Any) -> Any:
        named = () if challenge is None else (f"challenge={challenge.upper()}",)
        return function(*arguments, changes=(*changes, *named), **values)

    options: list[Callable[..., Any]] = [
        click.option(
            "--recipe",
            "recipe_name",
            default=None,
            shell_complete=completion.recipes,
            help="Recipe by name or .yaml file. [default: lite0 on the embedded set, else res50; va-lite0, va and so on]",
        ),
        data_option,
        click.option(
            "--challenge", default=None, metavar="NAME", help="EXPR, VA, AU, MTL or CE. [default: the recipe's, else EXPR]"
        ),
        click.option(
            "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change one key of the recipe; may be repeated."
        ),
        click.option("--seed", type=click.IntRange(min=0), default=None, help="Short for --set seed=N."),
        click.option(
            "--weights", type=click.Path(), default=None, help="Weights the backbone starts from; short for --set weights=FILE."
        ),
        click.option("--from-scratch", is_flag=True, help="Start from random weights even if the recipe wants others."),
    ]
    decorated: Callable[..., Any] = command
    for decorate in reversed(options):
        decorated = decorate(decorated)
    return decorated


def tracker_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--tracker NAME."""
    return click.option(
        "--tracker",
        "trackers",
        cls=RareOption,
        multiple=True,
        metavar="NAME",
        help="Also log the metrics to a tracker of Accelerate: tensorboard, wandb, mlflow, ...; changes no result.",
    )(function)


def extra_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--extra, --extra-order and --extra-share."""
    options: list[Callable[..., Any]] = [
        click.option(
            "--extra",
            type=click.Path(),
            default=None,
            help="Labelled images of other data sets to learn from: path and label, or valence,arousal, or units, as CSV.",
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


DEFAULT_RECIPES = {
    "EXPR": ("lite0", "res50"),
    "VA": ("va-lite0", "va"),
    "AU": ("au-lite0", "au"),
    "MTL": ("mtl-lite0", "mtl"),
}
"""What is trained by default, on the embedded set and on others; of a challenge that is not among them as EXPR."""

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
    settings = {**_settings(changes, seed), **({} if weights is None else {"weights": weights})}
    name = recipe_name
    if name is None:
        settings["challenge"] = _default_challenge(place.path, settings.get("challenge"))
        name = DEFAULT_RECIPES.get(settings["challenge"], DEFAULT_RECIPES[Recipe().challenge])[0 if place.embedded else 1]
    if name in TemporalRecipe.names():
        raise UsageError(f"the recipe {name!r} learns from stored features", expected=f"--recipe {name} --features RUN")
    return _chosen(Recipe, name, place, settings)


def _default_challenge(path: Path, asked: str | None) -> str:
    """The name of the challenge to train where no recipe is named: asked for, or that of recipes if the root holds several."""
    held, default = challenges_held(path), Recipe().challenge
    if asked is None and len(held) > 1 and default in held:
        say(f"challenge: {default}; {path} holds {' and '.join(sorted(held - {default}))} too, trained with --challenge")
        return default
    return challenge_of(path, asked).name


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
    recipe = kind.load(name, settings)
    stem = Path(name).stem
    challenge = challenge_named(recipe.challenge)
    _refuse_absent(place.path, challenge)
    root = scan(place.path, crops=recipe.crops, challenge=challenge)
    return Chosen(recipe, root, f"demo-{stem}" if place.embedded else stem)


def _refuse_absent(path: Path, challenge: Challenge) -> None:
    """Raises UsageError if a data root holds labels, lists or samples, but none in which this challenge stands."""
    held = challenges_held(path)
    # Files with the labels of several tasks hold those of each.
    if held and not any(set(challenge.fields) <= set(challenge_named(name).fields) for name in held):
        raise UsageError(
            f"the data root has nothing of {challenge.name}",
            found=f"{path} holds {' and '.join(sorted(held))}",
            expected=f"--challenge {' or '.join(sorted(held))}, or a recipe of it",
        )


def _settings(changes: Sequence[str], seed: int | None) -> dict[str, str]:
    settings = split_changes(changes)
    if seed is not None:
        settings["seed"] = str(seed)
    return settings


def stored_folds(path: str, root: DataRoot) -> Folds:
    """The folds in a file, which must be of this data. Raises DataError with the way to make one where there is none."""
    from harness.data.folds import fold_tracks, read_folds

    if not Path(path).exists():
        remedy = f"make it with `harness folds --data {root.path} --output {path}`"
        raise DataError("there is no such file of folds", path=path, remedy=remedy)
    return read_folds(path, fold_tracks(root))


def named_extra(extra: str | None, order: str | None, share: float | None, challenge: Challenge) -> ExtraFaces | None:
    """The extra faces of a CSV with labels of a challenge, None if none is named. Raises UsageError for options that need one."""
    from harness.data.extra import read_extra

    if extra is not None:
        return read_extra(extra, order, challenge)
    if order is not None or share is not None:
        raise UsageError("--extra-order and --extra-share are about the images of --extra", expected="--extra FILE")
    return None
