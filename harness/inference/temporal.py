"""Scores a split from stored features with a temporal model; features that can be made are made first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness import files
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.images.sequences import WindowSettings, rate_of, track_logits
from harness.inference.network import load_network, load_temporal, recipe_of, temporal_recipe_of
from harness.inference.passes import PRECISIONS
from harness.inference.score import ImageScorer
from harness.inference.split import SplitScorer, TrackResult
from harness.runs import checkpoints, features
from harness.runs.checkpoints import Checkpoint
from harness.runs.features import UNION, FeatureSet
from harness.runs.scores import FEATURES, HALF, TrackScores
from harness.words import counted

WINDOWS = 16
"""Windows per forward pass where nothing else is asked for."""


@dataclass(eq=False, kw_only=True)
class TemporalScorer(SplitScorer):
    """Scores the tracks of one split with a temporal model: for each frame the mean of the logits of all windows it is in.

    Attributes
    ----------
    sets : the feature sets the model learned from; a track's features lie in the track's own split.
    """

    sets: Sequence[FeatureSet]

    def __post_init__(self) -> None:
        recipe = temporal_recipe_of(self.run)
        assert recipe.rate is not None
        precision = self.scoring.precision or recipe.precision
        self.window = WindowSettings(recipe.slots(), recipe.hop_slots(), recipe.rate, self.scoring.batch or WINDOWS)
        self.rates = {track.name: rate_of(track, self.scoring.frame_rate or recipe.fps) for track in self.tracks}
        self.settings = {
            "precision": precision,
            "batch": self.window.batch,
            "flip": self.scoring.flip,
            "slots": self.window.slots,
            "hop": self.window.hop,
            "rate": self.window.rate,
            "frame_rates": files.sha256_of_bytes(files.json_text(self.rates).encode()),
            "features": [one.key(self.scoring.flip) for one in self.sets],
        }
        self.precision = PRECISIONS.get(precision)
        self.widths = [one.width for one in self.sets]
        self.frames_of = recipe.frames_of()
        self.network = load_temporal(self.run, recipe, self.checkpoint, self.widths).to(self.accelerator.device).eval()

    def stamp(self, track: Track) -> str:
        """Of the feature files' bytes."""
        return self.digest(track)

    def digest(self, track: Track) -> str:
        """Of the feature files' bytes."""
        return features.digest(self.sets, track, track.split, self.scoring.flip)

    def produce(self, tracks: Sequence[Track]) -> Iterator[TrackResult]:
        """The logits of one track after the other."""
        for track in tracks:
            stored = features.read(self.sets, track, track.split, self.scoring.flip, self.frames_of)
            rate = self.rates[track.name]
            logits = track_logits(self._forward, track, stored, rate, self.window, self.widths, len(self.class_names))
            skipped = len(stored.skipped_of(track))
            seen_by = stored.present if self.frames_of == UNION else None
            yield TrackResult(track, TrackScores(stored.frame, logits, seen_by), stored.unreadable, skipped, stored.digest)

    def _forward(self, values: Tensor, masks: Tensor) -> Tensor:
        device = self.accelerator.device
        with torch.inference_mode(), torch.autocast(device.type, dtype=self.precision, enabled=self.precision is not None):
            logits: Tensor = self.network(values.to(device), masks.to(device))
        return logits


def ensure_features(sets: Sequence[FeatureSet], scorer: SplitScorer, root: DataRoot) -> None:
    """Makes the missing or stale features of `sets` for the scorer's shard, where the checkpoint that makes them is there.

    Features that cannot be made here are left as they are; whoever reads them says what is wrong with them.
    """
    splits = list(dict.fromkeys(track.split for track in scorer.tracks))
    for one in sets:
        checkpoint = _checkpoint_of(one)
        if checkpoint is None:
            continue
        recipe = recipe_of(one.run)
        known = one.settings
        network = load_network(one.run, recipe, checkpoint)
        scoring = replace(
            scorer.scoring,
            precision=known["precision"],
            batch=known["batch"],
            stride=known["stride"],
            half=known.get("stored") == HALF.name,
        )
        for split in splits:
            maker = ImageScorer(
                one.run,
                one.place_of(split),
                root.split(split),
                checkpoint,
                scoring,
                scorer.accelerator,
                scorer.say,
                FEATURES,
                recipe=recipe,
                network=network,
            )
            if maker.key == one.key(scorer.scoring.flip):
                summary = maker.score()
                scorer.say(
                    f"{maker.name}: features of {one.run.name}: {counted(summary.scored, 'track')} made, {summary.kept} unchanged"
                )


def _checkpoint_of(one: FeatureSet) -> Checkpoint | None:
    """The checkpoint that made a feature set, None if it is not there any more or damaged."""
    if one.is_imported or not one.run.manifest_path.is_file():
        return None
    for path in checkpoints.folders(one.run):
        try:
            if checkpoints.read_manifest(path).digest == one.checkpoint:
                return checkpoints.verify(path)
        except DataError:
            continue
    return None
