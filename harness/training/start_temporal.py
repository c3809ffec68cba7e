"""From a temporal recipe, feature sets and a data root to a finished run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.data.tracks import DataRoot, Track
from harness.errors import UsageError
from harness.images.sequences import rate_of
from harness.kinds.parts import parts_of
from harness.recipes.temporal import TemporalRecipe
from harness.runs import features
from harness.runs.features import UNION, FeatureSet
from harness.runs.store import Run
from harness.training.optimization import LoopSettings
from harness.training.session import Session, Training, carry_out, settled, training_manifest
from harness.training.temporal import FeatureTrack, TemporalObjective, normalisation
from harness.training.training_data import TrainingData
from models import temporal
from models.temporal.network import FeatureNetwork

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
    trackers: Sequence[str] = (),
) -> Training:
    """Trains `recipe` on the stored features of the runs called `names`, on the tracks of `data`; goes on where it stopped.

    Raises DataError if features are missing, damaged or of other tracks, or a frame rate is unknown, MismatchError if the run
    there was made with other settings, features or data, LockedError if another process trains it.
    """
    if recipe.challenge != root.challenge.name:
        raise UsageError("recipe and data are of two challenges", found=f"{recipe.challenge} and {root.challenge.name}")
    columns = parts_of(root.challenge).columns
    learned = [*data.training, *data.validation]
    sets = features.open_sets(names, list(dict.fromkeys(track.split for track in learned)), root.challenge.name)
    rates = [rate_of(track, recipe.fps) for track in learned]
    rate = recipe.rate if recipe.rate is not None else min(HIGHEST_RATE, max(rates[: len(data.training)]))
    session = Session(run_path, fresh, workers, say, trackers)
    recipe, accelerator = settled(
        replace(recipe, rate=rate, frames=_settled_frames(recipe.frames, len(sets), run_path, fresh)), session
    )
    manifest = {
        **training_manifest(recipe, root, data),
        "features": [one.as_dict() for one in sets],
        "weights": None,
    }

    def build() -> TemporalObjective:
        network = build_network(recipe, [one.width for one in sets], len(columns))
        training, validation = (_with_features(sets, tracks, recipe) for tracks in (data.training, data.validation))
        network.set_normalisation(*normalisation(training))
        return TemporalObjective(network, recipe, training, validation, data.prior(), root.challenge)

    return carry_out(
        session,
        accelerator,
        LoopSettings.of(recipe),
        manifest,
        build,
        metadata={"classes": ",".join(columns), "temporal": str(manifest["recipe"]["model"])},
        about=f"training with windows of {recipe.slots()} steps at {rate:g} per second",
    )


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


def build_network(recipe: TemporalRecipe, widths: Sequence[int], classes: int) -> FeatureNetwork:
    """The network of a recipe, its random weights a function of the seed. Raises UsageError for settings that do not fit."""
    try:
        return temporal.build(widths=widths, classes=classes, **recipe.network_arguments())
    except ValueError as error:
        raise UsageError(f"the network cannot be built: {error}") from error
