"""A dress rehearsal of the competition: a little of everything on this machine, in minutes, down to the validated file.

A few steps of the real recipe, the two shortest test tracks predicted and the rows of all others filled, the full-size submission
written and validated, the text of the validation split written, read back and scored. Nothing of it is fit to be sent.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from harness import files
from harness.data.sample import load_sample
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.evaluation.evaluate import evaluate
from harness.images.device import make_accelerator, resolve_precision
from harness.inference.predict import predict
from harness.inference.settings import Scoring
from harness.postprocess.chain import PostProcessing
from harness.recipes.recipe import Recipe
from harness.rows.predictions import RunPredictions
from harness.runs import checkpoints, scores
from harness.runs.scores import TrackRecord, TrackScores
from harness.runs.store import RUNS, Run
from harness.studies.expectations import Expectations, enumerated
from harness.studies.memory import PeakMemory
from harness.submission.checks import check
from harness.submission.expected import from_sample
from harness.submission.from_run import Written, write_submission
from harness.submission.reader import of_text
from harness.training.metrics import LARGEST_LOG
from harness.training.network import initial_weights
from harness.training.start import train
from harness.training.training_data import TrainingData, on_splits
from harness.words import counted

NAME = "demo-rehearsal"
"""Its run. What it writes says that it is a rehearsal, and is never packed for sending."""
TRAINING_SECONDS = 100
SCORING_SECONDS = 40
MOST_FRAMES = 10_000
"""Validation frames that are scored at most: enough to time."""
BATCH = 64


@dataclass(frozen=True)
class _Speed:
    """Training steps timed (0: only the first), seconds for one, and images of a second."""

    steps: int
    seconds_per_step: float
    images_per_second: float


def rehearse(
    recipe: Recipe,
    root: DataRoot,
    place: Path,
    *,
    iterations: int,
    edition: int | None,
    from_scratch: bool,
    workers: int,
    say: Callable[[str], None],
) -> Expectations:
    """Rehearses training, prediction and submission of `recipe` on `root`, with all files below `place`.

    Takes fewer than `iterations` steps, and every n-th frame, where all would take longer than TRAINING_SECONDS and
    SCORING_SECONDS. What would only be missing for the real thing is reported; what keeps it from running at all is raised as
    by train, predict and scan.
    """
    began = time.monotonic()
    recipe = replace(recipe, precision=resolve_precision(recipe.precision))
    missing = [] if from_scratch else _missing_weights(recipe)
    frames_per_second = None
    results: dict[str, tuple[Written, int, int]] = {}
    predicted: dict[str, list[Track]] = {}
    with PeakMemory() as memory:
        run, speed = _train(recipe, root, place, iterations, from_scratch or bool(missing), workers, say)
        for split in ("test", "val"):
            tracks = root.members(split)
            if not tracks:
                continue
            predicted[split], measured = _predict(run, root, split, tracks, speed.images_per_second, workers, say)
            frames_per_second = measured or frames_per_second
            results[split] = _write(run, root, split, edition, place / "submissions" / split)
    missing += _missing_machine() + _missing_data(root)
    test, val = results.get("test"), results.get("val")
    checkpoint_bytes = _size(checkpoints.folders(run)[-1])
    scored = sum(len(track.frames) for split in ("val", "test") for track in root.members(split))
    found = Expectations(
        devices=_devices(),
        gpus=torch.cuda.device_count(),
        precision=recipe.precision,
        steps=speed.steps,
        seconds_per_step=speed.seconds_per_step,
        batch=recipe.batch,
        frames_per_second=frames_per_second,
        iterations=recipe.iterations,
        validations=math.ceil(recipe.iterations / recipe.evaluate_every),
        validation_frames=sum(len(track.frames[:: recipe.validation_step]) for track in root.members("val")),
        test_frames=sum(len(track.frames) for track in root.members("test")),
        peak_memory=memory.bytes,
        peak_device_memory=torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None,
        checkpoint_bytes=checkpoint_bytes,
        # A frame number and a float32 for each class.
        score_bytes=scored * 4 * (1 + len(run.class_names)),
        submission_bytes=_size(place / "submissions"),
        free_bytes=shutil.disk_usage(RUNS if RUNS.is_dir() else ".").free,
        rows=0 if test is None else test[0].rows,
        imputed=0 if test is None else test[0].imputed,
        predicted=tuple(track.name for track in predicted.get("test", [])),
        errors=None if test is None else test[1],
        warnings=None if test is None else test[2],
        validation_f1=None if val is None else _validation_f1(root, place / "submissions" / "val", edition),
        missing=tuple(missing),
        seconds=time.monotonic() - began,
    )
    if found.disk_bytes > found.free_bytes:
        text = f"disk: {found.disk_bytes:,} bytes are needed where {found.free_bytes:,} are free"
        found = replace(found, missing=(*found.missing, text))
    return found


# --- training ---------------------------------------------------------------------------------------------------------------


def _train(
    recipe: Recipe, root: DataRoot, place: Path, iterations: int, from_scratch: bool, workers: int, say: Callable[[str], None]
) -> tuple[Run, _Speed]:
    """A first step, which takes what happens once and tells how many fit into the time, then so many in a row."""
    data = replace(on_splits(root), validation=())

    def timed(name: str, steps: int) -> tuple[Run, float]:
        say(f"training {counted(steps, 'step')} of {recipe.batch} images")
        run = _short_training(recipe, root, data, place / "runs" / name, steps, from_scratch, workers, say)
        return run, _images_per_second(run)

    run, rate = timed("demo-first-step", 1)
    steps = min(iterations, int(TRAINING_SECONDS * rate / recipe.batch))
    if steps < 2:
        steps = 0
        files.rename(run.path, place / "runs" / NAME)
        run = Run(place / "runs" / NAME)
    else:
        files.remove(run.path)
        run, rate = timed(NAME, steps)
    return run, _Speed(steps, recipe.batch / rate, rate)


def _short_training(
    recipe: Recipe,
    root: DataRoot,
    data: TrainingData,
    path: Path,
    steps: int,
    from_scratch: bool,
    workers: int,
    say: Callable[[str], None],
) -> Run:
    short = replace(recipe, iterations=steps, evaluate_every=steps, checkpoint_every=steps)
    done = train(short, root, path, fresh=True, workers=workers, from_scratch=from_scratch, say=say, data=data)
    if done.outcome.exit_code is not None:
        raise SystemExit(done.outcome.exit_code)
    return done.run


def _images_per_second(run: Run) -> float:
    """The rate of the last steps that a training noted."""
    lines = files.read_bytes(run.path / "timings.jsonl", LARGEST_LOG).splitlines()
    return float(json.loads(lines[-1])["images_per_second"])


# --- prediction -------------------------------------------------------------------------------------------------------------


def _predict(
    run: Run,
    root: DataRoot,
    split: str,
    tracks: Sequence[Track],
    training_rate: float,
    workers: int,
    say: Callable[[str], None],
) -> tuple[list[Track], float | None]:
    """Scores short tracks of a split, leaves the others without scores, and returns the scored ones and frames per second."""
    # Forward and backward pass take about three times as long as the forward pass alone; two is on the safe side.
    affordable = max(1, int(2 * training_rate * SCORING_SECONDS))
    shortest = sorted((track for track in tracks if len(track.frames)), key=lambda track: (track.rows, track.name))
    chosen = shortest[:2] if split == "test" else _up_to(shortest, min(affordable, MOST_FRAMES))
    stride = math.ceil(sum(len(track.frames) for track in chosen) / affordable) if chosen else 1
    began = time.monotonic()
    summary = predict(run, root, split, Scoring(batch=BATCH, stride=stride, workers=workers), say, chosen)
    seconds = time.monotonic() - began
    index = scores.read_index(run, split)
    scored = sum(record.seen for record in index.tracks.values())
    if summary.unreadable:
        say(f"{counted(len(summary.unreadable), 'image')} of these tracks cannot be read: `harness doctor` names them")
    _leave_the_others_empty(run, split, tracks)
    return chosen, scored / seconds if scored else None


def _up_to(tracks: Sequence[Track], frames: int) -> list[Track]:
    """The first tracks that together have so many frames, at least one of them."""
    ends = np.cumsum([len(track.frames) for track in tracks])
    return list(tracks[: max(1, int(np.searchsorted(ends, frames, side="right")))])


def _leave_the_others_empty(run: Run, split: str, tracks: Sequence[Track]) -> None:
    """Completes the split with tracks without any score, which are filled as tracks without a face are."""
    index = scores.read_index(run, split)
    nothing = TrackScores(np.empty(0, np.int32), np.empty((0, len(run.class_names)), np.float32))
    records = {}
    for track in tracks:
        if track.name in index.tracks:
            records[track.name] = index.tracks[track.name]
        else:
            digest = scores.write_track(run, split, track.name, nothing)
            records[track.name] = TrackRecord(track.rows, track.rows_from, 0, (), 0, "", digest)
    scores.write_index(run, split, replace(index, tracks=records))


# --- submission -------------------------------------------------------------------------------------------------------------


def _write(run: Run, root: DataRoot, split: str, edition: int | None, directory: Path) -> tuple[Written, int, int]:
    """Writes and validates the submission of a split; returns it with the numbers of errors and warnings."""
    sample = root.sample if split == "test" else None
    template = None if sample is None else load_sample(sample)
    predictions = RunPredictions(run, split, PostProcessing(), root)
    written = write_submission(predictions, directory, edition, template, {"rehearsal": True})
    findings = check(directory, None if sample is None else from_sample(sample)).findings
    return written, findings.number("error"), findings.number("warning")


def _validation_f1(root: DataRoot, directory: Path, edition: int | None) -> float | None:
    """macro-F1 of the text of the validation split, read back from disk; None where the split has no labels."""
    try:
        answer, tracks = of_text(directory, root, "val", edition)
    except DataError:
        return None
    return evaluate(tracks, answer.form.challenge, answer.form.score).all_labelled.usual_score.value


# --- what is missing --------------------------------------------------------------------------------------------------------


def _missing_weights(recipe: Recipe) -> list[str]:
    try:
        initial_weights(recipe, from_scratch=False)
    except DataError as error:
        wanted = error.expected or error.path or recipe.weights_wanted
        return [f"weights: {error.problem}: {wanted}; give the file with --weights, or take random weights with --from-scratch"]
    return []


def _missing_machine() -> list[str]:
    if torch.cuda.is_available():
        return []
    if make_accelerator("fp32").device.type != "cpu":
        return []
    return ["GPU: there is none that torch can use; the hours above are of the CPU"]


def _missing_data(root: DataRoot) -> list[str]:
    missing = []
    for split in ("train", "val", "test"):
        tracks = root.members(split)
        if not tracks:
            missing.append(f"{split} split: there are no tracks of it")
            continue
        empty = [track.name for track in tracks if not len(track.frames)]
        if empty:
            missing.append(f"crops: {len(empty)} of {len(tracks)} {split} tracks have no image: {enumerated(empty)}")
    tested = root.members("test")
    if tested and root.sample is None:
        missing.append("sample file: there is none of the test split, so the rows are guessed; put it below the data root")
    unknown = {track.recording for track in tested if track.frame_rate is None}
    if unknown:
        count = f"{len(unknown)} of {len({track.recording for track in tested})}"
        measure = f"`harness doctor {root.path} --videos DIR`"
        missing.append(f"frame rates: {count} test recordings have none and are not smoothed; {measure} measures them")
    if root.members("val") and not any(track.labels is not None and (track.labels >= 0).any() for track in root.members("val")):
        missing.append("labels: the validation split has none")
    return missing


# --- the machine ------------------------------------------------------------------------------------------------------------


def _devices() -> str:
    device = make_accelerator("fp32").device
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "cpu":
        return f"CPU, {len(os.sched_getaffinity(0))} cores"
    return str(device.type)


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
