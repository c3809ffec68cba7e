"""The post-processing of one part of a challenge: what of it can be chosen, how it is set, and how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.kinds.part import Part
from harness.kinds.parts import Placed
from harness.postprocess.chain import PostProcessing, T, for_parts, together
from harness.postprocess.smooth import Kernel

# Half-widths in seconds. A public sweep on the EXPR validation set (EmotiEffLib's notebooks of ABAW 8, ±5 to ±500 frames) peaks
# at 1.7 and is flat to 6.7; a median was a little worse than a mean there.
MEAN_SECONDS = (0.0, 0.33, 0.67, 1.0, 1.67, 2.5, 3.33, 5.0)
GAUSSIAN_SECONDS = (1.0, 1.67, 3.33, 5.0)
MEDIAN_SECONDS = (0.67, 1.67, 3.33)


@dataclass(frozen=True)
class PartSettings:
    """The settings of one part of a challenge, by its number among all that are `placed`."""

    placed: tuple[Placed, ...]
    number: int

    @property
    def own(self) -> Placed:
        """The part, and where it lies."""
        return self.placed[self.number]

    @property
    def part(self) -> Part:
        """The part."""
        return self.own.part

    def named(self, what: str) -> str:
        """What a setting is called, with its part's name where there are several."""
        return what if len(self.placed) == 1 else f"{what} of {self.part.name}"

    def windowed(self, settings: PostProcessing, kernel: Kernel, seconds: float) -> PostProcessing:
        """The settings with another window for the part."""
        return replace(settings, kernel=self._with(settings.kernel, kernel), seconds=self._with(settings.seconds, seconds))

    def heated(self, settings: PostProcessing, temperature: float) -> PostProcessing:
        """The settings with another temperature for the part."""
        return replace(settings, temperature=self._with(settings.temperature, temperature))

    def smoothings(self, settings: PostProcessing) -> list[PostProcessing]:
        """All windows there are to try."""
        tried: list[tuple[Kernel, Sequence[float]]] = [
            ("mean", MEAN_SECONDS),
            ("gaussian", GAUSSIAN_SECONDS),
            ("median", MEDIAN_SECONDS),
        ]
        return [self.windowed(settings, kernel, seconds) for kernel, several in tried for seconds in several]

    def temperature_words(self, settings: PostProcessing) -> str:
        """Its temperature in words."""
        return f"{self._of(settings.temperature):.2f}"

    def smoothing_words(self, settings: PostProcessing) -> str:
        """Its window in words."""
        seconds = self._of(settings.seconds)
        return f"{self._of(settings.kernel)} ±{seconds:g} s" if seconds > 0 else "none"

    def words(self, settings: PostProcessing) -> str:
        """Its adjustment in words."""
        return self.part.in_words(settings.bias[self.own.adjustment]) if settings.bias else "none"

    def _of(self, value: T | tuple[T, ...]) -> T:
        return for_parts(value, len(self.placed))[self.number]

    def _with(self, value: T | tuple[T, ...], own: T) -> T | tuple[T, ...]:
        values = list(for_parts(value, len(self.placed)))
        values[self.number] = own
        return together(values)
