"""One colour for each class, the same in every picture, told apart by colour-blind people too."""

from __future__ import annotations

from collections.abc import Sequence

# The eight colours of Okabe and Ito (2008, Color Universal Design), a light grey for their black (lost on a dark page).
# Of all ways to give them to the classes with Anger red and Happiness yellow, this one keeps neighbours furthest apart for
# protanopia, deuteranopia and tritanopia; neighbours in the order of the classes touch in the bands of a timeline.
CLASS_COLOURS = {
    "Neutral": "#c6c6c6",
    "Anger": "#d55e00",
    "Disgust": "#cc79a7",
    "Fear": "#0072b2",
    "Happiness": "#f0e442",
    "Sadness": "#56b4e9",
    "Surprise": "#e69f00",
    "Other": "#009e73",
}

# What is not a class. The page replaces these by the colours of its theme; a picture of its own keeps them.
INK = "#1b1f24"
MUTED = "#69717c"
RULE = "#d6dae0"
SURFACE = "#fefefe"
ERROR = "#cf4a40"

# One colour and one marker for each run, so that neither is needed alone. Middling in brightness: each has a contrast of at least
# 3.5 with a white page and with a dark one (WCAG 2.2 asks 3 of graphics).
RUN_COLOURS = ("#1b7fc4", "#d35f0a", "#0a8f69", "#bd5c95", "#a17400", "#7c6bd0", "#7b8490")
RUN_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def class_colours(names: Sequence[str]) -> list[str]:
    """The colour of each class, as `#rrggbb`; names that are not those of EXPR take the colours in their order."""
    known = list(CLASS_COLOURS.values())
    return [CLASS_COLOURS.get(name, known[index % len(known)]) for index, name in enumerate(names)]


def class_letters(names: Sequence[str]) -> list[str]:
    """One capital letter for each class, the first of its own letters that is not taken: Sadness S, Surprise U."""
    taken: list[str] = []
    spare = iter("0123456789abcdefghijklmnopqrstuvwxyz")
    for name in names:
        own = (letter for letter in name.upper() if letter.isascii() and letter.isalpha() and letter not in taken)
        taken.append(next(own, None) or next(spare, "?"))
    return taken


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`, each 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour` (relative luminance of WCAG 2.2)."""
    parts = [part / 255 for part in rgb(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"
