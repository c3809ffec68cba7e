"""Temporal recipes: every key explained, wrong ones refused, windows in whole steps."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from harness.errors import DataError, UsageError
from harness.recipes.recipe import Recipe
from harness.recipes.temporal import TemporalRecipe
from models import temporal


def test_every_key_is_documented() -> None:
    for entry in fields(TemporalRecipe):
        assert len(entry.metadata["meaning"]) > 10, entry.name


@pytest.mark.parametrize("name", TemporalRecipe.names())
def test_a_recipe_that_comes_along_loads_and_builds(name: str) -> None:
    recipe = TemporalRecipe.load(name)
    assert recipe.about
    network = temporal.build(widths=[40, 20], classes=8, **recipe.network_arguments())
    assert sum(value.numel() for value in network.parameters()) > 1e4
    assert TemporalRecipe.from_dict(recipe.as_dict(), "run.json") == recipe


def test_the_two_kinds_of_recipes_do_not_meet() -> None:
    assert {"temporal-tcn", "temporal-transformer", "av-gate", "feature-mlp"} <= set(TemporalRecipe.names())
    assert not set(TemporalRecipe.names()) & set(Recipe.names())


def test_a_window_of_the_published_length_is_128_steps_with_half_of_it_between() -> None:
    recipe = replace(TemporalRecipe.load("temporal-transformer"), rate=30.0)
    assert (recipe.slots(), recipe.hop_slots()) == (128, 64)
    assert replace(recipe, rate=7.5).slots() == 32
    # A hop longer than the window would leave frames out.
    assert replace(recipe, hop=100.0).hop_slots() == 128


def test_the_winner_s_windows_of_values_are_400_frames_and_one_every_150() -> None:
    recipe = replace(TemporalRecipe.load("va-transformer"), rate=30.0)
    assert (recipe.slots(), recipe.hop_slots()) == (400, 150)
    assert (recipe.challenge, recipe.layers, recipe.squared_error) == ("VA", 5, 0.0)


@pytest.mark.parametrize(("text", "message"), [
    ("widht: 3\n", "did you mean 'width'"), ("width: many\n", "wrong kind"), ("dropout: 1\n", "out of range"),
    ("model: lstm\n", "unknown value"), ("window: .nan\n", "out of range"),
])  # fmt: skip
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("about: mine\n" + text)
    with pytest.raises((UsageError, DataError), match=message) as refusal:
        TemporalRecipe.load(str(path))
    assert refusal.value.line == 2
