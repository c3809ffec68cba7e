"""Settings compared over seeds and recordings together, and one chosen by nested folds, not by the top line of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.evaluation.describe import plain
from harness.evaluation.intervals import NOMINAL, Floats, Jackknife, jackknife, scipy_special
from harness.kinds.bounds import interval_between
from harness.kinds.f1 import class_f1
from harness.selection.expectation import Counts
from harness.selection.nested import Gain, gain, held_out_counts, make_nested_folds
from harness.selection.scorer import ValidationSet

Supported = NDArray[np.bool_]


@dataclass(frozen=True)
class SettingScore:
    """What a setting scored: macro-F1 of each seed, their mean, and its 95 % interval over seeds and recordings.

    The interval is None where neither seeds nor recordings show any spread.
    """

    setting: str
    seeds: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    scores : of the settings, the best mean first.
    top : the setting of the first line, and `top_mean` what it scored, which flatters it: it was chosen by it.
    held_out : macro-F1 of the procedure "take the best", each recording under what was best without its fold.
    held_out_gain : of that over the first setting that was asked for.
    chosen : the top setting if the gain is sure enough, else that first setting.
    """

    scores: tuple[SettingScore, ...]
    top: str
    top_mean: float
    held_out: float
    held_out_gain: Gain
    chosen: str

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        values: dict[str, object] = plain(self)
        return values


def compare_settings(counts: Mapping[str, Sequence[Counts]], validation: ValidationSet, supported: Supported) -> Sweep:
    """Compares settings by the confusion matrices (R, C, C) of each seed; the first setting is what the others are to beat.

    All scores are means over the `supported` classes (C,). Raises DataError unless every setting has the same number of seeds, at
    least one, and for a single recording, on which nothing can be chosen.
    """
    if not counts or len({len(seeds) for seeds in counts.values()}) != 1 or not min(map(len, counts.values())):
        raise DataError(
            "settings can only be compared over the same seeds", found=str({name: len(s) for name, s in counts.items()})
        )
    scores = sorted((_scored(name, seeds, supported) for name, seeds in counts.items()), key=lambda one: -one.mean)
    (first, *_), top = counts, scores[0]
    everything = np.ones(len(validation.recordings), dtype=bool)
    folds = make_nested_folds(validation.tracks, validation.recordings, everything, validation.seed)
    choices = [max(counts, key=lambda name: _mean_f1(counts[name], supported, fold.choosing)) for fold in folds]
    seeds = range(len(counts[first]))
    judged = [held_out_counts(folds, choices, lambda name, seed=seed: counts[name][seed]) for seed in seeds]  # type: ignore[misc]
    # Seeds are put together before they are compared: the gain is one of recordings.
    outside = gain(np.sum(counts[first], axis=0), np.sum(judged, axis=0), supported)
    chosen = top.setting if outside.kept else first
    return Sweep(tuple(scores), top.setting, top.mean, _mean_f1(judged, supported, everything), outside, chosen)


def _mean_f1(seeds: Sequence[Counts], supported: Supported, among: NDArray[np.bool_]) -> float:
    return float(np.mean([_macro_f1(one[among].sum(axis=0), supported) for one in seeds]))


def _macro_f1(counts: NDArray, supported: Supported) -> Floats:
    score: Floats = class_f1(counts)[..., supported].mean(axis=-1)
    return score


def _scored(setting: str, seeds: Sequence[Counts], supported: Supported) -> SettingScore:
    own = [float(_macro_f1(one.sum(axis=0), supported)) for one in seeds]
    over_recordings = jackknife(np.stack(seeds, axis=1), lambda counts: _macro_f1(counts, supported).mean(axis=-1))
    low, high = _interval(over_recordings, own)
    return SettingScore(setting, tuple(own), float(np.mean(own)), low, high)


def _interval(over_recordings: Jackknife, seeds: Sequence[float]) -> tuple[float | None, float | None]:
    """The interval of the mean over seeds, as if both seeds and recordings were drawn anew.

    The variance is that of the jackknife over recordings, with the seeds as they are, plus that of the mean of the seeds, s² / S;
    what both share is counted twice, so that it errs to the wide side. Degrees of freedom by Satterthwaite's formula for a sum.
    """
    parts = [(float(over_recordings.standard_error) ** 2, float(over_recordings.degrees_of_freedom))]
    if len(seeds) > 1:
        parts.append((float(np.var(seeds, ddof=1)) / len(seeds), len(seeds) - 1.0))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return None, None
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = scipy_special().stdtrit(freedom, 0.5 + NOMINAL / 2) * np.sqrt(variance)
    low, high = interval_between(np.asarray(over_recordings.corrected), np.asarray(half))
    return float(low), float(high)
