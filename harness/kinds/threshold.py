"""The threshold above which a unit is called active, so that the F1 of the active frames is highest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.kinds.part import Floats
from harness.kinds.probabilities import log_odds

# The curve of F1 over thresholds is averaged over this share of the frames on either side, so that no single frame decides.
SMOOTHED_SHARE = 0.005


def fit_threshold(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The bias b for which p e^b > 1 - p has the highest F1 on probabilities (N,) with labels 0 or 1 (N,), to four digits.

    Every threshold between two frames is tried. Only the order of the probabilities counts, so models that are too sure of
    themselves are treated like any other. 0 where no frame is active, or all are: there is no F1 to gain then.
    """
    active = np.asarray(labels) == 1
    if not active.any() or active.all():
        return 0.0
    odds = log_odds(probabilities)
    order = np.argsort(-odds, kind="stable")
    ranked, right = odds[order], np.cumsum(active[order])
    called = np.arange(1, len(ranked) + 1)
    f1 = 2.0 * right / (called + right[-1])
    smooth = _running_mean(f1, int(SMOOTHED_SHARE * len(f1)))
    # Only between unequal probabilities can a threshold stand; behind the last frame lies the one that calls all active.
    cuts = np.append(np.flatnonzero(np.diff(ranked) < 0), len(ranked) - 1)
    best = cuts[int(np.argmax(smooth[cuts]))]
    below = ranked[best + 1] if best + 1 < len(ranked) else ranked[best] - 1.0
    return round(float(-0.5 * (ranked[best] + below)), 4)


def _running_mean(values: Floats, half: int) -> Floats:
    """Means (N,) over up to `half` values on either side; windows shrink at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    first, last = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    means: Floats = (sums[last] - sums[first]) / (last - first)
    return means
