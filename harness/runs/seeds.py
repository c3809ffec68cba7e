"""Runs that are one recipe trained with several seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness import files
from harness.runs import store

# Parts of run.json in which the seeds of a recipe may differ: the seed, the runs of the folds, which are called after their
# run, and how the recipe was come by.
SEEDS = ("seed", "recipe.seed")
_NOT_OF_THE_RECIPE = ("members", "chosen")


def recipe_of(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings and data that a manifest says a run was trained with, but for its seed; None for what is no training.

    What a temporal model is trained on is told by the runs its features come from: two seeds of those are two recipes.
    """
    if not isinstance(manifest.get("recipe"), Mapping):
        return None
    kept = store.compared({key: value for key, value in manifest.items() if key not in _NOT_OF_THE_RECIPE})
    return {key: value for key, value in kept.items() if key not in SEEDS}


def by_recipe(manifests: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The names of runs, those that are seeds of one recipe together, in the order in which they are first named.

    `manifests` are the contents of their run.json. What is no training stands alone, and so does a seed that comes again: it is
    the same training twice, and says nothing of how seeds differ.
    """
    groups: dict[str, list[str]] = {}
    times: Counter[str] = Counter()
    for name, manifest in manifests.items():
        recipe = recipe_of(manifest)
        if recipe is None:
            groups[name] = [name]
            continue
        digest = files.sha256_of_bytes(files.json_text(recipe).encode())
        training = f"{digest} {manifest.get('seed')}"
        # The first of each seed go together, the second of each, and so on; no run's name has a blank in front.
        groups.setdefault(f" {digest} {times[training]}", []).append(name)
        times[training] += 1
    return [tuple(names) for names in groups.values()]
