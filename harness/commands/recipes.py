"""`harness recipes`: what there is to train."""

from __future__ import annotations

import json

import click


@click.command("recipes")
@click.argument("name", required=False)
@click.option("--backbones", is_flag=True, help="List the backbones a recipe can name.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(name: str | None, backbones: bool, as_json: bool) -> None:
    """List the recipes with the paper's F1 and the weights each wants, or explain every setting of one.

    \b
    Example:
      harness recipes res50
    """
    from harness.recipes import recipe as recipes

    if backbones:
        from models import registry

        click.echo("\n".join([*registry.names(), "torchvision:NAME", "timm:NAME"]))
        return
    if name is None:
        loaded = {entry: recipes.load(entry) for entry in recipes.names()}
        if as_json:
            click.echo(json.dumps({entry: recipe.as_dict() for entry, recipe in loaded.items()}, indent=2))
            return
        width = max(map(len, loaded))
        for entry, recipe in loaded.items():
            score = f"paper F1 {recipe.paper_f1:.2f}" if recipe.paper_f1 is not None else ""
            click.echo(f"{entry.ljust(width)}  {score.ljust(14)}  {recipe.about}")
            if recipe.weights_wanted:
                click.echo(f"{' ' * width}  {' ' * 14}  wants {recipe.weights_wanted}")
        click.echo("next: harness recipes NAME explains one; harness train --recipe NAME trains it")
        return
    recipe = recipes.load(name)
    if as_json:
        click.echo(json.dumps(recipe.as_dict(), indent=2))
        return
    for key, value, meaning in recipes.explain(recipe):
        click.echo(f"{key}: {value}")
        click.echo(f"    {meaning}")
    click.echo(f"next: harness train --recipe {name}")
