"""Comparing confusion matrices of any number of classes, as a challenge of so many."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from harness.challenge import MACRO_F1, Challenge, Field
from harness.evaluation import compare as module
from harness.evaluation.compare import Comparison
from harness.kinds.parts import Parts, parts_of


def parts_of_classes(count: int) -> Parts:
    """The parts of a challenge of `count` classes."""
    names = tuple(f"class {number}" for number in range(count))
    return parts_of(Challenge("of classes", names, names, -1, (Field("class", "class", 0, count - 1, ignore=-1),)))


def compare(first: NDArray[Any], second: NDArray[Any], **options: Any) -> Comparison:
    """Compares confusion matrices (R, C, C) by macro-F1."""
    one, other = (matrices.reshape(len(matrices), -1) for matrices in (first, second))
    return module.compare(one, other, parts_of_classes(first.shape[-1]), MACRO_F1, **options)
