"""Student's t distribution, from SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import MissingExtraError


def quantile(probability: float, degrees_of_freedom: ArrayLike) -> NDArray[np.float64]:
    """The value below which a share `probability` of Student's t lies, for each number of degrees of freedom."""
    stdtrit = _special("stdtrit")
    return np.asarray(stdtrit(degrees_of_freedom, probability), dtype=np.float64)


def share_below(value: ArrayLike, degrees_of_freedom: ArrayLike) -> NDArray[np.float64]:
    """The share of Student's t below `value`."""
    stdtr = _special("stdtr")
    return np.asarray(stdtr(degrees_of_freedom, value), dtype=np.float64)


def _special(name: str) -> Callable[..., Any]:
    try:
        import scipy.special
    except ImportError as error:
        raise MissingExtraError("scipy", "train", "an interval or a choice over recordings") from error
    function: Callable[..., Any] = getattr(scipy.special, name)
    return function
