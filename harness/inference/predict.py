"""From a run's checkpoint to complete scores of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from harness.data.tracks import OUT_OF_FOLD, DataRoot, Track
from harness.errors import DataError, UsageError
from harness.images.batches import describe_unreadable
from harness.images.device import make_accelerator
from harness.inference.network import load_network, recipe_of
from harness.inference.score import Scorer, ScoreSettings, Summary
from harness.inference.shards import parse_shard
from harness.runs import checkpoints
from harness.runs.store import Run


def predict(
    run: Run,
    root: DataRoot,
    split: str,
    *,
    checkpoint: str,
    precision: str | None,
    batch: int,
    stride: int,
    flip: bool,
    shard: str,
    workers: int,
    verify: bool,
    strict: bool,
    say: Callable[[str], None],
    tracks: Sequence[Track] | None = None,
) -> Summary:
    """Scores what is missing or stale of a split and says what was done; see Scorer.

    With `tracks` these are scored and `split` is only the name of the score set.

    Raises UsageError for an unknown split, checkpoint or shard, DataError for missing or damaged data, LockedError if another
    process scores the same shard.
    """
    if tracks is None:
        tracks = _tracks_of(root, split)
    part = parse_shard(shard)
    recipe = recipe_of(run)
    chosen = checkpoints.choose(run, checkpoint, lambda error: say(f"passed over a damaged checkpoint: {error}"))
    settings = ScoreSettings(precision or recipe.precision, batch, stride, flip)
    network = load_network(run, recipe, chosen)
    _refuse_not_finite(network, chosen.path)
    accelerator = make_accelerator("fp32")
    say(f"scoring with {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}")
    scorer = Scorer(run, recipe, network, chosen, settings, split, tracks, accelerator, say)
    summary = scorer.score(part, workers, verify, strict)
    say(
        f"{scorer.split}: {summary.scored} tracks scored, {summary.kept} kept as they were; "
        f"checkpoint of step {chosen.step}, {settings.precision}"
    )
    for line in describe_unreadable(summary.unreadable, "counted as missing"):
        say(line)
    return summary


def _tracks_of(root: DataRoot, split: str) -> Sequence[Track]:
    if split == OUT_OF_FOLD:
        raise UsageError(
            "only a cross-validation has out-of-fold scores", found=f"--split {split}", remedy="`harness crossval` makes one"
        )
    return root.split(split)


def _refuse_not_finite(network: nn.Module, path: Path) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(f"the weight {name!r} of this checkpoint is not finite", path=path, remedy="use another checkpoint")
