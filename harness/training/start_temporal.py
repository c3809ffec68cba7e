"""From a temporal recipe, feature sets and a data root to a finished run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.challenge import EXPR
from harness.data.tracks import DataRoot, Track
from harness.errors import UsageError
from harness.images.device import make_accelerator
from harness.images.sequences import rate_of
from harness.recipes.temporal import TemporalRecipe
from harness.runs import features
from harness.runs.features import UNION, FeatureSet
from harness.runs.store import Run
from harness.training.loop import run_loop
from harness.training.objective import LoopSettings
from harness.training.session import Training, finished, open_run, refuse_uneven, settled_precision, training_manifest
from harness.training.temporal import FeatureTrack, TemporalObjective, normalisation
from harness.training.training_data import TrainingData
from models import temporal
from models.temporal.network import TemporalNetwork

HIGHEST_RATE = 30.0
"""The frame rate of nearly all recordings of Aff-Wild2; finer time than that costs much and says little."""


def train_temporal(
    recipe: TemporalRecipe,
    root: DataRoot,
    names: Sequence[str],
    run_path: Path,
    data: TrainingData,
    *,
    fresh: bool,
    workers: int,
    say: Callable[[str], None],
) -> Training:
    """Trains `recipe` on the stored features of the runs called `names`, on the tracks of `data`; goes on where it stopped.

    Raises DataError if features are missing, damaged or of other tracks, or a frame rate is unknown, MismatchError if the run
    there was made with other settings, features or data, LockedError if another process trains it.
    """
    learned = [*data.training, *data.validation]
    sets = features.open_sets(names, list(dict.fromkeys(track.split for track in learned)))
    rates = [rate_of(track, recipe.fps) for track in learned]
    rate = recipe.rate if recipe.rate is not None else min(HIGHEST_RATE, max(rates[: len(data.training)]))
    recipe = replace(
        recipe,
        precision=settled_precision(recipe.precision, run_path, fresh, say),
        rate=rate,
        frames=_settled_frames(recipe.frames, len(sets), run_path, fresh),
    )
    accelerator = make_accelerator(recipe.precision)
    refuse_uneven(recipe.batch, accelerator)
    manifest = {
        **training_manifest(recipe, root, data),
        "features": [one.as_dict() for one in sets],
        "weights": None,
    }
    with contextlib.ExitStack() as stack:
        run = open_run(run_path, manifest, fresh, accelerator, stack)
        done = finished(run, recipe.iterations, say)
        if done is not None:
            return Training(run, done, was_done=True)
        training, validation = (_with_features(sets, tracks, recipe) for tracks in (data.training, data.validation))
        network = build_network(recipe, [one.width for one in sets], len(EXPR.class_names))
        network.set_normalisation(*normalisation(training))
        say(
            f"training on {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}, {recipe.precision}; "
            f"windows of {recipe.slots()} steps at {rate:g} per second"
        )
        outcome = run_loop(
            run,
            TemporalObjective(network, recipe, training, validation, data.prior()),
            LoopSettings.of(recipe),
            accelerator,
            workers=workers,
            metadata={"classes": ",".join(EXPR.class_names), "temporal": recipe.model},
            say=say if accelerator.is_main_process else lambda line: None,
        )
        return Training(run, outcome, was_done=False)


def _settled_frames(asked: str, sets: int, run_path: Path, fresh: bool) -> str:
    """Which frames several sets are joined on: what was asked for, what a run that is there began with, else all of any set."""
    run = Run(run_path)
    if asked != "auto" or sets < 2:
        return asked
    if run.manifest_path.is_file() and not fresh:
        return str(run.part("recipe").get("frames", asked))
    return UNION


def _with_features(sets: Sequence[FeatureSet], tracks: Sequence[Track], recipe: TemporalRecipe) -> list[FeatureTrack]:
    return [FeatureTrack(track, features.read(sets, track, track.split, frames_of=recipe.frames_of())) for track in tracks]


def build_network(recipe: TemporalRecipe, widths: Sequence[int], classes: int) -> TemporalNetwork:
    """The network of a recipe, its random weights a function of the seed. Raises UsageError for settings that do not fit."""
    try:
        return temporal.build(widths=widths, classes=classes, **recipe.network_arguments())
    except ValueError as error:
        raise UsageError(f"the network cannot be built: {error}") from error
