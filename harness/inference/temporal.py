"""Scores a split from stored features with a temporal model; features that can be made are made first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor

from harness import files
from harness.data.tracks import DataRoot, Track
from harness.errors import DataError
from harness.images.sequences import WindowSettings, rate_of, track_logits
from harness.inference.network import load_network, load_temporal, recipe_of, temporal_recipe_of
from harness.inference.score import PRECISIONS, Scorer, ScoreSettings
from harness.inference.split import SplitScorer, TrackResult
from harness.runs import checkpoints, features
from harness.runs.checkpoints import Checkpoint
from harness.runs.features import UNION, FeatureSet
from harness.runs.scores import FEATURES, FLIPPED, SCORES, TrackScores
from harness.runs.store import Run

WINDOWS = 16
"""Windows per forward pass where nothing else is asked for."""


@dataclass(frozen=True)
class TemporalSettings:
    """Settings that change numbers.

    Attributes
    ----------
    precision : fp32, bf16 or fp16; None for that of the training.
    batch : windows per forward pass; another number changes the last bits of a score.
    flip : whether the features of mirrored images are scored.
    frame_rate : of recordings whose rate is unknown; None for that of the training.
    """

    precision: str | None
    batch: int = WINDOWS
    flip: bool = False
    frame_rate: float | None = None


class TemporalScorer(SplitScorer):
    """Scores the tracks of one split with a temporal model: for each frame the mean of the logits of all windows it is in.

    Parameters
    ----------
    checkpoint : whose weights are used.
    sets : the feature sets the model learned from.
    split : name of the score set, also in the feature sets.
    tracks : the whole split, in its order.
    """

    def __init__(
        self,
        run: Run,
        checkpoint: Checkpoint,
        sets: Sequence[FeatureSet],
        settings: TemporalSettings,
        split: str,
        tracks: Sequence[Track],
        accelerator: Accelerator,
    ) -> None:
        recipe = temporal_recipe_of(run)
        assert recipe.rate is not None
        precision = settings.precision or recipe.precision
        self.window = WindowSettings(recipe.slots(), recipe.hop_slots(), recipe.rate, settings.batch)
        self.rates = {track.name: rate_of(track, settings.frame_rate or recipe.fps) for track in tracks}
        described = {
            "precision": precision,
            "batch": settings.batch,
            "flip": settings.flip,
            "slots": self.window.slots,
            "hop": self.window.hop,
            "rate": self.window.rate,
            "frame_rates": files.sha256_of_bytes(files.json_text(self.rates).encode()),
            "features": [one.key(settings.flip) for one in sets],
        }
        name = split + (FLIPPED if settings.flip else "")
        super().__init__(run, name, tracks, accelerator, SCORES, run.class_names, "logits", checkpoint.digest, described)
        self.sets = sets
        self.features_of = split
        self.flip = settings.flip
        self.precision = PRECISIONS.get(precision)
        self.widths = [one.width for one in sets]
        self.frames_of = recipe.frames_of()
        self.network = load_temporal(run, recipe, checkpoint, self.widths).to(accelerator.device).eval()

    def stamp(self, track: Track) -> str:
        """Of the feature files' bytes."""
        return self.digest(track)

    def digest(self, track: Track) -> str:
        """Of the feature files' bytes."""
        return features.digest(self.sets, track, self.features_of, self.flip)

    def produce(self, tracks: Sequence[Track], workers: int, strict: bool) -> Iterator[TrackResult]:
        """The logits of one track after the other; workers and strictness are for images."""
        for track in tracks:
            stored = features.read(self.sets, track, self.features_of, self.flip, self.frames_of)
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


def ensure_features(
    sets: Sequence[FeatureSet],
    root: DataRoot,
    split: str,
    accelerator: Accelerator,
    *,
    part: tuple[int, int],
    flip: bool,
    workers: int,
    verify: bool,
    strict: bool,
    say: Callable[[str], None],
) -> None:
    """Makes the missing or stale features of shard `part` of a split, where the checkpoint that makes them is still there.

    Features that cannot be made here are left as they are; whoever reads them says what is wrong with them.
    """
    for one in sets:
        checkpoint = _checkpoint_of(one)
        if checkpoint is None:
            continue
        recipe = recipe_of(one.run)
        known = one.settings
        settings = ScoreSettings(known["precision"], known["batch"], known["stride"], flip)
        network = load_network(one.run, recipe, checkpoint)
        scorer = Scorer(one.run, recipe, network, checkpoint, settings, split, root.split(split), accelerator, say, FEATURES)
        if scorer.key == one.key(flip):
            summary = scorer.score(part, workers, verify, strict)
            say(f"{scorer.split}: features of {one.run.name}: {summary.scored} tracks made, {summary.kept} kept as they were")


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
