"""What every kind of training begins with: a run's folder, its lock, and the checks that come before the first step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from harness import files
from harness.challenge import ALIGNED_CROP_SIZE
from harness.data.tracks import DataRoot, Track
from harness.errors import UsageError
from harness.images.batches import describe_unreadable, usual_side
from harness.images.device import ACCELERATE_PRECISION, make_accelerator, resolve_precision
from harness.images.launching import overruled
from harness.kinds.parts import parts_of
from harness.recipes import plugins
from harness.recipes.places import completed, places, recorded
from harness.recipes.settings import BaseRecipe
from harness.runs import checkpoints, provenance, store
from harness.runs.store import Run
from harness.training.loop import TrainingOutcome, run_loop
from harness.training.objective import Objective
from harness.training.optimization import LoopSettings
from harness.training.trackers import Trackers, refuse_unknown
from harness.training.training_data import TrainingData


@dataclass(frozen=True)
class Session:
    """How a training is run, whatever is trained.

    Attributes
    ----------
    path : the run's folder.
    fresh : whether a run that is there is thrown away.
    workers : processes that make batches; 0 makes them in this one.
    say : prints one line.
    trackers : names of Accelerate's trackers, which are told the figures beside metrics.jsonl.
    """

    path: Path
    fresh: bool
    workers: int
    say: Callable[[str], None]
    trackers: Sequence[str] = ()


@dataclass(frozen=True)
class Training:
    """A training that ended: its run, how it ended, and whether there was nothing left to do."""

    run: Run
    outcome: TrainingOutcome
    was_done: bool


Recipe = TypeVar("Recipe", bound=BaseRecipe)


def settled(recipe: Recipe, session: Session) -> tuple[Recipe, Accelerator]:
    """The recipe with its precision resolved, and the Accelerator for it. Raises UsageError for what cannot be begun."""
    for name in session.trackers:
        refuse_unknown(name)
    recipe = replace(recipe, precision=settled_precision(recipe.precision, session.path, session.fresh, session.say))
    accelerator = make_accelerator(recipe.precision, getattr(recipe, "loss_scale", 0.0))
    refuse_uneven(recipe.batch, accelerator)
    return recipe, accelerator


def carry_out(
    session: Session,
    accelerator: Accelerator,
    settings: LoopSettings,
    manifest: Mapping[str, Any],
    build: Callable[[], Objective],
    *,
    metadata: Mapping[str, str],
    about: str,
    outputs: Sequence[str] = (),
) -> Training:
    """Carries a training out, or the rest of it: folder, lock, objective, loop.

    Parameters
    ----------
    manifest : of the run.
    build : makes the objective. Without a run to go on with it is called first: what cannot be built leaves no folder behind.
    metadata : for the weights file.
    about : what is done, in a few words for the user.
    outputs : files in the run's folder that the objective writes at its end; while one is missing the run is not done.

    Raises MismatchError if the run there was made with other settings or data, and LockedError if another process trains it.
    """
    say = session.say
    with contextlib.ExitStack() as stack:
        built = build() if session.fresh or not Run(session.path).manifest_path.is_file() else None
        run = open_run(session.path, manifest, session.fresh, accelerator, stack)
        done = finished(run, settings.iterations, say)
        if done is not None and all((run.path / name).is_file() for name in outputs):
            return Training(run, done, was_done=True)
        objective = built or build()
        if accelerator.is_main_process:
            objective.begin(run)
        for line in overruled():
            say(f"warning: {line}")
        processes = accelerator.num_processes
        say(f"{about} on {processes} process{'es' * (processes > 1)}, {manifest['recipe']['precision']}")
        outcome = run_loop(
            run,
            objective,
            settings,
            accelerator,
            workers=session.workers,
            metadata=metadata,
            say=say if accelerator.is_main_process else lambda line: None,
            trackers=started_trackers(session.trackers, run, manifest, accelerator, say, stack),
        )
        for line in describe_unreadable(sorted(set(gather_object(objective.faults()))), objective.unreadable_are):
            say(line)
        if outcome.step == settings.iterations and accelerator.is_main_process:
            objective.end(run)
        accelerator.wait_for_everyone()
        return Training(run, outcome, was_done=False)


def training_manifest(recipe: BaseRecipe, root: DataRoot, data: TrainingData) -> dict[str, Any]:
    """What run.json says of every training with labels: recipe, seed, data, code of one's own and where this was done."""
    return {
        "kind": "training",
        "challenge": root.challenge.name,
        "class_names": list(parts_of(root.challenge).columns),
        "recipe": recorded(recipe),
        "seed": recipe.seed,
        "data": {**root.identity(), "crops": Path(recipe.crops).name, **data.provenance},
        "prior": data.prior(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        **code_of(recipe),
        "where": places(recipe, root.path),
    }


def code_of(recipe: BaseRecipe) -> dict[str, Any]:
    """What run.json says of the code of one's own that a recipe names; nothing where it names none."""
    code = plugins.sources(recipe.as_dict())
    return {"plugins": code} if code else {}


def refuse_uneven(batch: int, accelerator: Accelerator) -> None:
    """Raises UsageError unless the batch divides among the processes."""
    if batch % accelerator.num_processes:
        raise UsageError(
            "the batch does not divide among the processes",
            found=f"batch {batch}, {accelerator.num_processes} processes",
            expected="a batch that is a multiple of the number of processes",
        )


def settled_precision(precision: str, path: Path, fresh: bool, say: Callable[[str], None]) -> str:
    """The precision of the run at `path`: for `auto` the one it began in, so that it goes on so on other hardware."""
    resolved = resolve_precision(precision)
    run = Run(path)
    if precision != "auto" or fresh or not run.manifest_path.is_file():
        return resolved
    began = run.manifest.get("recipe", {}).get("precision")
    if began not in ACCELERATE_PRECISION or began == resolved:
        return resolved
    say(f"going on in {began}, as this run began; a new run would use {resolved} here")
    return str(began)


def settled_decode_size(
    decode_size: int, largest: int, tracks: Sequence[Track], path: Path, fresh: bool, say: Callable[[str], None]
) -> int:
    """The side to which images of the run at `path` are decoded: for 0 the one it began with, or else that of the crops.

    No more than `largest`, to which they are resized afterwards; crops that are shrunk more than that needs are said.
    """
    side = usual_side(tracks)
    wanted = min(side, largest)
    if decode_size == 0:
        run = Run(path)
        began = 0 if fresh or not run.manifest_path.is_file() else run.manifest.get("recipe", {}).get("decode_size")
        decode_size = began if isinstance(began, int) and began else wanted or ALIGNED_CROP_SIZE
    if decode_size < wanted:
        say(f"crops of {side} pixels are shrunk to {decode_size} (decode_size; 0 takes them as large as they are of use)")
    return decode_size


def open_run(path: Path, manifest: Mapping[str, Any], fresh: bool, accelerator: Accelerator, stack: contextlib.ExitStack) -> Run:
    """Makes or opens the run's folder on the main process and locks it there; see store.owned for what is raised."""
    files.safe_name(path.name, "the run's name")
    if accelerator.is_main_process:
        files.bring_back(path)
        if fresh and path.is_dir():
            with store.made_anew(path, manifest):
                pass  # it has its run.json when the older one goes
        files.make_directory(path)
        stack.enter_context(store.owned(path))
        run, _ = store.open_or_create(path, manifest, completed=completed)
        files.remove_temporaries(checkpoints.directory(run), alone=True)
    accelerator.wait_for_everyone()
    return Run(path)


def finished(run: Run, iterations: int, say: Callable[[str], None]) -> TrainingOutcome | None:
    """How a run ended whose last checkpoint has all its steps; None if there is something left to do."""
    checkpoint = checkpoints.last(run, lambda error: say(f"skipped a damaged checkpoint: {error}"))
    if checkpoint is None or checkpoint.step < iterations:
        return None
    checkpoints.remove_older(run, checkpoint)  # a process killed right after its last save did not
    return TrainingOutcome(checkpoint.step, None, checkpoint.metric)


def started_trackers(
    names: Sequence[str],
    run: Run,
    manifest: Mapping[str, Any],
    accelerator: Accelerator,
    say: Callable[[str], None],
    stack: contextlib.ExitStack,
) -> Trackers:
    """The trackers of these names, on the main process alone, told the recipe and ended with the stack."""
    trackers = Trackers(names if accelerator.is_main_process else (), run.path, manifest["recipe"], say)
    stack.callback(trackers.finish)
    return trackers


def synchronised(network: Any, accelerator: Accelerator) -> Any:
    """With several GPUs BatchNorm sees the whole batch; SyncBatchNorm has no CPU form, so there each process keeps its own."""
    if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return network
