"""From a run's checkpoint to complete scores or features of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from harness import files
from harness.data.crops import images_digest
from harness.data.tracks import OUT_OF_FOLD, DataRoot, Track
from harness.errors import DataError, UsageError
from harness.images.batches import describe_unreadable
from harness.images.device import make_accelerator
from harness.images.launching import overruled
from harness.inference.network import load_network, recipe_of, warn_if_unfinished, with_checkpoint
from harness.inference.score import ImageScorer
from harness.inference.settings import Scoring
from harness.inference.split import ScoredSplit, SplitScorer
from harness.inference.temporal import TemporalScorer, ensure_features
from harness.runs.features import recorded_sets
from harness.runs.lineage import adding_to, run_digest
from harness.runs.scores import SCORES, Store
from harness.runs.shards import parse_shard
from harness.runs.store import Run
from harness.words import counted


def predict(
    run: Run,
    root: DataRoot,
    split: str,
    scoring: Scoring,
    say: Callable[[str], None],
    tracks: Sequence[Track] | None = None,
    store: Store = SCORES,
) -> ScoredSplit:
    """Scores what is missing or stale of a split and says what was done; see ImageScorer and TemporalScorer.

    With `tracks` these are scored and `split` is only the name of the score set. With `store` FEATURES the backbone's features
    are stored instead.

    Raises UsageError for an unknown split, checkpoint or shard, DataError for missing or damaged data, LockedError if another
    process scores the same shard, MismatchError if another run takes the place of this one meanwhile.
    """
    parse_shard(scoring.shard)
    tracks = _tracks_of(root, split) if tracks is None else tracks
    if scoring.verify:
        tracks = [_unpacked(track, say) for track in tracks]
    accelerator = make_accelerator("fp32")
    version = run_digest(run)
    sets = recorded_sets(run) if store is SCORES else None
    scorer: SplitScorer
    if sets is None:
        recipe = recipe_of(run)
        chosen, network = with_checkpoint(run, scoring.checkpoint, say, lambda found: load_network(run, recipe, found))
        scorer = ImageScorer(run, split, tracks, chosen, scoring, accelerator, say, store, recipe=recipe, network=network)
    else:
        if scoring.stride != 1:
            raise UsageError("a temporal model scores every frame that has features", found=f"--stride {scoring.stride}")
        chosen, scorer = with_checkpoint(
            run,
            scoring.checkpoint,
            say,
            lambda found: TemporalScorer(run, split, tracks, found, scoring, accelerator, say, sets=sets),
        )
        ensure_features(sets, scorer, root)
    _refuse_not_finite(scorer.network, chosen.path)
    if not scoring.flip:  # The scores of mirrored images are made beside the others, for which it is said.
        warn_if_unfinished(run, chosen, say)
    for line in overruled():
        say(f"warning: {line}")
    say(f"scoring with {accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}")
    with adding_to(run, version, "its checkpoint was loaded"):
        summary = scorer.score()
    say(
        f"{scorer.name}: {store.name} of {counted(summary.scored, 'track')} made, {summary.kept} unchanged; "
        f"checkpoint of step {chosen.step}, {scorer.settings['precision']}"
    )
    for line in describe_unreadable(summary.unreadable, "counted as missing"):
        say(line)
    return summary


def _unpacked(track: Track, say: Callable[[str], None]) -> Track:
    """The track as its images are, not as they were packed; packed crops that are not the same are removed."""
    if track.packed is None:
        return track
    images = replace(track, packed=None)
    if images_digest(images) != images_digest(track):
        files.remove(track.packed)
        say(
            f"warning: the packed crops of {track.name} no longer matched its images and are removed; "
            "`harness doctor DATA --pack` packs again"
        )
    return images


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
