"""Settings compared over seeds and recordings together, and one chosen by nested folds, not by the top line of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.evaluation.describe import plain
from harness.evaluation.intervals import Spread, estimates, jackknife, score_interval
from harness.selection.nested import Fold, Gain, gain, held_out_sums, make_nested_folds
from harness.selection.scorer import ValidationSet
from harness.selection.yardstick import Yardstick


@dataclass(frozen=True)
class SettingScore:
    """What a setting scored: each seed, their mean, and its 95 % interval over seeds and recordings.

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
    held_out : score of the procedure "take the best", each recording under what was best without its fold.
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


def compare_settings(sums: Mapping[str, Sequence[NDArray]], validation: ValidationSet, yardstick: Yardstick) -> Sweep:
    """Compares settings by the sums (R, size) of each seed; the first setting is what the others are to beat.

    Raises DataError unless every setting has the same number of seeds, at least one, and for a single recording, on which nothing
    can be chosen.
    """
    if not sums or len({len(seeds) for seeds in sums.values()}) != 1 or not min(map(len, sums.values())):
        raise DataError(
            "settings can only be compared over the same seeds", found=str({name: len(s) for name, s in sums.items()})
        )
    scores = sorted((_scored(name, seeds, yardstick) for name, seeds in sums.items()), key=lambda one: -one.mean)
    (first, *_), top = sums, scores[0]
    everything = np.ones(len(validation.recordings), dtype=bool)
    folds = make_nested_folds(
        validation.tracks, validation.recordings, everything, validation.seed, challenge=yardstick.parts.challenge
    )
    choices = [max(sums, key=lambda name: _mean(sums[name], yardstick, fold.choosing)) for fold in folds]
    judged = [_judged(folds, choices, sums, seed) for seed in range(len(sums[first]))]
    # Seeds are put together before they are compared: the gain is one of recordings.
    outside = gain(np.sum(sums[first], axis=0), np.sum(judged, axis=0), yardstick)
    chosen = top.setting if outside.kept else first
    return Sweep(tuple(scores), top.setting, top.mean, _mean(judged, yardstick, everything), outside, chosen)


def _judged(folds: Sequence[Fold], choices: Sequence[str], sums: Mapping[str, Sequence[NDArray]], seed: int) -> NDArray:
    return held_out_sums(folds, choices, lambda name: sums[name][seed])


def _mean(seeds: Sequence[NDArray], yardstick: Yardstick, among: NDArray[np.bool_]) -> float:
    return float(np.mean([yardstick.of_recordings(one[among]) for one in seeds]))


def _scored(setting: str, seeds: Sequence[NDArray], yardstick: Yardstick) -> SettingScore:
    own = [yardstick.of_recordings(one) for one in seeds]
    over_recordings = jackknife(np.stack(seeds, axis=1), lambda sums: yardstick.of(sums).mean(axis=-1))
    spread = None if len(own) == 1 else Spread(np.asarray(np.var(own, ddof=1) / len(own)), len(own) - 1.0)
    low, high = yardstick.parts.bounds(yardstick.score)
    (found,) = estimates(over_recordings, lambda result: score_interval(result, low, high, spread))
    return SettingScore(setting, tuple(own), float(np.mean(own)), found.low, found.high)
