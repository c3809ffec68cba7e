"""Fits an ensemble to the labels of a split: a temperature for each run, weights, and a class bias, by nested folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot
from harness.errors import MismatchError, UsageError
from harness.evaluation.plain import plain
from harness.postprocess.chain import PostProcessing
from harness.runs.store import Run
from harness.selection.bias import fit_bias
from harness.selection.ensemble import Member
from harness.selection.nested import FOLDS, Counts, Gain, Mask, divide, gain, judged, macro_f1_of
from harness.selection.scorer import LabelledFrames, Scorer
from harness.selection.temperature import fit_temperature
from harness.selection.weights import fit_weights


@dataclass(frozen=True)
class Mixture:
    """An ensemble of K runs: a temperature and a weight for each, and a class bias, empty for none."""

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    bias: tuple[float, ...] = ()

    def members(self, runs: Sequence[Run]) -> list[Member]:
        """The runs as members of an ensemble with these weights and temperatures."""
        return [
            Member(run, weight, temperature)
            for run, weight, temperature in zip(runs, self.weights, self.temperatures, strict=True)
        ]


@dataclass(frozen=True)
class Plan:
    """What of a mixture is fitted to labels; the rest is equal weights, temperatures of 1, no bias."""

    weights: bool = False
    temperatures: bool = False
    bias: bool = False


# Steps from the plain mean to all that can be fitted; each is taken only if it gains on recordings that had no part in the fit.
STEPS = ("weights", "temperatures", "bias")


@dataclass(frozen=True)
class Step:
    """One step of fitting: its gain on the recordings it was fitted to and on others, and whether it was taken."""

    name: str
    inside: float
    outside: Gain
    taken: bool


@dataclass(frozen=True)
class EnsembleFit:
    """What was fitted, and what it gains.

    Attributes
    ----------
    mixture : what to use.
    steps : the steps from the plain mean, each judged beside those taken before it.
    members : macro-F1 of each run alone, by name.
    plain_mean : macro-F1 of the mean with equal weights.
    inside, outside : gain of all that is used over the plain mean, on the recordings it was fitted to and on others; the choice
        of steps is made inside, too.
    tuned_classes : the classes with enough frames; all figures are means over these.
    judged : confusion matrices (R, C, C) of the recordings under what was fitted without them.
    """

    mixture: Mixture
    steps: tuple[Step, ...]
    members: dict[str, float]
    plain_mean: float
    inside: float
    outside: Gain
    tuned_classes: tuple[str, ...]
    recordings: int
    judged: Counts = field(compare=False, repr=False)

    @property
    def optimism(self) -> float:
        """By how much the gain inside flatters."""
        return self.inside - self.outside.value

    def as_dict(self, split: str, seed: int) -> dict[str, Any]:
        """What is stored as tuned.json beside the ensemble: its bias as post-processing, and all figures."""
        return {
            "postprocessing": PostProcessing(bias=self.mixture.bias).as_dict(),
            "split": split,
            "seed": seed,
            "folds": FOLDS,
            "optimism": self.optimism,
            **{key: value for key, value in plain(self).items() if key != "judged"},
        }


def fit_ensemble(
    runs: Sequence[Run],
    split: str,
    root: DataRoot,
    seed: int = 0,
    frame_rate: float | None = None,
    with_bias: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> EnsembleFit:
    """Fits weights, temperatures and class bias of an ensemble of `runs` to a split's labels.

    Every run's probabilities are filled and smoothed as by default, which averaging does not disturb. Each step is fitted on four
    fifths of the recordings and judged on the others, and taken if recordings make its gain at least as probable as
    selection.nested.KEPT_FROM; without `with_bias` there is no step for the class bias. All of this is itself repeated without
    each fifth of the recordings to tell what the whole procedure gains.

    Raises UsageError for a test split or fewer than two runs, MismatchError for runs of different classes, DataError if the split
    has no labels or a single recording.
    """
    if len(runs) < 2:
        raise UsageError("an ensemble to fit needs two runs or more", found=" ".join(run.name for run in runs))
    if len({run.class_names for run in runs}) > 1:
        raise MismatchError("the runs have different classes or another order of them", found=", ".join(run.name for run in runs))
    fitter = _Fitter([Scorer(run, split, root, frame_rate) for run in runs], STEPS if with_bias else STEPS[:-1])
    everything = np.ones(len(fitter.recordings), dtype=bool)
    divisions = divide(fitter.tracks, fitter.recordings, everything, seed)
    choices = []
    for number, division in enumerate(divisions, start=1):
        progress(f"fitting without part {number} of {len(divisions)} of the recordings")
        choices.append(fitter.choose(division.choosing, seed)[0])
    progress("fitting to all recordings")
    mixture, steps = fitter.choose(everything, seed)
    before, after = fitter.confusions(fitter.fit(Plan(), everything)), fitter.confusions(mixture)
    outside = judged(divisions, choices, fitter.confusions)
    return EnsembleFit(
        mixture=mixture,
        steps=tuple(steps),
        members={run.name: macro_f1_of(matrices, fitter.tuned) for run, matrices in zip(runs, fitter.alone(), strict=True)},
        plain_mean=macro_f1_of(before, fitter.tuned),
        inside=gain(before, after, fitter.tuned).value,
        outside=gain(before, outside, fitter.tuned),
        tuned_classes=tuple(name for name, tuned in zip(runs[0].class_names, fitter.tuned, strict=True) if tuned),
        recordings=len(fitter.recordings),
        judged=outside,
    )


class _Fitter:
    """Fits mixtures of members, whose probabilities their scorers keep by temperature."""

    def __init__(self, scorers: Sequence[Scorer], steps: Sequence[str]) -> None:
        self.scorers, self.steps = scorers, steps
        self.tracks, self.recordings, self.tuned = scorers[0].tracks, scorers[0].recordings, scorers[0].tuned

    def choose(self, among: Mask, seed: int) -> tuple[Mixture, list[Step]]:
        """The whole procedure on the recordings of a mask: step by step, each taken if it gains in folds of those recordings."""
        divisions = divide(self.tracks, self.recordings, among, seed)

        def in_folds(plan: Plan) -> Counts:
            return judged(divisions, [self.fit(plan, division.choosing) for division in divisions], self.confusions)

        plan, results = Plan(), []
        here, outside = self.confusions(self.fit(plan, among)), in_folds(plan)
        for name in self.steps:
            further = replace(plan, **{name: True})
            here_further, outside_further = self.confusions(self.fit(further, among)), in_folds(further)
            step = gain(outside, outside_further, self.tuned, among)
            inside = gain(here, here_further, self.tuned, among).value
            results.append(Step(name, inside, step, step.kept))
            if step.kept:
                plan, here, outside = further, here_further, outside_further
        return self.fit(plan, among), results

    def fit(self, plan: Plan, mask: Mask) -> Mixture:
        """What the plan says, fitted to the recordings of a mask."""
        count = len(self.scorers)
        temperatures = self._temperatures(mask) if plan.temperatures else (1.0,) * count
        members = [member.to_fit(mask) for member in self._members(temperatures)]
        labels = members[0].labels
        weights = (1.0 / count,) * count
        if plan.weights:
            weights = tuple(fit_weights([member.probabilities for member in members], labels, self.tuned).round(6).tolist())
        bias: tuple[float, ...] = ()
        if plan.bias:
            bias = fit_bias(_mean([member.probabilities for member in members], weights), labels, self.tuned)
        return Mixture(temperatures, weights, bias)

    def confusions(self, mixture: Mixture) -> Counts:
        """Confusion matrices (R, C, C) of a mixture."""
        members = self._members(mixture.temperatures)
        mean = _mean([member.probabilities for member in members], mixture.weights)
        return replace(members[0], probabilities=mean).confusions(len(self.recordings), mixture.bias)

    def alone(self) -> list[Counts]:
        """Confusion matrices (R, C, C) of each member alone."""
        return [scorer.confusions(PostProcessing()) for scorer in self.scorers]

    def _temperatures(self, mask: Mask) -> tuple[float, ...]:
        unsmoothed = [scorer.frames(PostProcessing(seconds=0.0)).to_fit(mask) for scorer in self.scorers]
        return tuple(fit_temperature(frames.probabilities, frames.labels) for frames in unsmoothed)

    def _members(self, temperatures: Sequence[float]) -> list[LabelledFrames]:
        """The labelled frames of each member, filled and smoothed as by default."""
        return [
            scorer.frames(PostProcessing(temperature=temperature))
            for scorer, temperature in zip(self.scorers, temperatures, strict=True)
        ]


def _mean(members: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """The weighted mean of arrays (N, C)."""
    total = np.zeros_like(members[0])
    for member, weight in zip(members, weights, strict=True):
        total += np.float32(weight) * member
    return total
