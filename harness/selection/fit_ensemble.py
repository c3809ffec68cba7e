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
from harness.kinds.bias import fit_bias
from harness.kinds.temperature import fit_temperature
from harness.postprocess.chain import PostProcessing
from harness.runs.scores import read_index, tracks_digest
from harness.selection.ensemble import Member
from harness.selection.nested import FOLDS, Counts, Gain, Mask, divide, gain, judged, macro_f1_of
from harness.selection.scorer import LabelledFrames, Scorer
from harness.selection.weights import fit_weights


@dataclass(frozen=True)
class Mixture:
    """An ensemble of K members: a temperature and a weight for each, and a class bias, empty for none."""

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    bias: tuple[float, ...] = ()

    def members(self, members: Sequence[Member]) -> list[Member]:
        """The same members with these weights and temperatures."""
        return [
            replace(member, weight=weight, temperature=temperature)
            for member, weight, temperature in zip(members, self.weights, self.temperatures, strict=True)
        ]


@dataclass(frozen=True)
class Plan:
    """What of a mixture is fitted to labels; the rest is equal weights, the members' temperatures, no bias."""

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
    base : how each member is filled and smoothed before it is averaged.
    steps : the steps from the plain mean, each judged beside those taken before it.
    members : macro-F1 of each run alone, by name.
    plain_mean : macro-F1 of the mean with equal weights.
    inside, outside : gain of all that is used over the plain mean, on the recordings it was fitted to and on others; the choice
        of steps is made inside, too.
    tuned_classes : the classes with enough frames; all figures are means over these.
    scores : sha256 of the tracks' scores that it was fitted to, by the name of the run.
    judged : confusion matrices (R, C, C) of the recordings under what was fitted without them.
    """

    mixture: Mixture
    base: PostProcessing
    steps: tuple[Step, ...]
    members: dict[str, float]
    plain_mean: float
    inside: float
    outside: Gain
    tuned_classes: tuple[str, ...]
    recordings: int
    scores: dict[str, str]
    judged: Counts = field(compare=False, repr=False)

    @property
    def optimism(self) -> float:
        """By how much the gain inside flatters."""
        return self.inside - self.outside.value

    @property
    def settings(self) -> PostProcessing:
        """The post-processing of the ensemble."""
        return replace(self.base, bias=self.mixture.bias)

    def as_dict(self, split: str, seed: int, frame_rate: float | None) -> dict[str, Any]:
        """What is stored as tuned.json beside the ensemble: its post-processing, and all figures."""
        return {
            "postprocessing": self.settings.as_dict(),
            "split": split,
            "seed": seed,
            "frame_rate": frame_rate,
            "folds": FOLDS,
            "optimism": self.optimism,
            **{key: value for key, value in plain(self).items() if key not in ("base", "judged")},
        }


def fit_ensemble(
    members: Sequence[Member],
    split: str,
    root: DataRoot,
    seed: int = 0,
    frame_rate: float | None = None,
    with_bias: bool = True,
    progress: Callable[[str], None] = lambda line: None,
    base: PostProcessing | None = None,
) -> EnsembleFit:
    """Fits weights, temperatures and class bias of an ensemble of `members` to a split's labels.

    Every member's probabilities are filled and smoothed as `base` says, by default as PostProcessing does, which averaging does
    not disturb. It begins with the members' own temperatures and equal weights. Each step is fitted on four fifths of the
    recordings and judged on the others, and taken if recordings make its gain at least as probable as
    selection.nested.KEPT_FROM; without `with_bias` there is no step for the class bias. All of this is itself repeated without
    each fifth of the recordings to tell what the whole procedure gains.

    Raises UsageError for a test split, one that a member learned from, or fewer than two members, MismatchError for runs of
    different classes, DataError if the split has no labels or a single recording.
    """
    names = " ".join(member.run.name for member in members)
    if len(members) < 2:
        raise UsageError("an ensemble to fit needs two runs or more", found=names)
    if len({member.run.class_names for member in members}) > 1:
        raise MismatchError("the runs have different classes or another order of them", found=names)
    scorers = [Scorer(member.run, split, root, frame_rate) for member in members]
    return Fitter(scorers, members, seed, with_bias, base or PostProcessing()).fit_ensemble(progress)


class Fitter:
    """Fits mixtures of members, whose probabilities their scorers keep by temperature."""

    def __init__(
        self, scorers: Sequence[Scorer], members: Sequence[Member], seed: int, with_bias: bool, base: PostProcessing
    ) -> None:
        self.runs = [member.run for member in members]
        self.scorers, self.members, self.seed, self.base = scorers, members, seed, base
        self.steps = STEPS if with_bias else STEPS[:-1]
        self.tracks, self.recordings, self.tuned = scorers[0].tracks, scorers[0].recordings, scorers[0].tuned
        self._chosen: dict[bytes, tuple[Mixture, list[Step]]] = {}

    def fit_ensemble(self, progress: Callable[[str], None] = lambda line: None) -> EnsembleFit:
        """Fits to all recordings, and tells what that gains by fitting without each fifth of them."""
        digests = {scorer.run.name: tracks_digest(read_index(scorer.run, scorer.split)) for scorer in self.scorers}
        everything = np.ones(len(self.recordings), dtype=bool)
        divisions = divide(self.tracks, self.recordings, everything, self.seed)
        choices = []
        for number, division in enumerate(divisions, start=1):
            progress(f"fitting without part {number} of {len(divisions)} of the recordings")
            choices.append(self.choose(division.choosing)[0])
        progress("fitting to all recordings")
        mixture, steps = self.choose(everything)
        before, after = self.confusions(self.fit(Plan(), everything)), self.confusions(mixture)
        outside = judged(divisions, choices, self.confusions)
        return EnsembleFit(
            mixture=mixture,
            base=self.base,
            steps=tuple(steps),
            members={run.name: macro_f1_of(matrices, self.tuned) for run, matrices in zip(self.runs, self.alone(), strict=True)},
            plain_mean=macro_f1_of(before, self.tuned),
            inside=gain(before, after, self.tuned).value,
            outside=gain(before, outside, self.tuned),
            tuned_classes=tuple(name for name, tuned in zip(self.runs[0].class_names, self.tuned, strict=True) if tuned),
            recordings=len(self.recordings),
            scores=digests,
            judged=outside,
        )

    def choose(self, among: Mask) -> tuple[Mixture, list[Step]]:
        """The whole procedure on the recordings of a mask: step by step, each taken if it gains in folds of those recordings."""
        key = among.tobytes()
        if key not in self._chosen:
            self._chosen[key] = self._choose(among)
        return self._chosen[key]

    def _choose(self, among: Mask) -> tuple[Mixture, list[Step]]:
        divisions = divide(self.tracks, self.recordings, among, self.seed)

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
        temperatures = self._temperatures(mask) if plan.temperatures else tuple(member.temperature for member in self.members)
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
        return [
            scorer.confusions(self._settings(member, member.temperature))
            for scorer, member in zip(self.scorers, self.members, strict=True)
        ]

    def _temperatures(self, mask: Mask) -> tuple[float, ...]:
        unsmoothed = [
            scorer.frames(replace(self._settings(member, 1.0), seconds=0.0)).to_fit(mask)
            for scorer, member in zip(self.scorers, self.members, strict=True)
        ]
        return tuple(fit_temperature(frames.probabilities, frames.labels) for frames in unsmoothed)

    def _members(self, temperatures: Sequence[float]) -> list[LabelledFrames]:
        """The labelled frames of each member, filled and smoothed as the base says."""
        return [
            scorer.frames(self._settings(member, temperature))
            for scorer, member, temperature in zip(self.scorers, self.members, temperatures, strict=True)
        ]

    def _settings(self, member: Member, temperature: float) -> PostProcessing:
        return replace(self.base, temperature=temperature, flip=member.flip or self.base.flip)


def _mean(members: Sequence[NDArray[np.float32]], weights: Sequence[float]) -> NDArray[np.float32]:
    """The weighted mean of arrays (N, C)."""
    total = np.zeros_like(members[0])
    for member, weight in zip(members, weights, strict=True):
        total += np.float32(weight) * member
    return total
