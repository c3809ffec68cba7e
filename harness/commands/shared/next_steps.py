"""What verbs name as the next step: commands that run as they stand, but for words in capitals, which the user fills in."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.tracks import EMBEDDED_MANIFEST, DataRoot

if TYPE_CHECKING:
    from harness.recipes.settings import LabelledRecipe
    from harness.runs.store import Run


def default_training(root: DataRoot, data: str, options: str = "") -> str:
    """The training of a root's challenge with the recipe that it has by default; `data` is the root as the user named it.

    `options` come before those for what the recipe cannot do without: weights, or faces with labels of a challenge for which none
    were ever released.
    """
    from harness.commands.shared.training import DEFAULT_RECIPES
    from harness.recipes.recipe import Recipe

    challenge = root.challenge
    names = DEFAULT_RECIPES.get(challenge.name, DEFAULT_RECIPES[Recipe().challenge])
    recipe = Recipe.load(names[0 if (Path(data) / EMBEDDED_MANIFEST).is_file() else 1])
    words = f"harness train --data {shlex.quote(data)}{challenge_option(root)}{options}{weights_option(recipe)}"
    return words if challenge.training is not None or root.members("train") else f"{words} --extra FILE"


def challenge_option(root: DataRoot) -> str:
    """The option that names a root's challenge, empty for the one that every recipe has by default."""
    from harness.recipes.recipe import Recipe

    return "" if root.challenge.name == Recipe().challenge else f" --challenge {root.challenge.name}"


def weights_option(recipe: LabelledRecipe) -> str:
    """The option for the weights that a recipe starts from and that only the user can bring; empty where it needs none."""
    wanted = getattr(recipe, "weights_wanted", "") and getattr(recipe, "weights", None) is None
    return " --weights FILE" if wanted else ""


def after_training(run: Run, root: DataRoot) -> str:
    """Predict the test split, else the validation split; of a model on features, make those of the test split first."""
    name, split = shlex.quote(run.name), "test" if root.members("test") else "val"
    missing = features_without(run, root, split)
    return missing or f"harness predict {name} --split {split}"


def features_without(run: Run, root: DataRoot, split: str) -> str | None:
    """The command for the features of a split that a model on features needs and that are not there; None where all are."""
    from harness.errors import DataError
    from harness.runs.features import other_challenge, place_of
    from harness.runs.scores import features_command
    from harness.runs.store import find

    for entry in run.manifest.get("features") or ():
        try:
            source = find(entry["run"])
        except DataError:
            continue
        place = place_of(split, other_challenge(source, root.challenge.name))
        if place not in source.splits("features") and source.manifest.get("kind") == "training":
            return features_command(source, place)
    return None


def after_features(runs: Sequence[Run], root: DataRoot, data: str | None = None) -> str:
    """Train on feature sets, or make those of a split first that such a training reads and that is not there yet."""
    from harness.runs.features import other_challenge, place_of

    for run in runs:
        held, tracks_of = run.splits("features"), other_challenge(run, root.challenge.name)
        absent = [name for name in ("train", "val") if root.members(name) and place_of(name, tracks_of) not in held]
        if absent and run.manifest.get("kind") == "training":
            splits = "".join(f" --split {name}" for name in absent)
            return f"harness features {shlex.quote(run.name)}{splits}{challenge_option(root)}{data_option(data)}"
    names = "".join(f" --features {shlex.quote(run.name)}" for run in runs)
    return f"harness train --recipe temporal-transformer{challenge_option(root)}{names}{data_option(data)}"


def after_scoring(run: Run, split: str, root: DataRoot, data: str | None) -> str:
    """Judge the scores where their split has labels, else write their text; `data` is the root where it was named."""
    from harness.rows.labelled import has_labels

    name = shlex.quote(run.name)
    if has_labels(root, split):
        return f"harness evaluate {name} --split {split}{data_option(data)}"
    return f"harness predict {name} --split {split} --from-scores{data_option(data)}"


def after_tuning(run: Run, split: str, root: DataRoot) -> str:
    """Predict the test split with what was chosen, or write it from stored scores; where neither can be, judge the split."""
    name = shlex.quote(run.name)
    if run.manifest.get("kind") in ("training", "crossval") and root.members("test"):
        return f"harness predict {name} --split test"
    return f"harness predict {name} --from-scores" if "test" in run.splits() else f"harness evaluate {name} --split {split}"


def data_option(data: str | None) -> str:
    """The option that names the data root, where the user named it too."""
    return "" if data is None else f" --data {shlex.quote(data)}"


def data_at_hand() -> str:
    """The option that names the data root, empty where one is at hand without it."""
    import os

    from harness.commands.shared.options import DATA_VARIABLE, EMBEDDED

    return "" if os.environ.get(DATA_VARIABLE) or EMBEDDED.is_dir() else " --data DIR"


def after_writing(directory: Path, split: str, demonstration: str, root: DataRoot | None) -> str:
    """Pack an answer to the test split, judge any other; of a demonstration, which is never sent, judge the test split too."""
    place = shlex.quote(str(directory))
    if split == "test" and not demonstration:
        return f"harness pack {place}"
    if split != "test":
        return f"harness evaluate {place} --split {split}"
    from harness.demo.layout import test_labels

    labels = None if root is None else root.path / test_labels(root.challenge)
    if root is None or labels is None or not labels.is_dir():
        return f"harness validate {place}"
    return f"harness evaluate {place} --split test --data {shlex.quote(str(root.path))} --labels {shlex.quote(str(labels))}"
