"""Matplotlib figures: made with the same settings everywhere, and turned into SVG or PNG without time, path or chance in it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from harness.errors import MissingExtraError
from harness.report.palette import INK, MUTED, RULE, SURFACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PNG_DPI = 160

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_TAGS = {"svg", "g", "defs", "path", "use", "clipPath", "rect", "text", "image", "pattern"}
_ATTRIBUTES = {
    *("clip-path", "height", "patternUnits", "transform", "viewBox", "width", "x", "y"),
    *("fill", "fill-opacity", "fill-rule", "opacity", "stroke", "stroke-dasharray", "stroke-dashoffset"),
    *("stroke-linecap", "stroke-linejoin", "stroke-opacity", "stroke-width"),
    *("font-size", "font-weight", "image-rendering", "text-anchor"),
}
# The page's own colours, light or dark, for those of a picture that stands alone.
_THEME = {INK: "currentColor", MUTED: "var(--muted)", RULE: "var(--rule)", SURFACE: "var(--surface)"}
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")

_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "harness",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.7,
    "path.simplify": True,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The settings under which figures are made and saved. Raises MissingExtraError without matplotlib."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report", "drawing") from error
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        # A name may hold letters the font lacks; a box in their place needs no warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches; no window system is touched."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), facecolor="none")


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes that fill it."""
    figure = new_figure(width, height)
    figure.set_layout_engine("constrained")
    return figure, figure.add_subplot()


def png_bytes(figure: Figure) -> bytes:
    """The figure on a white ground as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure on a white ground as an SVG file that stands alone, its letters drawn as paths."""
    return _saved_svg(figure, "path", "white").encode("utf-8")


def inline_svg(figure: Figure, prefix: str, title: str) -> str:
    """The figure as an <svg> element to stand in a page.

    Only known elements and attributes pass; styles become attributes, which a content security policy without inline styles
    allows; colours of the theme become those of the page; letters take the page's font; identifiers begin with `prefix`, which
    must differ from figure to figure; `title` is what a screen reader says. Whatever text is in it comes out escaped.
    """
    element = _Cleaner(prefix).clean(ElementTree.fromstring(_saved_svg(figure, "none", "none")))
    assert element is not None
    for name in ("width", "height"):
        element.attrib.pop(name, None)
    element.set("role", "img")
    element.set("aria-label", title)
    element.set("stroke-linejoin", "round")
    return ElementTree.tostring(element, encoding="unicode")


def _saved_svg(figure: Figure, letters: str, ground: str) -> str:
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": letters}):
        figure.savefig(buffer, format="svg", facecolor=ground, metadata=nothing)
    return buffer.getvalue()


class _Cleaner:
    """Copies an SVG tree, leaving out what is not known, and numbers its identifiers in order of appearance."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers: dict[str, int] = {}

    def clean(self, source: ElementTree.Element) -> ElementTree.Element | None:
        tag = source.tag.removeprefix(f"{{{_SVG}}}")
        if tag not in _TAGS:
            return None
        element = ElementTree.Element(tag)
        for name, value in self._attributes(source):
            element.set(name, value)
        # Text of an <svg> or <g> is only the layout of the file.
        element.text = source.text if tag == "text" else None
        element.extend(child for child in map(self.clean, source) if child is not None)
        return element

    def _attributes(self, source: ElementTree.Element) -> Iterator[tuple[str, str]]:
        for name, value in source.attrib.items():
            if name == "style":
                for declaration in value.split(";"):
                    key, _, text = declaration.partition(":")
                    if key.strip() in _ATTRIBUTES:
                        yield key.strip(), self._value(text.strip())
            elif name == "id" and source.tag != f"{{{_SVG}}}g":
                yield "id", self._identifier(value)
            elif name == f"{{{_XLINK}}}href":
                if value.startswith("#"):
                    yield "href", "#" + self._identifier(value[1:])
                elif value.startswith("data:image/png;base64,"):
                    yield "href", value
            elif name == "d":
                # A hundredth of a point is finer than any screen shows.
                yield "d", _LONG_NUMBER.sub(_rounded, value.replace("\n", ""))
            elif name in _ATTRIBUTES:
                yield name, self._value(value)

    def _value(self, value: str) -> str:
        if value.startswith("url(#") and value.endswith(")"):
            return f"url(#{self._identifier(value[5:-1])})"
        return themed(value)

    def _identifier(self, name: str) -> str:
        return f"{self._prefix}-{self._numbers.setdefault(name, len(self._numbers))}"


def themed(colour: str) -> str:
    """What a colour of a picture is in the page, light or dark: the theme's own, or the same."""
    return _THEME.get(colour, colour)


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
