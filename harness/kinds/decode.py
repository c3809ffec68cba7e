"""From probabilities to one class per row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.kinds.probabilities import finite


def decode(probabilities: ArrayLike, bias: ArrayLike | None = None) -> NDArray[np.int8]:
    """The class (rows,) with the largest probability in each row of (rows, C), the first of equal ones.

    `bias` (C,) is added to the natural logarithms of the probabilities first. Raises DataError if a probability is not finite.
    """
    values = finite(probabilities, "probabilities")
    if bias is not None:
        values = values * np.exp(np.asarray(bias, dtype=np.float64))
    classes: NDArray[np.int8] = values.argmax(axis=-1).astype(np.int8)
    return classes
