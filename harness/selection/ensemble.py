"""Ensembling: the weighted mean of the probabilities of runs, track by track, as a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, MismatchError, UsageError
from harness.evaluation.describe import plain
from harness.kinds.parts import Parts
from harness.postprocess.chain import PostProcessing, for_parts
from harness.postprocess.combine import combine
from harness.postprocess.fill import fill
from harness.rows.predictions import mirrored_index, parts_of_run, prior_of, seen_frames
from harness.runs import provenance, scores, store
from harness.runs.lineage import family, of_splits, refuse_outdated
from harness.runs.scores import ScoreIndex, TrackScores
from harness.runs.store import Run
from harness.selection.stored import StoredSettings, say_tuned_on_others, shared_settings, stored_settings
from harness.words import counted

KIND = "ensemble"
MOST_LISTED = 8


@dataclass(frozen=True)
class Member:
    """A run of an ensemble: its weight, the temperature that divides its logits first, and whether mirrored images count.

    Weight and temperature are one for all parts of the challenge, or a tuple with one for each.
    """

    run: Run
    weight: float | tuple[float, ...] = 1.0
    temperature: float | tuple[float, ...] = 1.0
    flip: bool = False


def parse_weights(text: str | None, count: int) -> list[float]:
    """`0.7,0.3` as numbers, equal weights for None. Raises UsageError unless there is one for each run, none negative."""
    if text is None:
        return [1.0 / count] * count
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError("weights are numbers with commas between", found=text, expected="for example 0.7,0.3") from error
    if len(weights) != count or not np.isfinite([*weights, sum(weights)]).all() or min(weights) < 0 or sum(weights) <= 0:
        raise UsageError(
            "there must be one weight for each run, none negative, not all zero, with a finite sum",
            found=text,
            expected=f"{count} weights",
        )
    return [weight / sum(weights) for weight in weights]


@dataclass(frozen=True)
class EnsemblePlan:
    """What an ensemble is to be made of, how it is filled and smoothed, and what is to be said of that, one line each."""

    members: tuple[Member, ...]
    shared: StoredSettings
    notes: tuple[str, ...]


def plan_ensemble(
    runs: Sequence[Run], weights: Sequence[float], fit: str | None = None, untuned: bool = False, flip: bool | None = None
) -> EnsemblePlan:
    """Takes over the temperature and the mirrored images (TTA) that were tuned for each run, unless they are to stay `untuned`.

    With `flip` given, TTA is said for the whole ensemble, whose mirrored scores are then averaged beside the others. `fit` is the
    split the ensemble will be fitted to.
    """
    stored = [stored_settings(run, untuned) for run in runs]
    members, notes = [], []
    for run, weight, own in zip(runs, weights, stored, strict=True):
        settings = own.settings if not untuned else PostProcessing()
        members.append(Member(run, weight, settings.temperature, settings.flip and flip is None))
        if own.stale:
            notes.append(f"warning: {say_tuned_on_others(run)}")
    tuned = [run.name for run, own in zip(runs, stored, strict=True) if own.split is not None]
    if tuned:
        notes.append(f"using the settings tuned for {', '.join(tuned)} (--untuned ignores them)")
    if fit is not None and any(own.split == fit for own in stored):
        notes.append(f"note: these settings were chosen on {fit} as well, so the expected score is optimistic")
    return EnsemblePlan(tuple(members), shared_settings(runs, untuned), tuple(notes))


def default_name(runs: Sequence[Run]) -> str:
    """The names of the runs joined by `+`, cut where it would be too long for a folder."""
    name = "+".join(run.name for run in runs)
    return name if len(name) <= 120 else f"{name[:100]}+{len(runs)}-runs"


def ensemble(
    members: Sequence[Member],
    path: Path,
    union: bool,
    fresh: bool,
    settings: StoredSettings | None = None,
    completions: Sequence[Callable[[Run], None]] = (),
) -> tuple[Run, list[str]]:
    """Averages the members over every split that all of them hold; returns the run and its splits.

    `settings` are those of selection.stored.shared_settings, by which the run is filled and smoothed where nothing else is said;
    None for the defaults. Scores of mirrored images are averaged beside the others where all members have them and none has them
    averaged in already. With `union` a member without a score for a frame that another one scored is interpolated there first.
    `completions` store beside the scores what belongs to them: a run that is made appears with it or not at all.

    An ensemble that is there grows by the splits that all members have predicted since.

    Raises UsageError for a place that is refused, MismatchError listing the differences if class names, tracks, rows or (without
    `union`) frames differ or if another checkpoint scored a member's mirrored images, DataError if no split is held by all or if
    mirrored images are wanted that were not scored.
    """
    runs = [member.run for member in members]
    if len({run.path.resolve() for run in runs}) != len(runs):
        raise UsageError("a run is named twice", found=" ".join(run.name for run in runs))
    refuse_place(path, runs)
    indices = comparable(members, union)
    manifest = _manifest(members, indices, union, settings or StoredSettings({}))
    with store.opened(path, manifest, fresh, _open_and_grow) as run:
        refuse_place(path, runs)  # what was there before the lock was taken may have given way to a training
        for split in indices:
            _write_split(run, members, split, indices[split], union)
        for complete in completions:
            complete(run)
    return Run(path), list(indices)


def comparable(members: Sequence[Member], union: bool) -> dict[str, list[ScoreIndex]]:
    """The members' indices of every split that all of them hold; for asking before any work is put into an ensemble.

    Raises as ensemble does, for all but the place.
    """
    runs = [member.run for member in members]
    _compare_classes(runs)
    indices = {split: [scores.read_index(run, split) for run in runs] for split in _common_splits(members)}
    for split in indices:
        for member, index in zip(members, indices[split], strict=True):
            if member.flip:
                mirrored_index(member.run, split, index)
            refuse_outdated(member.run, split)
        _compare_tracks(runs, split, indices[split])
        _compare_images(runs, split, indices[split])
        if not union:
            _compare_frames(runs, split, indices[split])
    return indices


def _open_and_grow(path: Path, manifest: Mapping[str, Any]) -> tuple[Run, bool]:
    """The ensemble that is there; its manifest takes in splits that it did not have."""
    if not Run(path).manifest_path.is_file():
        return store.open_or_create(path, manifest)
    members = Run(path).manifest.get("members", [])
    known = {split for member in members if isinstance(member, Mapping) for split in member.get("scores", {})}
    run, _ = store.open_or_create(path, of_splits(manifest, known))
    if of_splits(manifest, known) != manifest:
        store.rewrite(run, manifest)
    return run, True


def refuse_place(path: Path, runs: Sequence[Run]) -> None:
    """Raises UsageError if an ensemble of `runs` at `path` would take the place of one of them or of what is no ensemble."""
    there = Run(path)
    if path.resolve() in {one.path.resolve() for run in runs for one in family(run)}:
        raise UsageError(
            "an ensemble cannot take the place of a run it is made of", found=there.name, remedy="give it another name with --run"
        )
    if there.manifest_path.is_file() and (kind := there.manifest.get("kind")) != KIND:
        raise UsageError(
            "a run that is no ensemble has this name, and it is never thrown away for one",
            found=f"{there.path}, {kind}",
            remedy="give the ensemble another name with --run, or rename the run",
        )


def average_into(run: Run, members: Sequence[Member], split: str) -> None:
    """Stores the weighted mean of the members' probabilities of one split as that split of `run`.

    Raises MismatchError listing the differences if class names, tracks, rows or frames differ, DataError if a member has no
    complete scores of the split.
    """
    runs = [member.run for member in members]
    _compare_classes(runs)
    indices = [scores.read_index(member, split) for member in runs]
    _compare_tracks(runs, split, indices)
    _compare_images(runs, split, indices)
    _compare_frames(runs, split, indices)
    _write_split(run, members, split, indices, union=False)


def _manifest(
    members: Sequence[Member], indices: Mapping[str, Sequence[ScoreIndex]], union: bool, settings: StoredSettings
) -> dict[str, Any]:
    manifests = [member.run.manifest for member in members]
    priors = [manifest.get("prior") for manifest in manifests]
    known = [prior for prior in priors if prior]
    roots = [manifest.get("where", {}).get("data") for manifest in manifests]
    return {
        "kind": KIND,
        "challenge": manifests[0].get("challenge", "EXPR"),
        "class_names": manifests[0]["class_names"],
        "members": [
            {
                "run": member.run.name,
                "weight": plain(member.weight),
                "temperature": plain(member.temperature),
                **({"flip": True} if member.flip else {}),
                "scores": {split: scores.tracks_digest(index[position]) for split, index in indices.items()},
            }
            for position, member in enumerate(members)
        ],
        "union": union,
        **({"postprocessing": settings.values} if settings.values else {}),
        **({"frame_rate": settings.frame_rate} if settings.frame_rate is not None else {}),
        "prior": np.mean(known, axis=0).tolist() if known else None,
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
        "where": {"data": next((root for root in roots if root), None)},
    }


def _compare_classes(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        if run.class_names != first.class_names:
            raise MismatchError(
                "the runs have different classes or another order of them",
                found=f"{first.name}: {', '.join(first.class_names)}; {run.name}: {', '.join(run.class_names)}",
                remedy="`harness import --classes` puts foreign classes in order",
            )


def _common_splits(members: Sequence[Member]) -> list[str]:
    runs = [member.run for member in members]
    common = [split for split in runs[0].splits() if all(split in run.splits() for run in runs)]
    if any(member.flip for member in members):
        common = [split for split in common if not split.endswith(".flip")]
    if all(split.endswith(".flip") for split in common):
        held = "; ".join(f"{run.name}: {', '.join(run.splits()) or 'none'}" for run in runs)
        raise DataError(
            "no split was predicted by all of the runs", found=held, remedy="`harness predict RUN --split test` for each"
        )
    return common


def _refuse(what: str, split: str, differences: Sequence[str], remedy: str) -> None:
    if not differences:
        return
    shown = list(differences[:MOST_LISTED])
    if len(differences) > MOST_LISTED:
        shown.append(f"... and {len(differences) - MOST_LISTED} more")
    raise MismatchError(f"the runs differ in their {what} of split {split!r}", found="\n    ".join(["", *shown]), remedy=remedy)


def _compare_tracks(runs: Sequence[Run], split: str, indices: Sequence[ScoreIndex]) -> None:
    first = indices[0].rows
    differences = []
    for run, index in zip(runs[1:], indices[1:], strict=True):
        rows = index.rows
        for name in dict.fromkeys([*first, *rows]):
            if first.get(name) != rows.get(name):
                left, right = (f"{count} rows" if count is not None else "absent" for count in (first.get(name), rows.get(name)))
                differences.append(f"{name}: {left} in {runs[0].name}, {right} in {run.name}")
    _refuse("tracks or rows", split, differences, "predict them again on one data root")


def _compare_images(runs: Sequence[Run], split: str, indices: Sequence[ScoreIndex]) -> None:
    """Refuses runs that saw other images of a track, though they took the same frames of the same crops."""
    differences = []
    seen: dict[tuple[Any, ...], tuple[Run, ScoreIndex]] = {}
    for run, index in zip(runs, indices, strict=True):
        if "crops" not in index.settings:
            continue
        kind = (index.settings["crops"], index.settings.get("stride"))
        first, other = seen.setdefault(kind, (run, index))
        for name, record in index.tracks.items():
            if name in other.tracks and record.images and other.tracks[name].images not in ("", record.images):
                differences.append(f"{name}: other images in {first.name} than in {run.name}")
    _refuse("images", split, differences, "predict them again on one data root")


def _compare_frames(runs: Sequence[Run], split: str, indices: Sequence[ScoreIndex]) -> None:
    differences = []
    for name in indices[0].tracks:
        first = scores.read_track(runs[0], split, name).frame
        for run in runs[1:]:
            other = scores.read_track(run, split, name).frame
            if not np.array_equal(first, other):
                only_first, only_other = np.setdiff1d(first, other), np.setdiff1d(other, first)
                differences.append(
                    f"{name}: {counted(len(only_first), 'frame')} only in {runs[0].name}{_some(only_first)}, "
                    f"{len(only_other)} only in {run.name}{_some(only_other)}"
                )
    _refuse("frames", split, differences, "--union interpolates each run where another one has a score")


def _some(frames: NDArray[np.int32]) -> str:
    return f" ({', '.join(map(str, frames[:3].tolist()))}{', ...' if len(frames) > 3 else ''})" if len(frames) else ""


def _write_split(run: Run, members: Sequence[Member], split: str, indices: Sequence[ScoreIndex], union: bool) -> None:
    """Writes the mean of each track as it is made: memory does not grow with the number of tracks."""
    priors = [prior_of(member.run, None) for member in members]
    answered = parts_of_run(members[0].run)
    records = {}
    flipped = [
        mirrored_index(member.run, split, index) if member.flip else None for member, index in zip(members, indices, strict=True)
    ]
    for name, record in indices[0].tracks.items():
        parts = [
            seen_frames(member.run, answered, split, name, index, mirrored, member.temperature)
            for member, index, mirrored in zip(members, indices, flipped, strict=True)
        ]
        frames = np.unique(np.concatenate([frame for frame, _ in parts])) if union else parts[0][0]
        aligned = [
            _at_frames(frame, values, frames, record.rows, prior) for prior, (frame, values) in zip(priors, parts, strict=True)
        ]
        mean = _mean(aligned, members, answered).astype(np.float32)
        digest = scores.write_track(run, split, name, TrackScores(frames, mean))
        tried = {frame for index in indices for frame in index.tracks[name].unreadable}
        unreadable = tuple(sorted(tried.difference(frames.tolist())))
        records[name] = replace(record, seen=len(frames), unreadable=unreadable, images="", scores=digest)
    for member, index in zip(members, indices, strict=True):
        scores.refuse_written_anew(member.run, split, index)
    settings = {
        "members": [member.run.name for member in members],
        "weights": [plain(member.weight) for member in members],
        "checkpoints": [index.checkpoint for index in indices],
    }
    scores.write_index(run, split, ScoreIndex(run.class_names, "probabilities", None, settings, records))


def _mean(aligned: Sequence[NDArray[np.float64]], members: Sequence[Member], parts: Parts) -> NDArray[np.float64]:
    """The weighted mean of the members' values (S, columns), part by part."""
    weights = [for_parts(member.weight, len(parts.placed)) for member in members]
    means = [
        combine([values[:, own.columns] for values in aligned], [one[number] for one in weights])
        for number, own in enumerate(parts.placed)
    ]
    return np.concatenate(means, axis=1)


def _at_frames(
    frame: NDArray[np.int32], probabilities: NDArray[np.float64], wanted: NDArray[np.int32], rows: int, prior: Sequence[float]
) -> NDArray[np.float64]:
    """Probabilities of the wanted frames; those without a score are interpolated. A track without any score gets `prior`."""
    if np.array_equal(frame, wanted):
        return probabilities
    filled, _ = fill(frame, probabilities, rows, "linear", prior=prior)
    return filled[wanted - 1]
