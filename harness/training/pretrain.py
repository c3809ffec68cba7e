"""From the settings of a pre-training and a data root to a backbone file that `train` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from harness.data.landmarks import Landmarks, read_landmarks
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError, UsageError
from harness.recipes.places import places, recorded, with_code
from harness.recipes.pretraining import FIRST_REVISION, PretrainingRecipe
from harness.recipes.starting import BACKBONE
from harness.runs import checkpoints, provenance
from harness.runs.store import Run
from harness.training.loop import TrainingOutcome
from harness.training.network import InitialWeights, initial_backbone
from harness.training.optimization import LoopSettings
from harness.training.pretraining import PretrainingObjective, build_method
from harness.training.session import Session, carry_out, code_of, settled, settled_decode_size, synchronised
from harness.training.state import MODEL
from models import registry
from models.backbones.base import Backbone
from models.names import UnknownNameError
from models.ssl.base import PretrainingMethod

REFERENCE_BATCH = 256
"""The batch a learning rate is given for; it grows in proportion to the batch (Goyal et al. 2017)."""


@dataclass(frozen=True)
class Pretraining:
    """A pre-training that ended: its run, how it ended, and the backbone file, None until all steps are done."""

    run: Run
    outcome: TrainingOutcome
    backbone: Path | None


def pretrain(
    recipe: PretrainingRecipe,
    root: DataRoot,
    run_path: Path,
    *,
    fresh: bool,
    workers: int,
    say: Callable[[str], None],
    trackers: Sequence[str] = (),
) -> Pretraining:
    """Pre-trains a backbone on the crops of the recipe's splits; goes on where an earlier call stopped.

    Labels are not read. Raises MismatchError if the run there was made with other settings or data, LockedError if another
    process trains it, UsageError if method and backbone do not fit.
    """
    if not fresh:
        refuse_earlier_objective(Run(run_path))
    session = Session(run_path, fresh, workers, say, trackers)
    recipe, accelerator = settled(recipe, session)
    tracks = [track for split in recipe.splits for track in root.split(split)]
    side = settled_decode_size(recipe.decode_size, recipe.image_size, tracks, run_path, fresh, say)
    recipe = replace(recipe, decode_size=side)
    landmarks = _landmarks(recipe, tracks)
    weights = None if recipe.weights is None else initial_backbone(recipe.weights, recipe.backbone)
    manifest: dict[str, Any] = {
        "kind": "pretraining",
        **recipe.recorded_revision(),
        "class_names": [],
        "recipe": recorded(recipe),
        "seed": recipe.seed,
        "data": {
            **root.identity(),
            "crops": Path(recipe.crops).name,
            "splits": list(recipe.splits),
            "tracks": len(tracks),
            "images": sum(len(track.frames) for track in tracks),
        },
        **({} if weights is None else {"weights": weights.provenance}),
        "landmarks": None
        if landmarks is None
        else {"file": landmarks.name, "sha256": landmarks.sha256, "images": _covered(landmarks, tracks)},
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        **code_of(recipe),
        "where": places(recipe, root.path),
    }

    def build() -> PretrainingObjective:
        method, lines = _method(recipe, weights)
        for line in lines:
            say(line)
        return PretrainingObjective(synchronised(method, accelerator), recipe, tracks, landmarks)

    done = carry_out(
        session,
        accelerator,
        _loop_settings(recipe),
        manifest,
        build,
        metadata={"method": recipe.method, "backbone": manifest["recipe"]["backbone"]},
        about="pre-training",
        outputs=(BACKBONE,),
    )
    complete = done.outcome.step == recipe.iterations
    return Pretraining(done.run, done.outcome, done.run.path / BACKBONE if complete else None)


def refuse_earlier_objective(run: Run) -> None:
    """Raises MismatchError for a pre-training, should there be one at `run`, whose objective this program does not have."""
    if not run.manifest_path.is_file() or run.manifest.get("kind") != "pretraining":
        return
    manifest = run.manifest
    wanted = PretrainingRecipe.from_dict(run.part("recipe"), str(run.manifest_path)).revision
    found = manifest.get("revision", FIRST_REVISION)
    if found != wanted:
        raise MismatchError(
            f"the run {run.name!r} was pre-trained by an earlier objective of the same name, which this program does not have",
            path=run.manifest_path,
            found=f"revision {found}" + ", where warped faces are negatives and never queries" * (found == FIRST_REVISION),
            expected=f"revision {wanted}",
            remedy="probe and fine-tune its backbone as it is, go on with the program of the commit in run.json, or start over "
            "with --fresh or another --run",
        )


def _landmarks(recipe: PretrainingRecipe, tracks: Sequence[Track]) -> Landmarks | None:
    """The recipe's landmarks. Raises DataError if they are of none of the images."""
    if recipe.landmarks is None:
        return None
    found = read_landmarks(recipe.landmarks, recipe.landmarks_side)
    if not _covered(found, tracks):
        track, frame = next(iter(found.places))
        raise DataError(
            "the landmarks are of none of the images",
            path=recipe.landmarks,
            found=f"for example track {track}, frame {frame}",
            expected=f"tracks such as {tracks[0].name}" if tracks else "tracks with images",
        )
    return found


def _covered(landmarks: Landmarks, tracks: Sequence[Track]) -> int:
    """How many images of the tracks have landmarks."""
    return sum((track.name, int(frame)) in landmarks.places for track in tracks for frame in track.frames)


def _loop_settings(recipe: PretrainingRecipe) -> LoopSettings:
    return LoopSettings(
        iterations=recipe.iterations,
        batch=recipe.batch,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate * recipe.batch / REFERENCE_BATCH,
        momentum=recipe.momentum,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        decay_everything=False,
        warmup=recipe.warmup,
        warmup_from=0.0,
        lowest_learning_rate=0.0,
        clip_gradient=recipe.clip_gradient,
        evaluate_every=recipe.iterations,
        checkpoint_every=recipe.checkpoint_every,
    )


def trained_method(run: Run) -> PretrainingMethod:
    """The method of a pre-training, all of its networks as its last checkpoint has them. Raises DataError if there is none."""
    refuse_earlier_objective(run)
    source = str(run.manifest_path)
    recipe = with_code(PretrainingRecipe.from_dict(run.part("recipe"), source), run.manifest, source)
    method, _ = _method(recipe, None)
    method.load_state_dict(load_file(checkpoints.choose(run, "last", lambda error: None).path / MODEL))
    return method


def _method(recipe: PretrainingRecipe, weights: InitialWeights | None) -> tuple[PretrainingMethod, list[str]]:
    """The method, and lines on what its backbone starts from; what is random is a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        try:
            backbone: Backbone = registry.create(recipe.backbone, image_size=recipe.image_size)
            # Before the method makes its slow copies.
            lines = [] if weights is None else weights.load_into(backbone)
            return build_method(recipe, backbone), lines
        except (UnknownNameError, ValueError) as error:
            raise UsageError(f"the pre-training cannot be built: {error}") from error
