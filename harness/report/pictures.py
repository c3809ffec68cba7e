"""The pictures of a challenge's kinds: densities of values, bars of units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.kinds.units import UnitPart
from harness.report.content import RunContent
from harness.report.densities import Densities
from harness.report.figures import new_axes
from harness.report.legend import Key, Plot
from harness.report.palette import MUTED, RUN_COLOURS
from harness.report.plots import WIDTH
from harness.words import measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.challenge import Field

# How dense the cell of a single frame is drawn.
FAINTEST = 0.25
FRAMES = Key("the stronger the colour, the more frames (logarithmic)", RUN_COLOURS[0])
# What is drawn of a unit.
UNIT_BARS = ("f1", "precision", "recall", "prevalence")


def pictures_of(run: RunContent) -> Iterator[tuple[str, Plot]]:
    """The pictures of a run's values and units, each with a title in words."""
    if run.densities is not None:
        first, second = (field.name for field in run.densities.fields)
        yield f"density of {first} against {second}", density(run.densities)
        if run.densities.met.any():
            yield "answers against labels", answers_against_labels(run.densities)
    if run.evaluation is None:
        return
    for own in run.parts.placed:
        if isinstance(own.part, UnitPart):
            measures, names = run.evaluation.all_labelled.measures, own.part.columns
            values = {measured(what): [measures[f"{what}_{name}"].value for name in names] for what in UNIT_BARS}
            yield "F1, precision, recall and prevalence of each unit", bars(names, values)


def density(counts: Densities) -> Plot:
    """Labels beside answers, the darker the more frames, on the same logarithmic scale of shares."""
    figure, axes = new_axes(WIDTH, 2.55)
    figure.delaxes(axes)
    panels = [("labels", counts.labels), ("predicted", counts.answers)]
    panels = [(name, cells) for name, cells in panels if cells.any()]
    for place, one in enumerate(np.atleast_1d(figure.subplots(1, len(panels), sharey=True))):
        name, cells = panels[place]
        _paint_cells(one, cells, counts.fields)
        one.set_title(f"{name}, {cells.sum():,} frames")
        one.set_xlabel(counts.fields[0].name)
        if place == 0:
            one.set_ylabel(counts.fields[1].name)
    return Plot(figure, (FRAMES,))


def answers_against_labels(counts: Densities) -> Plot:
    """For each value how often each answer is given to each label; a perfect one lies on the diagonal."""
    figure, axes = new_axes(WIDTH, 2.55)
    figure.delaxes(axes)
    for place, one in enumerate(figure.subplots(1, 2, sharey=True)):
        field = counts.fields[place]
        _paint_cells(one, counts.met[place], (field, field))
        one.plot([field.low, field.high], [field.low, field.high], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        one.set_title(field.name)
        one.set_xlabel("label")
        if place == 0:
            one.set_ylabel("predicted")
    return Plot(figure, (FRAMES, Key("predicted as labelled", MUTED, "dashes")))


def _paint_cells(axes: Axes, cells: NDArray[np.int64], fields: tuple[Field, Field]) -> None:
    """Counts (first, second) as an image, the first value to the right and the second upwards."""
    first, second = fields
    shades = np.log1p(cells.T) / np.log1p(max(int(cells.max()), 1))
    colour = tuple(int(RUN_COLOURS[0][place : place + 2], 16) for place in (1, 3, 5))
    pixels = np.zeros((*shades.shape, 4), np.uint8)
    pixels[..., :3] = colour
    # One frame is seen as well, on a light page and on a dark one.
    pixels[..., 3] = np.round(255 * np.where(shades > 0, FAINTEST + (1 - FAINTEST) * shades, 0.0))
    extent = (first.low, first.high, second.low, second.high)
    axes.imshow(pixels, extent=extent, origin="lower", interpolation="none", aspect="equal")
    axes.axhline(0.5 * (second.low + second.high), color=MUTED, linewidth=0.5)
    axes.axvline(0.5 * (first.low + first.high), color=MUTED, linewidth=0.5)
    axes.set_xticks([first.low, 0.5 * (first.low + first.high), first.high])
    axes.set_yticks([second.low, 0.5 * (second.low + second.high), second.high])
    axes.grid(False)


def bars(names: Sequence[str], values: dict[str, list[float]]) -> Plot:
    """For each name a bar of each measure, beside one another."""
    height = 0.8 / len(values)
    figure, axes = new_axes(WIDTH, 0.8 + 0.36 * len(names))
    for place, shares in enumerate(values.values()):
        offsets = np.arange(len(names)) + (place - (len(values) - 1) / 2) * height
        axes.barh(offsets, shares, height=0.9 * height, color=RUN_COLOURS[place % len(RUN_COLOURS)])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    return Plot(figure, tuple(Key(what, RUN_COLOURS[place % len(RUN_COLOURS)]) for place, what in enumerate(values)))
