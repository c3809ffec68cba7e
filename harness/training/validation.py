"""What a validation while training counts: filled and decoded, not smoothed, pooled over tracks and processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from harness.challenge import EXPR, Challenge, Score, format_of
from harness.data.tracks import Track
from harness.kinds.parts import Parts, parts_of
from harness.postprocess.fill import fill


def track_sums(
    parts: Parts,
    track: Track,
    frames: NDArray[np.int32],
    outputs: NDArray[np.float32],
    skipped: NDArray[np.int32],
    prior: Sequence[float],
    count_missing: bool,
) -> NDArray:
    """The sums (size,) of a labelled track from the network's outputs (S, columns) for its frames (S,), the others filled.

    Frames in `skipped` were left out on purpose. Those without a face count unless `count_missing` is False. A track without any
    takes the values `prior` (columns,), as a submission does. Where a submission asks for some frames, or for one twice, so does
    this.
    """
    assert track.labels is not None
    filled, imputed = fill(frames, parts.activate(outputs), track.rows, method="linear", prior=prior, skipped=skipped)
    counted = np.arange(track.rows) if track.asked is None else track.asked - 1
    if not count_missing:
        counted = counted[~imputed[counted]]
    return parts.sums(track.labels[counted], parts.decode(filled)[counted])


def score_of(challenge: Challenge) -> tuple[Score, str]:
    """What a challenge is ranked by in its default edition, and the name of that figure: the one measure's, or `score`."""
    score = format_of(challenge.name).score
    return score, score.parts[0][1] if len(score.parts) == 1 else "score"


def pooled_figures(totals: Tensor, accelerator: Accelerator, challenge: Challenge = EXPR) -> dict[str, float]:
    """Score, its measures and accuracy by the sums (size,), or confusion matrices, of all processes together."""
    parts, (score, name) = parts_of(challenge), score_of(challenge)
    pooled = accelerator.reduce(totals.to(accelerator.device), reduction="sum").cpu().numpy().reshape(-1)
    shown = [measure for _, measure in score.parts] + [measure for measure in ("accuracy",) if measure in parts.measures]
    return {name: float(parts.score(pooled, score)), **{one: float(parts.measure(pooled, one)) for one in shown}}
