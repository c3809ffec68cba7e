"""From validation to test: what teams published of the same system on both, and what such falls would make of a score.

Recordings of test are others, which no choice on validation can tell of. Falls are told as the share of the validation score that
was left on test, because a low score cannot fall as far as a high one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.challenge import AU, EXPR, VA


@dataclass(frozen=True)
class PublishedPair:
    """What one system scored on validation and on test, both as published; where it was read in `source`."""

    challenge: str
    system: str
    edition: int
    validation: float
    test: float
    source: str

    @property
    def left(self) -> float:
        """The share of the validation score that was left on test."""
        return self.test / self.validation


_RESULTS_10 = "results of the 10th edition"
PAIRS = (
    PublishedPair(EXPR.name, "EagleonPamir1", 10, 0.5368, 0.391, f"arXiv 2603.12221; {_RESULTS_10}"),
    PublishedPair(EXPR.name, "HSEmotion", 10, 0.474, 0.386, f"arXiv 2603.12693; {_RESULTS_10}"),
    PublishedPair(EXPR.name, "USTC-IAT-United", 10, 0.5029, 0.36, f"arXiv 2603.08034; {_RESULTS_10}"),
    PublishedPair(EXPR.name, "baseline", 10, 0.25, 0.225, _RESULTS_10),
    PublishedPair(EXPR.name, "PRLAB", 3, 0.3035, 0.2860, "page of the paper; results of the 3rd edition"),
    PublishedPair(VA.name, "RAS, all it has", 10, 0.658, 0.62, f"arXiv 2603.13056; {_RESULTS_10}"),
    PublishedPair(VA.name, "RAS, all it has, other gates", 10, 0.649, 0.61, "arXiv 2603.13056"),
    PublishedPair(VA.name, "RAS, face and audio", 10, 0.646, 0.58, "arXiv 2603.13056"),
    PublishedPair(VA.name, "RAS, face alone", 10, 0.619, 0.54, "arXiv 2603.13056"),
    PublishedPair(VA.name, "baseline", 10, 0.22, 0.20, _RESULTS_10),
    PublishedPair(AU.name, "HSEmotion", 10, 0.547, 0.49, f"arXiv 2603.12693; {_RESULTS_10}"),
    PublishedPair(AU.name, "baseline", 10, 0.39, 0.365, _RESULTS_10),
)


@dataclass(frozen=True)
class OnTest:
    """What published falls would make of a score: the median over `pairs` of them, the largest fall and the smallest."""

    median: float
    low: float
    high: float
    pairs: int


def on_test(score: float, challenge: str) -> OnTest | None:
    """What the falls that were published in a challenge would make of a score on validation; None where none was."""
    left = [pair.left for pair in PAIRS if pair.challenge == challenge]
    if not left:
        return None
    return OnTest(score * float(np.median(left)), score * min(left), score * max(left), len(left))
