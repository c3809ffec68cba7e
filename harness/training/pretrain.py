"""From the settings of a pre-training and a data root to a backbone file that `train` takes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from harness import files
from harness.data.landmarks import Landmarks, read_landmarks
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError, UsageError
from harness.images.device import make_accelerator
from harness.images.sampling import augmentation_uniforms
from harness.recipes.places import places, recorded
from harness.recipes.pretraining import FIRST_REVISION, PretrainingRecipe
from harness.runs import checkpoints, provenance
from harness.runs.store import Run
from harness.training.loop import Outcome, run_loop
from harness.training.network import InitialWeights, initial_backbone
from harness.training.objective import LoopSettings
from harness.training.pretraining import PretrainingObjective, build_method
from harness.training.session import (
    finished,
    open_run,
    refuse_uneven,
    say_unreadable,
    settled_precision,
    started_trackers,
    synchronised,
)
from harness.training.state import MODEL
from harness.training.trackers import refuse_unknown
from models import registry
from models.backbones.base import Backbone
from models.names import UnknownNameError
from models.ssl.base import PretrainingMethod
from models.ssl.views import contact_sheet
from models.weights.exporting import backbone_bytes

BACKBONE = "backbone.safetensors"
VIEWS = "views.png"
SHOWN_IMAGES = 8
REFERENCE_BATCH = 256
"""The batch a learning rate is given for; it grows in proportion to the batch (Goyal et al. 2017)."""


@dataclass(frozen=True)
class Pretraining:
    """A pre-training that ended: its run, how it ended, and the backbone file, None until all steps are done."""

    run: Run
    outcome: Outcome
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
    for name in trackers:
        refuse_unknown(name)
    if not fresh:
        refuse_earlier_objective(Run(run_path))
    recipe = replace(recipe, precision=settled_precision(recipe.precision, run_path, fresh, say))
    tracks = [track for split in recipe.splits for track in root.split(split)]
    landmarks = _landmarks(recipe, tracks)
    weights = None if recipe.weights is None else initial_backbone(recipe.weights, recipe.backbone)
    accelerator = make_accelerator(recipe.precision, recipe.loss_scale)
    refuse_uneven(recipe.batch, accelerator)
    manifest: dict[str, Any] = {
        "kind": "pretraining",
        **_revision(recipe),
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
        "where": places(recipe, root.path),
    }
    with contextlib.ExitStack() as stack:
        run = open_run(run_path, manifest, fresh, accelerator, stack)
        method, lines = _method(recipe, weights)
        objective = PretrainingObjective(synchronised(method, accelerator), recipe, tracks, landmarks)
        if accelerator.is_main_process:
            files.write_bytes(run.path / VIEWS, _picture_of_views(objective))
        outcome = finished(run, recipe.iterations, say)
        if outcome is not None and (run.path / BACKBONE).is_file():
            return Pretraining(run, outcome, run.path / BACKBONE)
        for line in lines:
            say(line)
        say(f"pre-training on {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}, {recipe.precision}")
        outcome = run_loop(
            run,
            objective,
            _loop_settings(recipe),
            accelerator,
            workers=workers,
            metadata={"method": recipe.method, "backbone": recipe.backbone},
            say=say if accelerator.is_main_process else lambda line: None,
            trackers=started_trackers(trackers, run, manifest, accelerator, say, stack),
        )
        say_unreadable(objective.faults(), "left out", say)
        if outcome.step < recipe.iterations:
            return Pretraining(run, outcome, None)
        if accelerator.is_main_process:
            _export(run, recipe, objective.method, weights)
        accelerator.wait_for_everyone()
        return Pretraining(run, outcome, run.path / BACKBONE)


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
            remedy="probe and fine-tune its backbone as it is, go on with the program of the commit in run.json, or start anew "
            "with --fresh or another --run",
        )


def _revision(recipe: PretrainingRecipe) -> dict[str, int]:
    """The revision of the objective as run.json keeps it: a first one goes without saying."""
    return {} if recipe.revision == FIRST_REVISION else {"revision": recipe.revision}


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
    recipe = PretrainingRecipe.from_dict(run.part("recipe"), str(run.manifest_path))
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


def _export(run: Run, recipe: PretrainingRecipe, method: PretrainingMethod, weights: InitialWeights | None) -> None:
    # No name of the run: the same pre-training gives the same bytes under any.
    revision = {key: str(value) for key, value in _revision(recipe).items()}
    began = {} if weights is None else {"weights_sha256": weights.provenance["sha256"]}
    origin = {"method": recipe.method, **revision, **began, "iterations": str(recipe.iterations), "seed": str(recipe.seed)}
    files.write_bytes(run.path / BACKBONE, backbone_bytes(method.backbone, recipe.backbone, origin=origin))


def _picture_of_views(objective: PretrainingObjective) -> bytes:
    """The views of the first images of step 0 as a PNG: a row for each image, a column for each view."""
    recipe, method = objective.recipe, objective.method
    rows = objective.sampler.step_samples(0, min(SHOWN_IMAGES, recipe.batch))
    batch = objective.read(rows, augmentation_uniforms(recipe.seed, 0, len(rows), method.uniforms))
    views = method.make_views(batch.images.images, batch.uniforms, batch.landmarks)
    shown = [view for view in views if view.dim() == 4]
    sheet = contact_sheet(shown, method.backbone.mean, method.backbone.std)
    buffer = io.BytesIO()
    Image.fromarray(sheet.numpy()).save(buffer, "PNG")
    return buffer.getvalue()
