"""Tuning a run's post-processing by nested folds over recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.data.tracks import DataRoot
from harness.evaluation.plain import plain
from harness.postprocess.chain import PostProcessing
from harness.runs.store import Run
from harness.selection.nested import FOLDS, Counts, Gain, Mask, divide, gain, judged, macro_f1_of
from harness.selection.scorer import Scorer
from harness.selection.stages import Stage, stages
from harness.selection.transitions import habits

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
    judged: Counts = field(compare=False, repr=False)

    @property
    def optimism(self) -> float:
        """By how much the gain inside flatters."""
        return self.inside - self.outside.value

    def as_dict(self, split: str, seed: int) -> dict[str, Any]:
        """What is stored as tuned.json."""
        return {
            "postprocessing": self.settings.as_dict(),
            "split": split,
            "seed": seed,
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
    to tell what the whole procedure gains. Training labels say how classes follow one another; labels of a test split are never
    read.

    Raises UsageError for a test split, DataError if the split has no labels or a single recording.
    """
    scorer = Scorer(run, split, root, frame_rate)
    known = habits([track for track in root.tracks if track.split == "train"], scorer.classes, frame_rate)
    available = stages(f"{split}.flip" in run.splits(), scorer.has_rates, known)
    everything = np.ones(len(scorer.recordings), dtype=bool)
    divisions = divide(scorer.tracks, scorer.recordings, everything, seed)
    choices = []
    for number, division in enumerate(divisions, start=1):
        progress(f"choosing without part {number} of {len(divisions)} of the recordings")
        choices.append(_choose(scorer, available, start, division.choosing, seed)[0])
    progress("choosing on all recordings")
    settings, results = _choose(scorer, available, start, everything, seed)
    before = scorer.confusions(start)
    outside = judged(divisions, choices, scorer.confusions)
    return Tuning(
        settings=settings,
        stages=tuple(results),
        before=macro_f1_of(before, scorer.tuned),
        inside=_gained(before, scorer.confusions(settings), scorer),
        outside=gain(before, outside, scorer.tuned),
        tuned_classes=tuple(name for name, tuned in zip(run.class_names, scorer.tuned, strict=True) if tuned),
        recordings=len(scorer.recordings),
        strides={stride: _gained(scorer.confusions(settings), scorer.confusions(settings, stride), scorer) for stride in STRIDES},
        judged=outside,
    )


def _gained(before: Counts, after: Counts, scorer: Scorer) -> float:
    return gain(before, after, scorer.tuned).value


def _choose(
    scorer: Scorer, available: Sequence[Stage], start: PostProcessing, among: Mask, seed: int
) -> tuple[PostProcessing, list[StageResult]]:
    """The whole procedure on the recordings of a mask: each setting in turn, kept if it gains in folds of those recordings."""
    divisions = divide(scorer.tracks, scorer.recordings, among, seed)
    settings, results = start, []
    # What is chosen without each fold, beside `settings`, which is chosen on all recordings of the mask.
    in_folds = [start] * len(divisions)
    for stage in available:
        tried = [stage.choose(scorer, current, division.choosing) for current, division in zip(in_folds, divisions, strict=True)]
        before, after = (judged(divisions, choices, scorer.confusions) for choices in (in_folds, tried))
        outside = gain(before, after, scorer.tuned, among)
        chosen = stage.choose(scorer, settings, among)
        inside = gain(scorer.confusions(settings), scorer.confusions(chosen), scorer.tuned, among).value
        results.append(StageResult(stage.name, stage.words(chosen), inside, outside, outside.kept))
        if outside.kept:
            settings, in_folds = chosen, tried
    return settings, results
