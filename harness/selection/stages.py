"""The settings that tuning chooses, one after the other: flip, temperature, smoothing, override, decoder, class bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.kinds.bias import fit_bias
from harness.kinds.temperature import fit_temperature
from harness.postprocess.chain import PostProcessing
from harness.selection.nested import Mask, macro_f1_of
from harness.selection.scorer import Scorer
from harness.selection.transitions import Habits

# Half-widths in seconds. A public sweep on the EXPR validation set (EmotiEffLib's notebooks of ABAW 8, ±5 to ±500 frames) peaks
# at 1.7 and is flat to 6.7; a median was a little worse than a mean there.
MEAN_SECONDS = (0.0, 0.33, 0.67, 1.0, 1.67, 2.5, 3.33, 5.0)
GAUSSIAN_SECONDS = (1.0, 1.67, 3.33, 5.0)
MEDIAN_SECONDS = (0.67, 1.67, 3.33)

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
EVIDENCE = (0.05, 0.1, 0.3)

# A class bias is fitted to the decisions of single frames, which Viterbi does not make: a whole sequence may need less of it.
VITERBI_SHARES = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Stage:
    """One setting: its name, how it is chosen on some recordings given all other settings, and how it reads."""

    name: str
    choose: Callable[[Scorer, PostProcessing, Mask], PostProcessing]
    words: Callable[[PostProcessing], str]


def stages(flipped: bool, rates: bool, habits: Callable[[Mask], Habits | None]) -> tuple[Stage, ...]:
    """The settings there are to choose: flip with a second score set only, all that happens in time with frame rates only.

    `habits` says how classes follow one another, for a choice on the recordings of a mask (R,).
    """
    chosen = [Stage("temperature", _choose_temperature, lambda settings: f"{settings.temperature:.2f}")]
    if flipped:
        chosen.insert(0, Stage("flip", _best_of(_flips), lambda settings: "on" if settings.flip else "off"))
    if rates:
        chosen.append(Stage("smoothing", _best_of(_smoothings), _smoothing_words))
        chosen.append(Stage("override", _best_of(_overrides), _override_words))
        chosen.append(Stage("decoder", _decoder_by(habits), _decoder_words))
    chosen.append(Stage("class bias", _choose_bias, _bias_words))
    return tuple(chosen)


def _best_of(
    options: Callable[[PostProcessing], Sequence[PostProcessing]],
) -> Callable[[Scorer, PostProcessing, Mask], PostProcessing]:
    """Chooses the option with the highest macro-F1 on the recordings of a mask, what is there already among equals."""

    def choose(scorer: Scorer, settings: PostProcessing, mask: Mask) -> PostProcessing:
        candidates = [settings, *(option for option in options(settings) if option != settings)]
        return max(candidates, key=lambda option: macro_f1_of(scorer.confusions(option)[mask], scorer.tuned))

    return choose


def _flips(settings: PostProcessing) -> list[PostProcessing]:
    return [replace(settings, flip=True)]


def _smoothings(settings: PostProcessing) -> list[PostProcessing]:
    return [
        *(replace(settings, kernel="mean", seconds=seconds) for seconds in MEAN_SECONDS),
        *(replace(settings, kernel="gaussian", seconds=seconds) for seconds in GAUSSIAN_SECONDS),
        *(replace(settings, kernel="median", seconds=seconds) for seconds in MEDIAN_SECONDS),
    ]


def _overrides(settings: PostProcessing) -> list[PostProcessing]:
    return [replace(settings, confident=confidence) for confidence in CONFIDENCES] if settings.seconds > 0 else []


def _decoders(settings: PostProcessing, habits: Habits) -> list[PostProcessing]:
    return [
        replace(settings, seconds=seconds, viterbi=habits.model(evidence, shortest))
        for seconds in dict.fromkeys((settings.seconds, 0.0))
        for evidence in EVIDENCE
        for shortest in (False, True)
    ]


def _decoder_by(habits: Callable[[Mask], Habits | None]) -> Callable[[Scorer, PostProcessing, Mask], PostProcessing]:
    def choose(scorer: Scorer, settings: PostProcessing, mask: Mask) -> PostProcessing:
        known = habits(mask)
        return settings if known is None else _best_of(lambda one: _decoders(one, known))(scorer, settings, mask)

    return choose


def _choose_temperature(scorer: Scorer, settings: PostProcessing, mask: Mask) -> PostProcessing:
    frames = scorer.frames(replace(settings, temperature=1.0, seconds=0.0, confident=1.0)).to_fit(mask)
    return replace(settings, temperature=fit_temperature(frames.probabilities, frames.labels))


def _choose_bias(scorer: Scorer, settings: PostProcessing, mask: Mask) -> PostProcessing:
    """The bias that suits the decisions of single frames, as much of it as does best with the decoder there is; perhaps none."""
    frames = scorer.frames(settings).to_fit(mask)
    fitted = fit_bias(frames.probabilities, frames.labels, scorer.tuned)
    shares = (1.0,) if settings.viterbi is None else VITERBI_SHARES
    options = [replace(settings, bias=tuple(share * value for value in fitted)) for share in shares]
    return _best_of(lambda _: options)(scorer, settings, mask)


def _smoothing_words(settings: PostProcessing) -> str:
    return f"{settings.kernel} ±{settings.seconds:g} s" if settings.seconds > 0 else "none"


def _override_words(settings: PostProcessing) -> str:
    return f"above {settings.confident:g}" if settings.confident < 1 else "none"


def _decoder_words(settings: PostProcessing) -> str:
    model = settings.viterbi
    if model is None:
        return "largest probability"
    return f"Viterbi, evidence {model.evidence:g}, stays from {model.minimum_seconds:g} s, {_smoothing_words(settings)} before"


def _bias_words(settings: PostProcessing) -> str:
    return " ".join(f"{value:+.2f}" for value in settings.bias) or "none"
