"""How many frames have which pair of values, of answers and of labels: what densities are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.challenge import Challenge, Field
from harness.evaluation.predictions import ScoredTrack

# Cells along each value's range.
CELLS = 40


@dataclass(frozen=True, eq=False)
class Densities:
    """Counts of pairs of two values.

    Attributes
    ----------
    fields, places : the two values, and which fields of a row they are.
    answers, labels : (CELLS, CELLS) frames, the first value along the first axis; of `labels` those that have both.
    met : (2, CELLS, CELLS) frames of each value, its label along the first axis and its answer along the second.
    """

    fields: tuple[Field, Field]
    places: tuple[int, int]
    answers: NDArray[np.int64]
    labels: NDArray[np.int64]
    met: NDArray[np.int64]

    def with_track(self, track: ScoredTrack) -> Densities:
        """The same with the rows of one more track."""
        said = [track.answers[:, place].astype(np.float64) for place in self.places]
        true = [track.labels[:, place].astype(np.float64) for place in self.places]
        known = [one != field.ignore for one, field in zip(true, self.fields, strict=True)]
        both = known[0] & known[1]
        met = [
            _counts(one[there], other[there], field, field)
            for one, other, there, field in zip(true, said, known, self.fields, strict=True)
        ]
        first, second = self.fields
        return Densities(
            self.fields,
            self.places,
            self.answers + _counts(said[0], said[1], first, second),
            self.labels + _counts(true[0][both], true[1][both], first, second),
            self.met + np.stack(met),
        )


def empty_densities(challenge: Challenge) -> Densities | None:
    """No frame at all, of the first two values of a challenge; None if it has fewer."""
    places = [place for place, field in enumerate(challenge.fields) if not field.integral]
    if len(places) < 2:
        return None
    first, second = places[:2]
    nothing = np.zeros((CELLS, CELLS), dtype=np.int64)
    fields = (challenge.fields[first], challenge.fields[second])
    return Densities(fields, (first, second), nothing, nothing, np.stack([nothing, nothing]))


def _counts(first: NDArray[np.float64], second: NDArray[np.float64], one: Field, other: Field) -> NDArray[np.int64]:
    ranges = ((one.low, one.high), (other.low, other.high))
    return np.histogram2d(first, second, bins=CELLS, range=ranges)[0].astype(np.int64)
