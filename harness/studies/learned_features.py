"""Which features know the labels that a model on them is judged by: those of a backbone that was trained on the same tracks."""

from __future__ import annotations

from collections.abc import Sequence

from harness.inference.network import recipe_of
from harness.recipes.recipe import Recipe
from harness.runs.features import FeatureSet
from harness.training.network import build_network


def learned_here(sets: Sequence[FeatureSet], splits: Sequence[str]) -> list[str]:
    """The names of the runs among `sets` whose backbone was trained on labels of tracks of `splits`.

    Such features are surer on these tracks than on others, whatever fold a track is in. A backbone that the training held as it
    was, all its stages frozen, has learned from no label, nor has sound. What came from a file, or from weights that were trained
    elsewhere, is taken for foreign: only who made it knows what it has seen.
    """
    return [one.run.name for one in sets if not one.is_imported and _learned_from(one, splits) and _moves(recipe_of(one.run))]


def _learned_from(one: FeatureSet, splits: Sequence[str]) -> bool:
    return bool(set(splits) & set(one.run.part("data").get("splits", [])))


def _moves(recipe: Recipe) -> bool:
    """Whether the labels reach any parameter of the backbone of a recipe."""
    if recipe.iterations == 0:
        return False
    if recipe.lora:
        return True
    network = build_network(recipe, 1)
    network.freeze(recipe.freeze_stages)
    return any(parameter.requires_grad for parameter in network.backbone.parameters())
