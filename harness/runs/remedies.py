"""What makes the scores of a run, by the kind of the run: the remedy of every message about scores that are not there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from harness import files
from harness.data.tracks import OUT_OF_FOLD, SPLITS
from harness.errors import DataError
from harness.runs.store import TUNED, Run

FOLD = "-fold-"
"""Between the name of a cross-validation and the number of the fold, in the name of a run of one fold."""


def scoring_remedy(run: Run, split: str, flip: bool = False, fresh: bool = False) -> str:
    """The commands that make a run's scores of a split, or of its mirrored images; in words where no command does.

    With `fresh` an ensemble is made anew, because its members have changed.
    """
    try:
        manifest = run.manifest
    except DataError:
        manifest = {}
    kind = str(manifest.get("kind", "training"))
    if kind == "ensemble":
        return _of_ensemble(run, manifest, split, flip, fresh)
    if kind == "import" and manifest.get("class_names"):
        return "mirrored images need a network: leave out --flip" if flip else f"import a file that holds the split {split!r}"
    if kind not in ("training", "crossval"):
        return "name a run that has scores: `harness runs` lists them"
    return _of_network(run, kind, split, " --flip" * flip)


def _of_network(run: Run, kind: str, split: str, flip: str) -> str:
    of_folds, _, fold = run.name.rpartition(FOLD)
    if of_folds and split == f"fold-{fold}":
        return f"`harness predict {shlex.quote(of_folds)} --split {OUT_OF_FOLD}{flip}`"
    if kind == "crossval" and split in ("train", "val"):
        split = OUT_OF_FOLD
    if split in SPLITS or (kind == "crossval" and split == OUT_OF_FOLD):
        return f"`harness predict {shlex.quote(run.name)} --split {split}{flip}`"
    return "name another split with --split"


def _of_ensemble(run: Run, manifest: Mapping[str, Any], split: str, flip: bool, fresh: bool) -> str:
    """Scores what members lack, then averages again as it was done before."""
    try:
        members = [(str(entry["run"]), float(entry["weight"])) for entry in manifest["members"]]
    except (KeyError, TypeError, ValueError):
        return "make the ensemble anew with --fresh"
    steps = []
    for name, _ in members:
        member, wanted = Run(run.path.parent / name), f"{split}.flip" if flip else split
        if member.manifest_path.is_file() and wanted not in member.splits():
            steps.append(scoring_remedy(member, split, flip))
    names = " ".join(shlex.quote(name) for name, _ in members)
    options = _weights(run, [weight for _, weight in members]) + " --fresh" * fresh
    again = f"`harness ensemble {names} --run {shlex.quote(run.name)}{options}`"
    return ", then ".join([*dict.fromkeys(steps), again])


def _weights(run: Run, weights: list[float]) -> str:
    """The option by which the members were weighted."""
    tuned = run.path / TUNED
    content = files.read_json(tuned) if tuned.is_file() else {}
    if isinstance(content, Mapping) and "plain_mean" in content:
        return f" --fit {content.get('split', 'val')}"
    return "" if len(set(weights)) == 1 else f" --weights {','.join(f'{weight:g}' for weight in weights)}"
