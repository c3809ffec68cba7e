"""Simulated recordings of values, units and all three tasks: the sums over their frames, of many data sets at once.

A recording is drawn by its length, what its labels are like, and how a model's answers to it differ from those to others; within
a recording frames are many, so the sums are those expected of it. Leading axes are (recordings, data sets).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.challenge import AU, MTL, VA, Challenge
from tests.simulated_recordings import EXCELLENT, POOR, Model, concentrated_counts

Floats = NDArray[np.float64]

# Made up: share of active frames, and share of recordings that show the unit at all, about as rare as units of Aff-Wild2 are.
ACTIVE = (0.12, 0.06, 0.16, 0.25, 0.38, 0.34, 0.24, 0.03, 0.03, 0.03, 0.6, 0.08)
SHOWN = (0.5, 0.35, 0.5, 0.6, 0.8, 0.75, 0.6, 0.2, 0.2, 0.2, 0.95, 0.4)

# Frames of a recording: median, and standard deviation of the logarithm.
LENGTH, LENGTH_SPREAD = 3000.0, 1.0


@dataclass(frozen=True)
class Answers:
    """How a model answers.

    Attributes
    ----------
    slope, noise : an answer of value is slope times label plus normal noise.
    offset : standard deviation, over recordings, of what is added to all values of one, and `slope_spread` of the slope.
    hit, alarm : the shares of active and inactive frames of a unit that are called active.
    spread : standard deviation, over recordings, of their logits; once for all units of one, and once for each unit.
    classes : answers to expressions.
    """

    slope: float = 0.6
    noise: float = 0.12
    offset: float = 0.15
    slope_spread: float = 0.2
    hit: float = 0.6
    alarm: float = 0.1
    spread: float = 0.7
    classes: Model = field(default_factory=Model)


MODELS = {
    "middling": Answers(),
    "steady": Answers(offset=0.04, slope_spread=0.05, spread=0.2, classes=Model(spread=0.2)),
    "moody": Answers(offset=0.3, slope_spread=0.5, spread=1.5, classes=Model(spread=1.5)),
    "excellent": Answers(slope=0.9, noise=0.05, offset=0.06, hit=0.9, alarm=0.02, classes=Model(recall=EXCELLENT)),
    "poor": Answers(slope=0.2, noise=0.15, hit=0.3, alarm=0.15, classes=Model(recall=POOR)),
}


def frames(shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Labelled frames of recordings."""
    return np.asarray(np.ceil(LENGTH * np.exp(LENGTH_SPREAD * generator.standard_normal(shape))))


def affect(shape: tuple[int, ...], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Mean and standard deviation of a value within recordings."""
    means = np.clip(0.15 + 0.28 * generator.standard_normal(shape), -0.9, 0.9)
    return means, 0.15 * np.exp(0.5 * generator.standard_normal(shape))


def value_sums(count: Floats, labels: tuple[Floats, Floats], answers: Answers, generator: np.random.Generator) -> Floats:
    """The sums (..., 8) of a value; see harness.kinds.concordance. Absolute differences and signs are left out."""
    mean, deviation = labels
    slope = answers.slope + answers.slope_spread * generator.standard_normal(count.shape)
    own = slope * mean + answers.offset * generator.standard_normal(count.shape)
    noise = answers.noise * np.exp(0.3 * generator.standard_normal(count.shape))
    squares, own_squares = deviation**2 + mean**2, (slope * deviation) ** 2 + noise**2 + own**2
    products = slope * deviation**2 + mean * own
    nothing = np.zeros_like(mean)
    means = np.stack([np.ones_like(mean), mean, own, squares, own_squares, products, nothing, nothing], axis=-1)
    return np.asarray(count[..., None] * means)


def active(count: Floats, generator: np.random.Generator) -> Floats:
    """Active frames (..., 12) of each unit."""
    share = np.array(ACTIVE) / np.array(SHOWN)
    often = generator.beta(2 * share, 2 * (1 - share), (*count.shape, len(ACTIVE)))
    shown = generator.random(often.shape) < np.array(SHOWN)
    return np.asarray(np.round(count[..., None] * often * shown))


def unit_sums(count: Floats, called: Floats, answers: Answers, generator: np.random.Generator) -> Floats:
    """The sums (..., 48) of units that are active in `called` frames (..., 12)."""
    mood = generator.standard_normal((*count.shape, 1)) + generator.standard_normal(called.shape)

    def share(usual: float) -> Floats:
        own = mood + generator.standard_normal(called.shape)
        return np.asarray(1 / (1 + np.exp(-np.log(usual / (1 - usual)) - answers.spread * own / np.sqrt(1.5))))

    hits = np.round(called * share(answers.hit))
    quiet = count[..., None] - called
    alarms = np.round(quiet * share(answers.alarm))
    cells = np.stack([quiet - alarms, alarms, called - hits, hits], axis=-1)
    return cells.reshape(*count.shape, -1)


def class_sums(shape: tuple[int, ...], models: list[Model], generator: np.random.Generator) -> list[Floats]:
    """The confusion matrices (recordings, data sets, 64) of several models on the same frames."""
    counts = concentrated_counts()
    usual = [model.usual_logits(counts.sum(axis=0)) for model in models]
    found: list[list[Floats]] = [[] for _ in models]
    for _ in range(shape[1]):
        drawn = counts[generator.integers(0, len(counts), shape[0])]
        for place, (model, own) in enumerate(zip(models, usual, strict=True)):
            found[place].append(model.confusions(drawn, own, generator).reshape(shape[0], -1).astype(np.float64))
    return [np.stack(one, axis=1) for one in found]


def of_values(shape: tuple[int, ...], several: list[Answers], generator: np.random.Generator) -> list[Floats]:
    """The sums (recordings, data sets, 16) of models that answer the same recordings of VA."""
    count = frames(shape, generator)
    labels = [affect(shape, generator) for _ in VA.fields]
    return [np.concatenate([value_sums(count, own, answers, generator) for own in labels], axis=-1) for answers in several]


def of_units(shape: tuple[int, ...], several: list[Answers], generator: np.random.Generator) -> list[Floats]:
    """The sums (recordings, data sets, 48) of models that answer the same recordings of AU."""
    count = frames(shape, generator)
    called = active(count, generator)
    return [unit_sums(count, called, answers, generator) for answers in several]


def of_all_tasks(shape: tuple[int, ...], several: list[Answers], generator: np.random.Generator) -> list[Floats]:
    """The sums (recordings, data sets, 128) of models that answer the same recordings of MTL."""
    values, units = of_values(shape, several, generator), of_units(shape, several, generator)
    classes = class_sums(shape, [answers.classes for answers in several], generator)
    return [np.concatenate(parts, axis=-1) for parts in zip(values, classes, units, strict=True)]


Draw = Callable[[tuple[int, ...], list[Answers], np.random.Generator], list[Floats]]
DRAWS: dict[str, tuple[Challenge, Draw]] = {"VA": (VA, of_values), "AU": (AU, of_units), "MTL": (MTL, of_all_tasks)}


def truth(draw: Draw, answers: Answers, generator: np.random.Generator, recordings: int = 1000, times: int = 100) -> Floats:
    """The sums (size,) of so many recordings that they stand for all there could be."""
    (sums,) = draw((recordings, times), [answers], generator)
    return np.asarray(sums.sum(axis=(0, 1)))
