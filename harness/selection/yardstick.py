"""What choices are judged by: the challenge's score, over what has enough labelled frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from numpy.typing import NDArray

from harness.challenge import Score
from harness.kinds.part import Floats
from harness.kinds.parts import Parts


@dataclass(frozen=True)
class Yardstick:
    """A score of sums (..., size), see harness.kinds.parts.

    Attributes
    ----------
    supported : the columns with enough labelled frames in enough recordings. Pooled measures are means over these alone; those
        of a part that has none are means over all, for nothing tells them apart.
    """

    parts: Parts
    score: Score
    supported: tuple[bool, ...]

    @cached_property
    def judged(self) -> Parts:
        """The parts whose pooled measures leave out what is not supported."""
        return self.parts.judging(self.supported)

    @property
    def names(self) -> tuple[str, ...]:
        """The supported columns."""
        return tuple(name for name, enough in zip(self.parts.columns, self.supported, strict=True) if enough)

    @property
    def width(self) -> float:
        """How far apart two scores can be."""
        low, high = self.parts.bounds(self.score)
        return high - low

    def of(self, sums: NDArray) -> Floats:
        """The score (...) of sums (..., size)."""
        return self.judged.score(sums, self.score)

    def of_recordings(self, sums: NDArray) -> float:
        """The score of the sums (R, size) of recordings together."""
        return float(self.of(sums.sum(axis=0)))

    def difference(self, pair: NDArray) -> Floats:
        """By how much the second of two sums (..., 2, size) scores higher (...)."""
        scores = self.of(pair)
        differences: Floats = scores[..., 1] - scores[..., 0]
        return differences


def yardstick_of(parts: Parts, score: Score, sums: NDArray) -> Yardstick:
    """The yardstick for recordings with these sums (R, size)."""
    return Yardstick(parts, score, tuple(parts.supported_over_recordings(sums).tolist()))
