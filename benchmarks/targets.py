"""What must be reached, in one table: figure -> point of the requirement "as fast as the network allows", and the bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TOLERATED = 0.9
"""A check fails below this share of a target."""


@dataclass(frozen=True)
class Target:
    """A bound, from below ("least") or from above ("most"), and the point of the requirement that sets it."""

    point: int
    bound: str
    value: float

    def __str__(self) -> str:
        return f"{'≥' if self.bound == 'least' else '≤'} {self.value:,g}"

    def verdict(self, value: float) -> str:
        """ "met", "near" (at least TOLERATED of the target), or "missed"."""
        reached = value / self.value if self.bound == "least" else self.value / max(value, 1e-12)
        return "met" if reached >= 1 else "near" if reached >= TOLERATED else "missed"

    def as_dict(self) -> dict[str, Any]:
        """The target as plain values."""
        return {"point": self.point, "bound": self.bound, "value": self.value}


def least(point: int, value: float) -> Target:
    """A bound from below."""
    return Target(point, "least", value)


def most(point: int, value: float) -> Target:
    """A bound from above."""
    return Target(point, "most", value)


TARGETS = {
    "predict Res-50/224, share of the bare network": least(1, 0.92),
    "predict Res-18/112, share of the bare network": least(1, 0.92),
    "predict Res-50/224 bf16, times the plain loop": least(1, 1.5),
    "labels of bf16 that agree with fp32": least(1, 0.995),
    "input 112 to 112, fp32": least(2, 5000),
    "input 112 to 224, bf16": least(2, 2500),
    "input 112 to 224, fp32": least(2, 1500),
    "train Res-50/224, share of the bare step": least(3, 0.92),
    "train Res-50/224 frozen and bf16, times unfrozen fp32": least(3, 2.7),
    "start of harness --help": most(4, 0.3),
    "start of harness validate, small submission": most(4, 0.4),
    "predict from its imports to its first batch": most(4, 1.5),
    "scan of 600 tracks and 300,000 images, times a bare walk": most(4, 2.5),
    "scan of 600 tracks and 300,000 images from cache": most(4, 0.5),
    "stride 5, times stride 1": least(6, 5),
    "predict, memory of 600 tracks over 60": most(7, 1.2),
    "evaluate, memory of 600 tracks over 60": most(7, 1.2),
    "features, share of a raw read of the same bytes": least(9, 0.7),
    "predict from features, memory of 600 tracks over 60": most(9, 1.2),
    "shards, largest departure from equal": most(7, 0.05),
    "ensemble of 5 runs of 1,022,655 rows": most(7, 15),
    "ensemble of 5 runs of 1,022,655 rows, memory": most(7, 1024),
    "evaluate values of 76 recordings and 382,021 frames": most(7, 2),
    "validate real values, time of a byte over that of expressions": most(9, 1),
    "growth with rows: time of four times as much": most(7, 4),
    "growth with tracks: time of four times as much": most(7, 4),
    "growth with runs: time of four times as much": most(7, 4),
}
