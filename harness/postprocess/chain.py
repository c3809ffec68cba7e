"""All of post-processing in its order: activate, (flip), fill, smooth, override, adjust, decode; one track at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError, near_names
from harness.kinds.parts import Parts
from harness.postprocess.fill import FILL_METHODS, FillMethod, fill
from harness.postprocess.smooth import DEFAULT_SECONDS, KERNELS, Kernel, smooth
from harness.postprocess.viterbi import Viterbi, viterbi


@dataclass(frozen=True)
class PostProcessing:
    """How scores become answers.

    Attributes
    ----------
    fill : how frames without a face get values: "linear", "nearest" or "hold".
    seconds, kernel : half-width and kernel of the smoothing window; 0 seconds do not smooth.
    temperature : divides the logits of classes and units before they become probabilities.
    flip : whether the scores of mirrored images are averaged in; they must have been stored.
    confident : a seen frame that is surer of a class than this is not smoothed; 1 smooths every frame. A public sweep gained
        1.1 to 1.5 points of macro-F1 by such an override (HSE's notebooks of ABAW 8 in EmotiEffLib).
    bias : the adjustment of all parts of the challenge, one behind the other (harness.kinds.parts.Parts.neutral): what is added
        to the log probability of each class or unit, scale and shift of each value; empty for none.
    viterbi : of a challenge of classes alone, how classes follow one another, to decode whole tracks; None takes the largest
        probability of each frame, as do tracks whose frame rate is unknown.
    """

    fill: FillMethod = "linear"
    seconds: float = DEFAULT_SECONDS
    kernel: Kernel = "mean"
    temperature: float = 1.0
    flip: bool = False
    confident: float = 1.0
    bias: tuple[float, ...] = ()
    viterbi: Viterbi | None = None

    def __post_init__(self) -> None:
        """Refuses unknown words and impossible numbers. Raises UsageError."""
        if self.fill not in FILL_METHODS:
            raise UsageError(f"unknown way to fill {self.fill!r}", expected=near_names(self.fill, FILL_METHODS))
        if self.kernel not in KERNELS:
            raise UsageError(f"unknown kernel {self.kernel!r}", expected=near_names(self.kernel, KERNELS))
        if not (np.isfinite(self.seconds) and self.seconds >= 0):
            raise UsageError(
                "the smoothing window cannot have this half-width", found=f"{self.seconds} seconds", expected="0 or more"
            )
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError("the temperature must be positive", found=str(self.temperature))
        if not 0 <= self.confident <= 1:
            raise UsageError("the confidence that overrides smoothing must be a probability", found=str(self.confident))

    @property
    def in_time(self) -> bool:
        """Whether anything is done that needs to know how long a frame lasts."""
        return self.seconds > 0 or self.viterbi is not None

    @property
    def frame_by_frame(self) -> PostProcessing:
        """The same settings without anything that makes neighbouring frames alike: no smoothing, no decoding of whole tracks."""
        return replace(self, seconds=0.0, viterbi=None)

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        value = {**asdict(self), "bias": list(self.bias)}
        if self.viterbi is not None:
            value["viterbi"]["rates"] = [list(row) for row in self.viterbi.rates]
        return value

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PostProcessing:
        """The settings from plain values; keys that are absent have their defaults. Raises UsageError for an unknown key."""
        known = [entry.name for entry in fields(cls)]
        for key in values:
            if key not in known:
                raise UsageError(f"unknown post-processing setting {key!r}", expected=near_names(key, known))
        model = values.get("viterbi")
        if model is not None:
            model = Viterbi(**{**model, "rates": tuple(map(tuple, model["rates"]))})
        return cls(**{**values, "bias": tuple(values.get("bias", ())), "viterbi": model})


def seen_values(score: ArrayLike, kind: str, parts: Parts, temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities and values (S, columns) of the seen frames from stored scores; `kind` is "logits" or "probabilities"."""
    warmth = (temperature,) * len(parts.placed)
    return parts.activate(score, warmth) if kind == "logits" else parts.soften(score, warmth)


def row_values(
    frames: ArrayLike,
    values: ArrayLike,
    rows: int,
    frame_rate: float | None,
    settings: PostProcessing,
    parts: Parts,
    prior: Sequence[float] | None,
    skipped: ArrayLike = (),
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Filled and smoothed values (rows, columns) of one track, and which rows are imputed (rows,)."""
    filled, imputed = fill(frames, values, rows, settings.fill, prior, skipped)
    smoothed = smooth(filled, imputed, frame_rate, settings.seconds, settings.kernel)
    return parts.unsmoothed(smoothed, filled, settings.confident, ~imputed), imputed


def answers_of(values: ArrayLike, settings: PostProcessing, frame_rate: float | None, parts: Parts) -> NDArray[Any]:
    """The answers to values (rows, columns) of one track: (rows,) of a challenge of one field, else (rows, fields)."""
    bias = settings.bias or None
    if settings.viterbi is None or frame_rate is None:
        return parts.answers(values, bias)
    return viterbi(values, frame_rate, settings.viterbi, bias)
