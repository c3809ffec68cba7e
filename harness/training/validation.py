"""What a validation while training counts: filled and decoded, not smoothed, pooled over tracks and processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from harness.data.tracks import Track
from harness.kinds.confusion import confusion
from harness.kinds.decode import decode
from harness.kinds.f1 import macro_f1
from harness.kinds.probabilities import softmax
from harness.postprocess.fill import fill


def track_confusion(
    track: Track,
    frames: NDArray[np.int32],
    logits: NDArray[np.float32],
    skipped: NDArray[np.int32],
    prior: Sequence[float],
    count_missing: bool,
) -> NDArray[np.int64]:
    """The confusion matrix (C, C) of a labelled track from the logits (S, C) of its frames (S,), the others filled.

    Frames in `skipped` were left out on purpose. Those without a face count unless `count_missing` is False. A track without any
    takes the class shares `prior` (C,), as a submission does.
    """
    assert track.labels is not None
    filled, imputed = fill(frames, softmax(logits), track.rows, method="linear", prior=prior, skipped=skipped)
    counted = track.labels >= 0
    if not count_missing:
        counted &= ~imputed
    return confusion(track.labels[counted], decode(filled)[counted], len(prior))


def pooled_figures(totals: Tensor, accelerator: Accelerator) -> dict[str, float]:
    """Macro-F1 and accuracy of the confusion matrices int64 (C, C) of all processes together."""
    pooled = accelerator.reduce(totals.to(accelerator.device), reduction="sum").cpu().numpy()
    return {"macro_f1": float(macro_f1(pooled)), "accuracy": float(np.trace(pooled) / max(pooled.sum(), 1))}
