"""The plots of a report. Each is a small figure with its legend beside it; to be made and saved inside `figures.drawing()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.calibration import Calibration
from harness.evaluation.intervals import Estimate
from harness.report.figures import new_axes
from harness.report.legend import Key, Plot
from harness.report.palette import INK, MUTED, RULE, RUN_COLOURS, RUN_MARKERS, SURFACE
from harness.words import measured, number

# Small enough to be read on a phone without shrinking, in inches.
WIDTH = 4.3
HEIGHT = 2.7
# A loss curve is drawn in so many points, each the mean of some steps; wiggles between them no screen shows.
MOST_POINTS = 400
# Figures that are noted at so large a share of the steps are drawn as curves, others as points joined by lines.
DENSE = 0.5


@dataclass(frozen=True)
class Series:
    """The values of one figure of metrics.jsonl: steps and values, (N,) each."""

    name: str
    step: NDArray[np.float64]
    value: NDArray[np.float64]


def series_of(lines: Sequence[Mapping[str, Any]]) -> list[Series]:
    """The figures in the lines of metrics.jsonl, losses first, then by name; what is no number is left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        step = line.get("step")
        if not _is_number(step):
            continue
        for name, value in line.items():
            if name != "step" and _is_number(value):
                found.setdefault(name, []).append((float(step), float(value)))
    names = sorted(found, key=lambda name: ("loss" not in name, name))
    return [Series(name, *np.array(found[name]).T) for name in names]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def training_curves(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, Plot]]:
    """A figure for each curve, then one with all validation figures; each with a title in words."""
    every = series_of(lines)
    most = max((len(one.step) for one in every), default=0)
    curves = [one for one in every if len(one.step) >= DENSE * most]
    points = [one for one in every if len(one.step) < DENSE * most]
    made = [(measured(one.name), _curve(one)) for one in curves]
    if points:
        made.append(("validation while training", _points(points)))
    return made


def _curve(series: Series) -> Plot:
    figure, axes = new_axes(WIDTH, HEIGHT)
    step, value = _thinned(series)
    axes.plot(step, value, color=RUN_COLOURS[0], linewidth=1.3)
    axes.set_xlabel("step")
    axes.set_xlim(0, max(float(series.step[-1]), 1.0))
    axes.set_ylim(bottom=min(0.0, float(value.min())))
    return Plot(figure)


def _thinned(series: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = min(len(series.step), MOST_POINTS)
    starts = np.arange(count) * len(series.step) // count
    lengths = np.diff(np.append(starts, len(series.step)))
    return np.add.reduceat(series.step, starts) / lengths, np.add.reduceat(series.value, starts) / lengths


def _points(several: Sequence[Series]) -> Plot:
    figure, axes = new_axes(WIDTH, HEIGHT)
    keys = []
    for index, series in enumerate(several):
        colour, marker = run_look(index)
        axes.plot(series.step, series.value, color=colour, marker=marker, markersize=4, linewidth=1.3, clip_on=False)
        keys.append(Key(f"{measured(series.name)}, best {number(series.value.max())}", colour, marker))
    axes.set_xlabel("step")
    axes.set_xlim(left=0)
    axes.margins(y=0.1)
    return Plot(figure, tuple(keys))


def run_look(index: int) -> tuple[str, str]:
    """The colour and the marker of the run, or the series, that stands at this place."""
    return RUN_COLOURS[index % len(RUN_COLOURS)], RUN_MARKERS[index % len(RUN_MARKERS)]


def reliability(result: Calibration) -> Plot:
    """Share correct against confidence, bin by bin, with the number of frames below."""
    figure, axes = new_axes(WIDTH, 3.5)
    figure.delaxes(axes)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = len(result.frames)
    middles = (np.arange(bins) + 0.5) / bins
    filled = result.frames > 0
    upper.bar(middles[filled], result.accuracy[filled], width=0.92 / bins, color=RUN_COLOURS[0])
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
    upper.plot(result.confidence[filled], result.accuracy[filled], "o", color=INK, markersize=3.5, clip_on=False)
    upper.set_ylim(0, 1)
    upper.set_xlim(0, 1)
    upper.set_ylabel("share correct")
    lower.bar(middles, result.frames / max(int(result.frames.sum()), 1), width=0.92 / bins, color=MUTED)
    lower.set_ylabel("frames")
    lower.set_xlabel("confidence: probability of the predicted class")
    lower.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    lower.locator_params(axis="y", nbins=2)
    above = Key("share correct of a bin", RUN_COLOURS[0]), Key("its mean confidence", INK, "dot")
    return Plot(figure, (*above, Key("as sure as right", MUTED, "dashes"), Key("share of all frames", MUTED)))


def score_intervals(rows: Sequence[tuple[str, Sequence[tuple[str, Estimate | None]]]], label: str) -> Plot:
    """Scores with their intervals, one row each; several named estimates of a row get a colour and a marker each."""
    series = [name for name, _ in rows[0][1]]
    figure, axes = new_axes(WIDTH, 0.75 + max(0.26, 0.15 * len(series)) * len(rows))
    keys = []
    for index, name in enumerate(series):
        colour, marker = run_look(index)
        keys.append(Key(name, colour, marker))
        offset = (index - (len(series) - 1) / 2) * 0.7 / len(series)
        for row, (_, estimates) in enumerate(rows):
            estimate = estimates[index][1]
            if estimate is None:
                continue
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [row + offset] * 2, color=colour, linewidth=1.6)
            axes.plot(
                [estimate.value], [row + offset], linestyle="none", color=colour, marker=marker, markersize=5.5,
                markeredgecolor=SURFACE, markeredgewidth=0.6, clip_on=False,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    # F1 goes from 0 to 1; where a CCC lies below that, or a sum of several tasks above, so does the axis.
    known = [one for _, estimates in rows for _, one in estimates if one is not None]
    lowest = min((one.value if one.low is None else min(one.value, one.low) for one in known), default=0.0)
    highest = max((one.value if one.high is None else max(one.value, one.high) for one in known), default=1.0)
    axes.set_xlim(min(0.0, np.floor(10 * lowest) / 10), max(1.0, np.ceil(10 * highest) / 10))
    axes.set_xlabel(label)
    axes.tick_params(axis="y", length=0)
    return Plot(figure, tuple(keys))


def differences(rows: Sequence[tuple[str, float, float, float]], label: str) -> Plot:
    """Differences (name, value, low, high) with their intervals around a line of no difference; NaN bounds are not drawn."""
    figure, axes = new_axes(WIDTH, 0.75 + 0.24 * len(rows))
    axes.axvline(0, color=MUTED, linewidth=1)
    for row, (_, value, low, high) in enumerate(rows):
        excludes_zero = low > 0 or high < 0
        colour = RUN_COLOURS[0] if value >= 0 else RUN_COLOURS[1]
        if np.isfinite(low) and np.isfinite(high):
            axes.plot([low, high], [row, row], color=colour, linewidth=1.8 if excludes_zero else 1.2)
        face = colour if excludes_zero else SURFACE
        axes.plot([value], [row], "o", color=colour, markersize=5.5, markerfacecolor=face, clip_on=False)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    # Nearly no difference is larger than 1, however wide an interval of few recordings comes out.
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -1.0), min(high, 1.0))
    axes.locator_params(axis="x", nbins=7)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)
    keys = (
        Key("better", RUN_COLOURS[0], "o"),
        Key("worse", RUN_COLOURS[1], "o"),
        Key("hollow where the interval includes 0", MUTED, "ring"),
    )
    return Plot(figure, keys)


def gap_lengths(frames: Sequence[int]) -> Plot:
    """How many gaps there are of each length, in classes that double: 1, 2-3, 4-7, ... frames."""
    figure, axes = new_axes(WIDTH, 2.2)
    powers = np.floor(np.log2(np.maximum(np.asarray(frames, dtype=np.float64), 1))).astype(int)
    counts = np.bincount(powers)
    axes.bar(range(len(counts)), counts, color=RUN_COLOURS[0], width=0.85)
    names = ["1" if power == 0 else f"{2**power}–{2 ** (power + 1) - 1}" for power in range(len(counts))]
    crowded = len(names) > 6
    axes.set_xticks(range(len(counts)), names, rotation=40 if crowded else 0, ha="right" if crowded else "center")
    axes.locator_params(axis="y", integer=True, nbins=5)
    axes.grid(False, axis="x")
    axes.set_xlabel("length of a gap in frames")
    axes.set_ylabel("gaps")
    return Plot(figure, (Key("gaps of that length", RUN_COLOURS[0]),))


def weights(members: Sequence[tuple[str, float]]) -> Plot:
    """The share of each member of an ensemble, named by its place in the table."""
    figure, axes = new_axes(WIDTH, 0.6 + 0.26 * len(members))
    places = range(len(members))
    axes.barh(places, [weight for _, weight in members], color=RUN_COLOURS[0], height=0.6)
    for place, (_, weight) in enumerate(members):
        axes.text(weight, place, f" {weight:.3f}", va="center", ha="left", fontsize=8.5)
    axes.set_yticks(places, [name for name, _ in members])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max((weight for _, weight in members), default=1.0) or 1.0)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_xlabel("weight")
    axes.spines["bottom"].set_color(RULE)
    return Plot(figure)
