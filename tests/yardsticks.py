"""Challenges of a few classes, and their macro-F1 as what choices are judged by."""

from __future__ import annotations

from harness.challenge import MACRO_F1, Challenge, Field
from harness.kinds.parts import Parts, parts_of
from harness.selection.yardstick import Yardstick


def classes(count: int) -> Parts:
    """A challenge of so many classes."""
    names = tuple(f"class {number}" for number in range(count))
    return parts_of(Challenge("CLASSES", names, names, -1, (Field("class", "class", 0, count - 1, ignore=-1),)))


def macro_f1_of_all(count: int) -> Yardstick:
    """Macro-F1 of so many classes, all of them supported."""
    return Yardstick(classes(count), MACRO_F1, (True,) * count)
