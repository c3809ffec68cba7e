"""What SciPy finds the smallest value with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import MissingExtraError

Floats = NDArray[np.float64]


def minimise_between(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one number is smallest between two bounds (Brent's method)."""
    return float(_scipy().minimize_scalar(function, bounds=(low, high), method="bounded").x)


def minimise(function: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """Where a function, given as value and gradient, is smallest near `start` (L-BFGS)."""
    return np.asarray(_scipy().minimize(function, start, jac=True, method="L-BFGS-B").x, dtype=np.float64)


def _scipy() -> Any:
    try:
        import scipy.optimize
    except ImportError as error:
        raise MissingExtraError("scipy", "train", "fitting a setting") from error
    return scipy.optimize
