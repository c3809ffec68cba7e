"""`harness recipes`: what there is to train."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from harness.commands.shared import completion
from harness.streams import show, show_json
from harness.words import number

if TYPE_CHECKING:
    from harness.recipes.settings import LabelledRecipe


@click.command("recipes")
@click.argument("name", required=False, shell_complete=completion.recipes)
@click.option("--backbones", is_flag=True, help="List the backbones a recipe can name.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, backbones: bool, as_json: bool) -> None:
    """List the recipes with the paper's F1 and the weights each wants, or explain every setting of one.

    \b
    Example:
      harness recipes res50
    """
    if backbones:
        from models import registry

        show("\n".join([*registry.names(), "torchvision:NAME", "timm:NAME"]))
    elif name is None:
        _list(as_json)
    else:
        _explain(name, as_json)


def _list(as_json: bool) -> None:
    """All recipes, a line each."""
    from harness.recipes.recipe import Recipe
    from harness.recipes.temporal import TemporalRecipe

    kinds: tuple[type[LabelledRecipe], ...] = (Recipe, TemporalRecipe)
    loaded = {entry: kind.load(entry) for kind in kinds for entry in kind.names()}
    if as_json:
        show_json(json.dumps({entry: recipe.as_dict() for entry, recipe in loaded.items()}, indent=2) + "\n")
        return
    width = max(map(len, loaded))
    for entry, recipe in loaded.items():
        values = recipe.as_dict()
        score = f"paper F1 {number(values['paper_f1'] / 100)}" if values.get("paper_f1") is not None else ""
        show(f"{entry.ljust(width)}  {score.ljust(14)}  {recipe.about}")
        if values.get("weights_wanted"):
            show(f"{' ' * width}  {' ' * 14}  wants {values['weights_wanted']}")
    show("next: harness recipes NAME")


def _explain(name: str, as_json: bool) -> None:
    """Every setting of one recipe."""
    from harness.commands.shared.next_steps import data_at_hand, weights_option
    from harness.recipes.recipe import Recipe
    from harness.recipes.settings import explain
    from harness.recipes.temporal import TemporalRecipe

    on_features = name in TemporalRecipe.names()
    recipe: LabelledRecipe = TemporalRecipe.load(name) if on_features else Recipe.load(name)
    if as_json:
        show_json(json.dumps(recipe.as_dict(), indent=2) + "\n")
        return
    for key, value, meaning in explain(recipe):
        show(f"{key}: {value}")
        show(f"    {meaning}")
    features = " --features RUN" if on_features else ""
    show(f"next: harness train --recipe {name}{features}{weights_option(recipe)}{'' if on_features else data_at_hand()}")
