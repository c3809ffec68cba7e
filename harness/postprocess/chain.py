"""All of post-processing in its order: activate, (flip), fill, smooth, override, adjust, decode; one track at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError, near_names
from harness.kinds.parts import Parts, Placed
from harness.postprocess.fill import FILL_METHODS, FillMethod, fill
from harness.postprocess.smooth import DEFAULT_SECONDS, KERNELS, Kernel, smooth
from harness.postprocess.viterbi import Viterbi, viterbi

T = TypeVar("T")


@dataclass(frozen=True)
class PostProcessing:
    """How scores become answers.

    `seconds`, `kernel` and `temperature` are one value for all parts of the challenge, or a tuple with one for each in their
    order.

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
    seconds: float | tuple[float, ...] = DEFAULT_SECONDS
    kernel: Kernel | tuple[Kernel, ...] = "mean"
    temperature: float | tuple[float, ...] = 1.0
    flip: bool = False
    confident: float = 1.0
    bias: tuple[float, ...] = ()
    viterbi: Viterbi | None = None

    def __post_init__(self) -> None:
        """Refuses unknown words and impossible numbers. Raises UsageError."""
        if self.fill not in FILL_METHODS:
            raise UsageError(f"unknown way to fill {self.fill!r}", expected=near_names(self.fill, FILL_METHODS))
        for kernel in _all(self.kernel):
            if kernel not in KERNELS:
                raise UsageError(f"unknown kernel {kernel!r}", expected=near_names(kernel, KERNELS))
        for seconds in _all(self.seconds):
            if not (np.isfinite(seconds) and seconds >= 0):
                raise UsageError(
                    "the smoothing window cannot have this half-width", found=f"{seconds} seconds", expected="0 or more"
                )
        for temperature in _all(self.temperature):
            if not (np.isfinite(temperature) and temperature > 0):
                raise UsageError("the temperature must be positive", found=str(temperature))
        if not 0 <= self.confident <= 1:
            raise UsageError("the confidence that overrides smoothing must be a probability", found=str(self.confident))

    @property
    def smooths(self) -> bool:
        """Whether any part is smoothed."""
        return max(_all(self.seconds)) > 0

    @property
    def in_time(self) -> bool:
        """Whether anything is done that needs to know how long a frame lasts."""
        return self.smooths or self.viterbi is not None

    @property
    def frame_by_frame(self) -> PostProcessing:
        """The same settings without anything that makes neighbouring frames alike: no smoothing, no decoding of whole tracks."""
        return replace(self, seconds=0.0, viterbi=None)

    def of_part(self, parts: Parts, own: Placed) -> PostProcessing:
        """The settings of one part of a challenge as if it were the only one."""
        number, count = parts.placed.index(own), len(parts.placed)
        kernels: tuple[Kernel, ...] = for_parts(self.kernel, count)
        return replace(
            self,
            seconds=for_parts(self.seconds, count)[number],
            kernel=kernels[number],
            temperature=for_parts(self.temperature, count)[number],
            bias=self.bias[own.adjustment],
        )

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        value: dict[str, Any] = {key: list(one) if isinstance(one, tuple) else one for key, one in asdict(self).items()}
        if self.viterbi is not None:
            value["viterbi"]["rates"] = [list(row) for row in self.viterbi.rates]
        return value

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PostProcessing:
        """The settings from plain values; keys that are absent have their defaults.

        Raises UsageError for an unknown key, or a value of another kind than the setting has.
        """
        known = [entry.name for entry in fields(cls)]
        for key in values:
            if key not in known:
                raise UsageError(f"unknown post-processing setting {key!r}", expected=near_names(key, known))
            if not _KINDS[key](values[key]):
                raise UsageError(f"the post-processing setting {key!r} is of another kind", found=repr(values[key])[:80])
        model = values.get("viterbi")
        if model is not None:
            try:
                model = Viterbi(**{**model, "rates": tuple(map(tuple, model["rates"]))})
            except (TypeError, KeyError) as error:
                raise UsageError("the post-processing setting 'viterbi' is of another kind", found=repr(model)[:80]) from error
        plain: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
        return cls(**{**plain, "viterbi": model})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _each(value: object, holds: Callable[[object], bool]) -> bool:
    """Whether a value, or each in a list of them, is of a kind."""
    return all(map(holds, value)) if isinstance(value, list | tuple) else holds(value)


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "fill": lambda value: isinstance(value, str),
    "seconds": lambda value: _each(value, _is_number),
    "kernel": lambda value: _each(value, lambda one: isinstance(one, str)),
    "temperature": lambda value: _each(value, _is_number),
    "flip": lambda value: isinstance(value, bool),
    "confident": _is_number,
    "bias": lambda value: isinstance(value, list | tuple) and all(map(_is_number, value)),
    "viterbi": lambda value: value is None or isinstance(value, Mapping),
}
"""Of what kind the plain value of each setting is; a stored one may have been changed by hand."""


def for_parts(value: T | tuple[T, ...], count: int) -> tuple[T, ...]:
    """A setting as one value for each of `count` parts. Raises UsageError for settings of another number of parts."""
    if not isinstance(value, tuple):
        return (value,) * count
    if len(value) != count:
        raise UsageError("a setting does not have one value for each part", found=f"{len(value)} values", expected=str(count))
    return value


def together(values: Sequence[T]) -> T | tuple[T, ...]:
    """Values of all parts as a setting holds them: one where they are all the same."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _all(value: T | tuple[T, ...]) -> tuple[T, ...]:
    return value if isinstance(value, tuple) else (value,)


def seen_values(score: ArrayLike, kind: str, parts: Parts, temperature: float | tuple[float, ...] = 1.0) -> NDArray[np.float64]:
    """Probabilities and values (S, columns) of the seen frames from stored scores; `kind` is "logits" or "probabilities"."""
    warmth = for_parts(temperature, len(parts.placed))
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
    count = len(parts.placed)
    seconds = for_parts(settings.seconds, count)
    kernels: tuple[Kernel, ...] = for_parts(settings.kernel, count)
    pieces = [
        smooth(filled[:, own.columns], imputed, frame_rate, seconds[number], kernels[number], own.part.shares)
        for number, own in enumerate(parts.placed)
    ]
    smoothed = np.concatenate(pieces, axis=1)
    return parts.unsmoothed(smoothed, filled, settings.confident, ~imputed), imputed


def answers_of(values: ArrayLike, settings: PostProcessing, frame_rate: float | None, parts: Parts) -> NDArray[Any]:
    """The answers to values (rows, columns) of one track: (rows,) of a challenge of one field, else (rows, fields)."""
    bias = settings.bias or None
    if settings.viterbi is None or frame_rate is None:
        return parts.answers(values, bias)
    return viterbi(values, frame_rate, settings.viterbi, bias)
