"""Legends: what the colours and marks of a picture mean, drawn beside it in the page and never over its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from harness.report.figures import themed
from harness.report.palette import INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 24, 12
_MIDDLE = f"M0 {HEIGHT / 2:g}H{WIDTH}"
# The markers of matplotlib as outlines around the middle of a key.
_MARKERS = {
    "o": "M12 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8z",
    "s": "M8.5 2.5h7v7h-7z",
    "^": "M12 1.5l4.5 8.5h-9z",
    "v": "M12 10.5l4.5-8.5h-9z",
    "D": "M12 1l5 5-5 5-5-5z",
    "P": "M10.5 1.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "X": "M9 1l3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3-3-3z",
}


@dataclass(frozen=True)
class Key:
    """One entry of a legend.

    Attributes
    ----------
    words : what it means.
    colour : as `#rrggbb`.
    mark : "bar", "line", "tick", "dashes", "hatch", "dot", "ring", or a marker of matplotlib: a line with that marker on it.
    """

    words: str
    colour: str
    mark: str = "bar"


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure and its legend, which is empty where words beside the marks say all."""

    figure: Figure
    legend: tuple[Key, ...] = ()


def as_svg(key: Key) -> str:
    """The mark of a key as an <svg> element to stand before its words; it takes the colours of the page like any figure."""
    element = ElementTree.Element("svg", {"class": "key", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "aria-hidden": "true"})
    for looks in _shapes(key.mark, themed(key.colour)):
        ElementTree.SubElement(element, "path", looks)
    return ElementTree.tostring(element, encoding="unicode")


def _shapes(mark: str, colour: str) -> Iterator[dict[str, str]]:
    """The attributes of the paths that draw a mark."""
    line = {"stroke": colour, "stroke-width": "2", "fill": "none"}
    if mark == "bar":
        # Pale classes need an edge on a white page.
        yield {"d": "M4.5 .5h15v11h-15z", "fill": colour, "stroke": themed(INK), "stroke-opacity": ".4"}
    elif mark == "hatch":
        yield {"d": "M4.5 .5h15v11h-15zM4.5 6l5.5-5.5M5 11.5l11-11M11 11.5l8.5-8.5M17 11.5l2.5-2.5", **line, "stroke-width": "1"}
    elif mark == "dot":
        yield {"d": _MARKERS["o"], "fill": colour}
    elif mark == "ring":
        yield {"d": _MARKERS["o"], **line, "stroke-width": "1.5"}
    elif mark == "tick":
        yield {**line, "d": f"M{WIDTH / 2:g} 0V{HEIGHT}"}
    elif mark == "dashes":
        yield {"d": _MIDDLE, **line, "stroke-dasharray": "6 3"}
    else:
        yield {"d": _MIDDLE, **line}
    if mark in _MARKERS:
        yield {"d": _MARKERS[mark], "fill": colour}
