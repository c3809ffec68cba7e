"""Cross-validation: a training for each fold, out-of-fold scores of all labelled tracks as a run, the mean of the fold models."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.folds import Folds, fold_tracks, read_folds, write_folds
from harness.data.tracks import OUT_OF_FOLD, DataRoot, Track
from harness.errors import MismatchError, UsageError
from harness.images.device import make_accelerator
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.kinds.parts import parts_of
from harness.recipes.places import places, recorded
from harness.runs import provenance, scores
from harness.runs.lineage import adding_to, run_digest
from harness.runs.remedies import FOLD
from harness.runs.scores import ScoreIndex
from harness.runs.store import Run
from harness.selection.ensemble import Member, average_into
from harness.studies.fold_trainings import FoldTraining
from harness.training.session import Session, code_of, open_run
from harness.training.training_data import TrainingData, class_prior, folds_provenance, on_other_folds
from harness.words import counted

KIND = "crossval"
FOLDS = "folds.json"
FOLDS_SCORED = "its folds scored the split"


@dataclass(frozen=True)
class CrossTraining:
    """How the trainings of all folds ended: the score of each fold so far, its name, and the exit code if a signal ended them."""

    run: Run
    metrics: tuple[float | None, ...]
    metric: str
    exit_code: int | None


def is_crossval(run: Run) -> bool:
    """Whether a run is a cross-validation."""
    return bool(run.manifest.get("kind") == KIND)


def cross_train(training: FoldTraining, root: DataRoot, folds: Folds, session: Session) -> CrossTraining:
    """Carries out a training once for each fold on all the others, as runs NAME-fold-K beside the run NAME; goes on by itself.

    The session's path is that of NAME. Each is the run that `harness train --folds --fold K` makes, so folds may also be trained
    one by one, on other machines. Raises what the training raises.
    """
    path, say = session.path, session.say
    training = training.settled(root, session)
    learned = [training.data(on_other_folds(root, folds, fold)) for fold in range(folds.count)]
    accelerator = make_accelerator(training.recipe.precision, getattr(training.recipe, "loss_scale", 0.0))
    if session.fresh or not Run(path).manifest_path.is_file():
        # What cannot be built leaves no folder behind.
        training.refuse_unbuildable(root)
    with contextlib.ExitStack() as stack:
        manifest = _manifest(training, root, folds, path.name, learned[0])
        run = open_run(path, manifest, session.fresh, accelerator, stack)
        if accelerator.is_main_process:
            write_folds(run.path / FOLDS, folds)
        accelerator.wait_for_everyone()
        metrics: list[float | None] = []
        for fold, data in enumerate(learned):
            size = f"{counted(len(data.training), 'training track')}, {len(data.validation)} held out"
            say(f"fold {fold} ({fold + 1} of {folds.count}): {size}")
            place = path.with_name(fold_run_name(path.name, fold))
            done = training.train(root, data, replace(session, path=place)).outcome
            metrics.append(done.metric)
            if done.exit_code is not None:
                return CrossTraining(run, tuple(metrics), learned[0].metric, done.exit_code)
        return CrossTraining(run, tuple(metrics), learned[0].metric, None)


def fold_run_name(name: str, fold: int) -> str:
    """The run of one fold of the cross-validation of that name."""
    return f"{name}{FOLD}{fold}"


def _manifest(training: FoldTraining, root: DataRoot, folds: Folds, name: str, learned: TrainingData) -> dict[str, Any]:
    recipe = training.recipe
    shared = {key: value for key, value in learned.provenance.items() if key != "fold"}
    return {
        "kind": KIND,
        "challenge": root.challenge.name,
        "class_names": list(parts_of(root.challenge).columns),
        "recipe": recorded(recipe),
        "seed": recipe.seed,
        "data": {**root.identity(), "crops": Path(recipe.crops).name, **shared},
        "members": [fold_run_name(name, fold) for fold in range(folds.count)],
        "prior": class_prior(fold_tracks(root), root.challenge),
        **training.made_of(),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        **code_of(recipe),
        "where": places(recipe, root.path),
    }


def members_of(run: Run) -> list[Run]:
    """The runs of the folds, in their order; they lie beside the cross-validation."""
    return [Run(run.path.with_name(name)) for name in run.manifest["members"]]


def predict_split(run: Run, root: DataRoot, split: str, scoring: Scoring, say: Callable[[str], None]) -> bool:
    """Scores a split with the fold models of a cross-validation; returns whether it is complete.

    Out of fold each track is scored by the one model that never saw its recording. Any other split is scored by all of them and
    their probabilities are averaged. Raises UsageError for the splits that most of them learned from.
    """
    if split == OUT_OF_FOLD:
        return _out_of_fold(run, root, scoring, say)
    if split in run.part("data")["splits"]:
        raise UsageError(
            f"all but one of the fold models learned from each track of the split {split!r}",
            remedy=f"`harness predict {run.name} --split {OUT_OF_FOLD}` scores each with the model that did not",
        )
    version, members = run_digest(run), members_of(run)
    summaries = [predict(member, root, split, scoring, say) for member in members]
    if not all(summary.complete for summary in summaries):
        return False
    accelerator = make_accelerator("fp32")
    if accelerator.is_main_process:
        with adding_to(run, version, FOLDS_SCORED):
            average_into(run, [Member(member, 1 / len(members)) for member in members], scoring.name_of(split))
    accelerator.wait_for_everyone()
    return True


def _out_of_fold(run: Run, root: DataRoot, scoring: Scoring, say: Callable[[str], None]) -> bool:
    tracks, version = fold_tracks(root), run_digest(run)
    folds = _stored_folds(run, tracks)
    members = members_of(run)
    held_out = [folds.validation(tracks, fold) for fold in range(folds.count)]
    summaries = [predict(member, root, f"fold-{fold}", scoring, say, held_out[fold]) for fold, member in enumerate(members)]
    if not all(summary.complete for summary in summaries):
        return False
    accelerator = make_accelerator("fp32")
    if accelerator.is_main_process:
        with adding_to(run, version, FOLDS_SCORED):
            _collect(run, tracks, folds, members, scoring)
    accelerator.wait_for_everyone()
    return True


def _stored_folds(run: Run, tracks: Sequence[Track]) -> Folds:
    folds = read_folds(run.path / FOLDS, tracks)
    if folds_provenance(folds) != run.part("data")["folds"]:
        raise MismatchError(
            "these are not the folds the models were trained on", path=run.path / FOLDS, remedy="run `harness crossval` again"
        )
    return folds


def _collect(run: Run, tracks: Sequence[Track], folds: Folds, members: Sequence[Run], scoring: Scoring) -> None:
    """Copies the scores of each fold's held-out tracks into one split of the cross-validation, in the order of the data root."""
    split = scoring.name_of(OUT_OF_FOLD)
    indices = [scores.read_index(member, scoring.name_of(f"fold-{fold}")) for fold, member in enumerate(members)]
    scores.remove_index(run, split)
    records = {}
    for track in tracks:
        fold = folds.fold_of[track.recording]
        stored = scores.read_track(members[fold], scoring.name_of(f"fold-{fold}"), track.name)
        scores.write_track(run, split, track.name, stored)
        records[track.name] = indices[fold].tracks[track.name]
    for fold, (member, index) in enumerate(zip(members, indices, strict=True)):
        scores.refuse_written_anew(member, scoring.name_of(f"fold-{fold}"), index)
    settings = {**indices[0].settings, "checkpoints": [index.checkpoint for index in indices]}
    scores.write_index(run, split, ScoreIndex(run.class_names, indices[0].kind, None, settings, records))
