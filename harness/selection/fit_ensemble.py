"""Fits an ensemble to the labels of a split: a temperature for each run, weights, and an adjustment, by nested folds.

Each part of a challenge has temperatures, weights and an adjustment (harness.kinds.part) of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import MismatchError, UsageError
from harness.evaluation.describe import plain
from harness.kinds.parts import Placed
from harness.postprocess.chain import PostProcessing, for_parts, together
from harness.runs.scores import read_index, tracks_digest
from harness.runs.store import Run
from harness.selection.ensemble import Member
from harness.selection.expectation import store_choice
from harness.selection.history import FIT
from harness.selection.nested import Mask, NestedChoice, Outcome, Step
from harness.selection.scorer import FramesToFit, Scorer, ValidationSet

# Steps from the plain mean to all that can be fitted; each is taken only if it gains on recordings that had no part in the fit.
STEPS = ("weights", "temperatures", "bias")


@dataclass(frozen=True)
class Mixture:
    """An ensemble of K members: a temperature and a weight for each, and an adjustment of all parts, empty for none.

    A temperature or a weight is one for all parts of the challenge, or a tuple with one for each. `fitted` says which of STEPS
    were fitted to labels; the rest is equal weights, the members' own temperatures, no adjustment.
    """

    temperatures: tuple[float | tuple[float, ...], ...]
    weights: tuple[float | tuple[float, ...], ...]
    bias: tuple[float, ...] = ()
    fitted: frozenset[str] = field(default=frozenset(), metadata={"json": None})

    def members(self, members: Sequence[Member]) -> list[Member]:
        """The same members with these weights and temperatures."""
        return [
            replace(member, weight=weight, temperature=temperature)
            for member, weight, temperature in zip(members, self.weights, self.temperatures, strict=True)
        ]


@dataclass(frozen=True)
class EnsembleFit:
    """What was fitted, and what it gains over the mean with equal weights.

    Attributes
    ----------
    base : how each member is filled and smoothed before it is averaged.
    members : score of each run alone, by name.
    scores : sha256 of the tracks' scores that it was fitted to, by the name of the run.
    """

    outcome: Outcome[Mixture]
    base: PostProcessing
    members: dict[str, float]
    scores: dict[str, str]

    @property
    def settings(self) -> PostProcessing:
        """The post-processing of the ensemble."""
        return replace(self.base, bias=self.outcome.choice.bias)

    def as_dict(self, validation: ValidationSet) -> dict[str, Any]:
        """What is stored as tuned.json beside the ensemble: its post-processing, and all figures."""
        return {
            "postprocessing": self.settings.as_dict(),
            **validation.as_dict(),
            **self.outcome.as_dict(),
            "mixture": plain(self.outcome.choice),
            "steps": [
                {"name": step.name, "inside": step.in_sample_gain, "outside": plain(step.held_out_gain), "taken": step.kept}
                for step in self.outcome.steps
            ],
            "members": self.members,
            "plain_mean": self.outcome.before,
            "scores": self.scores,
        }

    def store(self, run: Run, validation: ValidationSet) -> None:
        """Stores with `run` what was chosen for it, and what it is then expected to score."""
        store_choice(run, FIT, self.as_dict(validation), self.outcome.expectation, self.settings)


def fit_ensemble(
    members: Sequence[Member],
    validation: ValidationSet,
    with_bias: bool = True,
    progress: Callable[[str], None] = lambda line: None,
    base: PostProcessing | None = None,
) -> EnsembleFit:
    """Fits weights, temperatures and the adjustment of an ensemble of `members` to a split's labels.

    Every member's probabilities are filled and smoothed as `base` says, by default as PostProcessing does, which averaging does
    not disturb. It begins with the members' own temperatures and equal weights; without `with_bias` there is no step for the
    adjustment.

    Raises UsageError for a test split, one that a member learned from, or fewer than two members, MismatchError for runs of
    different classes, DataError if the split has no labels or a single recording.
    """
    names = " ".join(member.run.name for member in members)
    if len(members) < 2:
        raise UsageError("an ensemble to fit needs two runs or more", found=names)
    if len({member.run.class_names for member in members}) > 1:
        raise MismatchError("the runs have different classes or another order of them", found=names)
    scorers = [Scorer(member.run, validation) for member in members]
    return Fitter(scorers, members, with_bias, base or PostProcessing()).fit_ensemble(progress)


class Fitter(NestedChoice[Mixture]):
    """Fits mixtures of members, whose probabilities their scorers keep by temperature."""

    def __init__(self, scorers: Sequence[Scorer], members: Sequence[Member], with_bias: bool, base: PostProcessing) -> None:
        super().__init__(scorers[0].validation, scorers[0].yardstick)
        self.scorers, self.members, self.base = scorers, members, base
        self.names = STEPS if with_bias else STEPS[:-1]
        self.start = Mixture(tuple(member.temperature for member in members), (1.0 / len(members),) * len(members))

    def fit_ensemble(self, progress: Callable[[str], None] = lambda line: None) -> EnsembleFit:
        """Fits to all recordings, and tells what that gains."""
        digests = {scorer.run.name: tracks_digest(read_index(scorer.run, self.validation.split)) for scorer in self.scorers}
        outcome = self.outcome(progress)
        alone = [
            self.yardstick.of_recordings(scorer.sums(self._settings(member, member.temperature)))
            for scorer, member in zip(self.scorers, self.members, strict=True)
        ]
        names = [member.run.name for member in self.members]
        return EnsembleFit(outcome, self.base, dict(zip(names, alone, strict=True)), digests)

    def steps(self, among: Mask) -> list[Step[Mixture]]:
        """Weights, temperatures and bias; with each, all that was kept before it is fitted anew."""
        return [Step(name, partial(self._fit_further, name), lambda mixture: "") for name in self.names]

    def _fit_further(self, name: str, mixture: Mixture, mask: Mask) -> Mixture:
        return self.fit(mixture.fitted | {name}, mask)

    def fit(self, what: frozenset[str], mask: Mask) -> Mixture:
        """A mixture of which `what` is fitted to the recordings of a mask (R,)."""
        temperatures = self._temperatures(mask) if "temperatures" in what else self.start.temperatures
        members = [member.of(mask) for member in self._frames(temperatures)]
        weights = self._weights(members) if "weights" in what else self.start.weights
        bias: tuple[float, ...] = ()
        if "bias" in what:
            mean, labels = self._mean(members, weights), members[0].labels
            for own in self.placed:
                judged = self.yardstick.supported[own.columns]
                bias += own.part.fit(mean[:, own.columns], labels[:, own.fields], judged)
        return Mixture(temperatures, weights, bias, what)

    def sums(self, choice: Mixture) -> NDArray:
        """Sums (R, size) of all recordings under a mixture."""
        members = self._frames(choice.temperatures)
        mean = self._mean(members, choice.weights)
        return replace(members[0], probabilities=mean).sums(len(self.validation.recordings), choice.bias)

    @property
    def placed(self) -> tuple[Placed, ...]:
        """The parts of the challenge."""
        return self.yardstick.parts.placed

    def _weights(self, members: Sequence[FramesToFit]) -> tuple[float | tuple[float, ...], ...]:
        """Weights of the members, fitted to their frames part by part."""
        fitted = []
        for own in self.placed:
            values = [member.probabilities[:, own.columns] for member in members]
            judged = self.yardstick.supported[own.columns]
            fitted.append(own.part.fit_weights(values, members[0].labels[:, own.fields], judged).round(6).tolist())
        return tuple(together(shares) for shares in zip(*fitted, strict=True))

    def _mean(self, members: Sequence[FramesToFit], weights: Sequence[float | tuple[float, ...]]) -> NDArray[np.float32]:
        """The weighted mean (N, columns) of the members' values."""
        total = np.zeros_like(members[0].probabilities)
        for member, weight in zip(members, weights, strict=True):
            for own, share in zip(self.placed, for_parts(weight, len(self.placed)), strict=True):
                total[:, own.columns] += np.float32(share) * member.probabilities[:, own.columns]
        return total

    def _temperatures(self, mask: Mask) -> tuple[float | tuple[float, ...], ...]:
        unsmoothed = [
            scorer.frames(replace(self._settings(member, 1.0), seconds=0.0)).of(mask)
            for scorer, member in zip(self.scorers, self.members, strict=True)
        ]
        return tuple(
            together(
                [
                    own.part.fit_temperature(frames.probabilities[:, own.columns], frames.labels[:, own.fields])
                    for own in self.placed
                ]
            )
            for frames in unsmoothed
        )

    def _frames(self, temperatures: Sequence[float | tuple[float, ...]]) -> list[FramesToFit]:
        """The labelled frames of each member, filled and smoothed as the base says."""
        return [
            scorer.frames(self._settings(member, temperature))
            for scorer, member, temperature in zip(self.scorers, self.members, temperatures, strict=True)
        ]

    def _settings(self, member: Member, temperature: float | tuple[float, ...]) -> PostProcessing:
        return replace(self.base, temperature=temperature, flip=member.flip or self.base.flip)
