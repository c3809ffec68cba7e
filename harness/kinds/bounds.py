"""Scores between two bounds, laid out on the whole line, where an interval cannot leave them.

Of a score in 0..1, as F1 is, that is the logit. Of one in -1..1, as CCC is, it is twice Fisher's z, and intervals are the same on
either: (1 + r) / 2 has the logit 2 artanh r.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.kinds.part import Floats
from harness.kinds.probabilities import sigmoid

# Shares of the range nearer to its ends than this are moved there before their logit is taken.
NEAREST_TO_BORDER = 1e-3


def interval_between(centre: Floats, half_width: Floats, low: ArrayLike = 0.0, high: ArrayLike = 1.0) -> tuple[Floats, Floats]:
    """The interval (...) around `centre` whose half-width is added where scores between `low` and `high` fill the whole line.

    There it is as wide, to first order, as `half_width` is at the centre (the delta method).
    """
    lowest, width = np.asarray(low, dtype=np.float64), np.subtract(high, low, dtype=np.float64)
    share = np.clip((centre - lowest) / width, NEAREST_TO_BORDER, 1.0 - NEAREST_TO_BORDER)
    logit = np.log(share / (1.0 - share))
    half = half_width / width / (share * (1.0 - share))
    return lowest + width * sigmoid(logit - half), lowest + width * sigmoid(logit + half)
