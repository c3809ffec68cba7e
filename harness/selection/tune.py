"""Tuning a run's post-processing by nested folds over recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.data.tracks import DataRoot
from harness.evaluation.plain import plain
from harness.postprocess.chain import PostProcessing
from harness.runs.scores import index_digest
from harness.runs.store import Run
from harness.selection.nested import FOLDS, Counts, Gain, Mask, divide, gain, judged, macro_f1_of
from harness.selection.scorer import Scorer
from harness.selection.stages import stages
from harness.selection.transitions import Habits, habits

STRIDES = (2, 3, 5, 10)
"""Strides whose cost is told: of every how many stored scores one is used."""


@dataclass(frozen=True)
class StageResult:
    """One setting after tuning.

    Attributes
    ----------
    chosen : the setting in words, as it comes out on all recordings.
    inside : its gain on the recordings it was chosen on.
    outside : its gain on recordings it was not chosen on.
    kept : whether the gain outside is sure enough; else the setting stays as it was.
    """

    name: str
    chosen: str
    inside: float
    outside: Gain
    kept: bool


@dataclass(frozen=True)
class Tuning:
    """The outcome of tuning.

    Attributes
    ----------
    settings : what to use from now on.
    before : macro-F1 of the settings it began with, over the classes that are tuned on.
    inside : the gain of `settings` on the recordings they were chosen on, which flatters.
    outside : the gain on recordings that had no part in any choice, the choice of what to keep included.
    strides : what macro-F1 loses or gains, under `settings`, when every so many-th stored score is used and the others are
        interpolated: the price of `harness predict --stride N`.
    scores : sha256 of the index of the scores it was chosen on.
    judged : confusion matrices (R, C, C) of the recordings under what was chosen without them.
    """

    settings: PostProcessing
    stages: tuple[StageResult, ...]
    before: float
    inside: float
    outside: Gain
    tuned_classes: tuple[str, ...]
    recordings: int
    strides: dict[int, float]
    scores: str
    judged: Counts = field(compare=False, repr=False)

    @property
    def optimism(self) -> float:
        """By how much the gain inside flatters."""
        return self.inside - self.outside.value

    def as_dict(self, split: str, seed: int, frame_rate: float | None) -> dict[str, Any]:
        """What is stored as tuned.json, with the `frame_rate` that tracks of unknown rate were taken for."""
        return {
            "postprocessing": self.settings.as_dict(),
            "split": split,
            "seed": seed,
            "frame_rate": frame_rate,
            "folds": FOLDS,
            "optimism": self.optimism,
            **{key: value for key, value in plain(self).items() if key not in ("settings", "judged")},
        }


def tune(
    run: Run,
    split: str,
    root: DataRoot,
    start: PostProcessing,
    seed: int = 0,
    frame_rate: float | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Chooses post-processing for a run on a split's labels, keeping what gains on recordings that had no part in the choice.

    Setting after setting is chosen on four fifths of the recordings and judged on the others; it is kept if recordings make a
    gain at least as probable as selection.nested.KEPT_FROM. All of this is itself repeated without each fifth of the recordings
    to tell what the whole procedure gains. Training labels say how classes follow one another, but for those of the recordings
    that are judged; labels of a test split are never read.

    Raises UsageError for a test split or one the run learned from, DataError if the split has no labels or a single recording.
    """
    return Tuner(Scorer(run, split, root, frame_rate), start, seed).tune(progress)


class Tuner:
    """Tunes one run, beginning with the settings `start`."""

    def __init__(self, scorer: Scorer, start: PostProcessing, seed: int = 0) -> None:
        self.scorer, self.start, self.seed = scorer, start, seed
        splits = scorer.run.splits()
        # A model can score the mirrored images of test when they are asked for; an ensemble has what its members had.
        on_test = scorer.run.manifest.get("kind") != "ensemble" or "test" not in splits or "test.flip" in splits
        self.flips = f"{scorer.split}.flip" in splits and on_test
        self._chosen: dict[bytes, tuple[PostProcessing, list[StageResult]]] = {}
        self._habits: dict[frozenset[str], Habits | None] = {}

    def tune(self, progress: Callable[[str], None] = lambda line: None) -> Tuning:
        """Chooses on all recordings, and tells what that gains by choosing without each fifth of them."""
        scorer, start = self.scorer, self.start
        digest = index_digest(scorer.run, scorer.split)
        everything = np.ones(len(scorer.recordings), dtype=bool)
        divisions = divide(scorer.tracks, scorer.recordings, everything, self.seed)
        choices = []
        for number, division in enumerate(divisions, start=1):
            progress(f"choosing without part {number} of {len(divisions)} of the recordings")
            choices.append(self.choose(division.choosing)[0])
        progress("choosing on all recordings")
        settings, results = self.choose(everything)
        before = scorer.confusions(start)
        outside = judged(divisions, choices, scorer.confusions)
        return Tuning(
            settings=settings,
            stages=tuple(results),
            before=macro_f1_of(before, scorer.tuned),
            inside=gain(before, scorer.confusions(settings), scorer.tuned).value,
            outside=gain(before, outside, scorer.tuned),
            tuned_classes=tuple(name for name, tuned in zip(scorer.run.class_names, scorer.tuned, strict=True) if tuned),
            recordings=len(scorer.recordings),
            strides={
                stride: gain(scorer.confusions(settings), scorer.confusions(settings, stride), scorer.tuned).value
                for stride in STRIDES
            },
            scores=digest,
            judged=outside,
        )

    def choose(self, among: Mask) -> tuple[PostProcessing, list[StageResult]]:
        """The whole procedure on the recordings of a mask: each setting in turn, kept if it gains in folds of them."""
        key = among.tobytes()
        if key not in self._chosen:
            self._chosen[key] = self._choose(among)
        return self._chosen[key]

    def _choose(self, among: Mask) -> tuple[PostProcessing, list[StageResult]]:
        scorer = self.scorer
        divisions = divide(scorer.tracks, scorer.recordings, among, self.seed)
        settings, results = self.start, []
        # What is chosen without each fold, beside `settings`, which is chosen on all recordings of the mask.
        in_folds = [self.start] * len(divisions)
        for stage in stages(self.flips, scorer.has_rates, self._habits_for(among)):
            tried = [
                stage.choose(scorer, current, division.choosing) for current, division in zip(in_folds, divisions, strict=True)
            ]
            before, after = (judged(divisions, choices, scorer.confusions) for choices in (in_folds, tried))
            outside = gain(before, after, scorer.tuned, among)
            chosen = stage.choose(scorer, settings, among)
            inside = gain(scorer.confusions(settings), scorer.confusions(chosen), scorer.tuned, among).value
            results.append(StageResult(stage.name, stage.words(chosen), inside, outside, outside.kept))
            if outside.kept:
                settings, in_folds = chosen, tried
        return settings, results

    def _habits_for(self, among: Mask) -> Callable[[Mask], Habits | None]:
        """What the training labels say for a choice on the recordings of a mask: nothing of the recordings it is judged on.

        Within a part of the recordings, whose own folds only decide what is kept, the habits of the whole part serve: a decoder
        with other habits in each fold of each part would be tried a hundred times more, and the part that judges all of this is
        left out either way.
        """
        if among.all():
            return self._habits_in
        known = self._habits_in(among)
        return lambda mask: known

    def _habits_in(self, mask: Mask) -> Habits | None:
        scorer = self.scorer
        left_out = frozenset(name for name, inside in zip(scorer.recordings, mask, strict=True) if not inside)
        tracks = [track for track in scorer.root.tracks if track.split == "train" and track.recording not in left_out]
        left_out &= {track.recording for track in scorer.root.tracks if track.split == "train"}
        if left_out not in self._habits:
            self._habits[left_out] = habits(tracks, scorer.classes, scorer.frame_rate)
        return self._habits[left_out]
