"""Choosing on some recordings and scoring on others, so that a choice is never judged by the labels it was made with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.challenge import EXPR, Challenge
from harness.data.folds import make_folds
from harness.data.tracks import Track
from harness.errors import DataError
from harness.evaluation.describe import plain
from harness.evaluation.intervals import difference_interval, estimates, jackknife, probability_of_gain
from harness.selection.expectation import Expectation
from harness.selection.scorer import ValidationSet
from harness.selection.yardstick import Yardstick

FOLDS = 5

# A setting is kept when recordings make it at least so probable that it gains outside the choice.
KEPT_FROM = 0.8

# Of fewer recordings any gain may hang on one, so that nothing follows from it.
FEWEST_TO_HANG_ON_ONE = 10

Choice = TypeVar("Choice")
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Gain:
    """A difference of scores, its 95 % interval over recordings (None without any spread), and how sure it is above 0.

    `least` is what is left of it without the recording that it hangs on most; None for fewer than FEWEST_TO_HANG_ON_ONE.
    """

    value: float
    low: float | None
    high: float | None
    probability: float
    least: float | None = field(default=None, metadata={"json": None})

    @property
    def kept(self) -> bool:
        """Whether it is sure enough to act on, and does not hang on a single recording."""
        hangs = self.least is not None and self.least <= 0
        return self.value > 0 and self.probability >= KEPT_FROM and not hangs


@dataclass(frozen=True, eq=False)
class Fold:
    """Masks (R,) of the recordings a choice is made on, and of those held out to judge it."""

    choosing: Mask
    held_out: Mask


def make_nested_folds(
    tracks: Sequence[Track],
    recordings: Sequence[str],
    among: Mask,
    seed: int,
    count: int = FOLDS,
    challenge: Challenge = EXPR,
) -> list[Fold]:
    """Divides the recordings of the mask `among` (R,) into folds; fewer folds where there are fewer recordings.

    `tracks` are those of all `recordings`. Raises DataError for a single recording, which cannot be divided.
    """
    names = [name for name, inside in zip(recordings, among, strict=True) if inside]
    if len(names) < 2:
        raise DataError(
            "nothing can be chosen on a single recording: there is no other one to judge the choice by",
            remedy="choose on a split with more recordings",
        )
    kept = set(names)
    folds = make_folds([track for track in tracks if track.recording in kept], min(count, len(names)), seed, challenge)
    fold = np.array([folds.fold_of.get(name, -1) for name in recordings])
    return [Fold(among & (fold != number), among & (fold == number)) for number in range(folds.count)]


def held_out_sums(folds: Sequence[Fold], choices: Sequence[Choice], sums: Callable[[Choice], NDArray]) -> NDArray:
    """Sums (R, size) of recordings, each under the choice that was made without it; others are zero."""
    parts = [np.where(fold.held_out[:, None], sums(choice), 0) for fold, choice in zip(folds, choices, strict=True)]
    total: NDArray = np.sum(parts, axis=0)
    return total


def gain(before: NDArray, after: NDArray, yardstick: Yardstick, among: Mask | None = None) -> Gain:
    """The gain from the sums (R, size) of `before` to those of `after`."""
    kept = slice(None) if among is None else among
    result = jackknife(np.stack([before[kept], after[kept]], axis=1), yardstick.difference)
    (estimate,) = estimates(result, lambda one: difference_interval(one, yardstick.width))
    least = float(result.without.min()) if len(result.without) >= FEWEST_TO_HANG_ON_ONE else None
    return Gain(estimate.value, estimate.low, estimate.high, float(probability_of_gain(result)), least)


@dataclass(frozen=True)
class Step(Generic[Choice]):
    """One setting: its name, how it is chosen on the recordings of a mask given all other settings, and how it reads."""

    name: str
    choose: Callable[[Choice, Mask], Choice]
    words: Callable[[Choice], str] = str


@dataclass(frozen=True)
class StepResult:
    """One setting after choosing.

    Attributes
    ----------
    chosen : the setting in words, as it comes out on all recordings.
    in_sample_gain : its gain on the recordings it was chosen on.
    held_out_gain : its gain on recordings it was not chosen on.
    kept : whether the held-out gain is sure enough; else the setting stays as it was.
    """

    name: str
    chosen: str
    in_sample_gain: float = field(metadata={"json": "inside"})
    held_out_gain: Gain = field(metadata={"json": "outside"})
    kept: bool


@dataclass(frozen=True)
class Outcome(Generic[Choice]):
    """What was chosen, and what it gains.

    Attributes
    ----------
    choice : what to use from now on.
    steps : each setting by itself, judged beside those kept before it.
    before : score of what it began with, over the columns that are chosen by.
    in_sample_gain : the gain of `choice` on the recordings it was chosen on, which flatters.
    held_out_gain : the gain on recordings that had no part in any choice, the choice of what to keep included.
    classes : the columns (classes, units, values) with enough frames to be chosen by; all figures are means over these.
    score : what the figures are, in words.
    recordings : how many recordings there are.
    expectation : what it scores on the recordings, each under what was chosen without it.
    """

    choice: Choice
    steps: tuple[StepResult, ...]
    before: float
    in_sample_gain: float
    held_out_gain: Gain
    classes: tuple[str, ...]
    recordings: int
    score: str
    expectation: Expectation = field(compare=False, repr=False)

    @property
    def optimism(self) -> float:
        """By how much the gain in sample flatters."""
        return self.in_sample_gain - self.held_out_gain.value

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "folds": FOLDS,
            "optimism": self.optimism,
            "inside": self.in_sample_gain,
            "outside": plain(self.held_out_gain),
            "tuned_classes": list(self.classes),
            "recordings": self.recordings,
        }


class NestedChoice(ABC, Generic[Choice]):
    """A choice made step by step, each step kept only if it gains on recordings that had no part in it.

    A step is chosen on four fifths of the recordings and judged on the others, given what was kept before, and kept if
    recordings make a gain at least as probable as KEPT_FROM. All of this is itself repeated without each fifth of the recordings,
    to tell what the whole procedure gains.

    Attributes
    ----------
    start : what it begins with.
    yardstick : what it is judged by.
    """

    start: Choice

    def __init__(self, validation: ValidationSet, yardstick: Yardstick) -> None:
        self.validation, self.yardstick = validation, yardstick
        self._chosen: dict[bytes, tuple[Choice, list[StepResult]]] = {}

    @abstractmethod
    def steps(self, among: Mask) -> Sequence[Step[Choice]]:
        """The settings there are to choose on the recordings of a mask (R,), in their order."""

    @abstractmethod
    def sums(self, choice: Choice) -> NDArray:
        """Sums (R, size) of all recordings under a choice."""

    def folds(self, among: Mask) -> list[Fold]:
        """The folds of the recordings of a mask (R,)."""
        validation = self.validation
        challenge = self.yardstick.parts.challenge
        return make_nested_folds(validation.tracks, validation.recordings, among, validation.seed, challenge=challenge)

    def outcome(self, progress: Callable[[str], None] = lambda line: None) -> Outcome[Choice]:
        """Chooses on all recordings, and tells what that gains by choosing without each fifth of them."""
        everything = np.ones(len(self.validation.recordings), dtype=bool)
        folds, choices = self.folds(everything), []
        for number, fold in enumerate(folds, start=1):
            progress(f"choosing without part {number} of {len(folds)} of the recordings")
            choices.append(self.choose(fold.choosing)[0])
        progress("choosing on all recordings")
        choice, steps = self.choose(everything)
        before, after = self.sums(self.start), self.sums(choice)
        judged = held_out_sums(folds, choices, self.sums)
        measure, recordings = self.yardstick, tuple(self.validation.recordings)
        if any(step.kept for step in steps) and gain(before, judged, measure).value <= 0:
            # All of it together loses outside the choice, so nothing is changed.
            choice, after, judged = self.start, before, before
            steps = [replace(step, kept=False) for step in steps]
        return Outcome(
            choice=choice,
            steps=tuple(steps),
            before=measure.of_recordings(before),
            in_sample_gain=gain(before, after, measure).value,
            held_out_gain=gain(before, judged, measure),
            classes=measure.names,
            recordings=len(recordings),
            score=measure.score.words,
            expectation=Expectation(self.validation.split, measure.parts, recordings, judged, after, measure.score),
        )

    def choose(self, among: Mask) -> tuple[Choice, list[StepResult]]:
        """The whole procedure on the recordings of a mask: each step in turn, kept if it gains in folds of them."""
        key = among.tobytes()
        if key not in self._chosen:
            self._chosen[key] = self._choose(among)
        return self._chosen[key]

    def _choose(self, among: Mask) -> tuple[Choice, list[StepResult]]:
        folds, choice, results = self.folds(among), self.start, []
        # What is chosen without each fold, beside `choice`, which is chosen on all recordings of the mask.
        in_folds = [self.start] * len(folds)
        for step in self.steps(among):
            tried = [step.choose(current, fold.choosing) for current, fold in zip(in_folds, folds, strict=True)]
            before, after = (held_out_sums(folds, choices, self.sums) for choices in (in_folds, tried))
            outside = gain(before, after, self.yardstick, among)
            chosen = step.choose(choice, among)
            in_sample = gain(self.sums(choice), self.sums(chosen), self.yardstick, among).value
            results.append(StepResult(step.name, step.words(chosen), in_sample, outside, outside.kept))
            if outside.kept:
                choice, in_folds = chosen, tried
        return choice, results
