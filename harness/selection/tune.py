"""Tuning a run's post-processing by nested folds: TTA (flip), temperature, smoothing, override, decoder, class bias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.evaluation.describe import plain
from harness.kinds.bias import fit_bias
from harness.kinds.temperature import fit_temperature
from harness.postprocess.chain import PostProcessing
from harness.runs.scores import index_digest
from harness.runs.store import Run
from harness.selection.expectation import Counts, store_choice
from harness.selection.history import TUNING
from harness.selection.nested import Mask, NestedChoice, Outcome, Step, gain, macro_f1_of
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.transitions import Transitions, transitions_of

# Half-widths in seconds. A public sweep on the EXPR validation set (EmotiEffLib's notebooks of ABAW 8, ±5 to ±500 frames) peaks
# at 1.7 and is flat to 6.7; a median was a little worse than a mean there.
MEAN_SECONDS = (0.0, 0.33, 0.67, 1.0, 1.67, 2.5, 3.33, 5.0)
GAUSSIAN_SECONDS = (1.0, 1.67, 3.33, 5.0)
MEDIAN_SECONDS = (0.67, 1.67, 3.33)

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
EVIDENCE = (0.05, 0.1, 0.3)

# A class bias is fitted to the decisions of single frames, which Viterbi does not make: a whole sequence may need less of it.
VITERBI_SHARES = (1.0, 0.5, 0.25)

STRIDES = (2, 3, 5, 10)
"""Strides whose cost is told: of every how many stored scores one is used."""

Options = Callable[[PostProcessing], Sequence[PostProcessing]]


@dataclass(frozen=True)
class Tuning:
    """The outcome of tuning.

    Attributes
    ----------
    strides : what macro-F1 loses or gains, under the settings chosen, when every so many-th stored score is used and the others
        are interpolated: the price of `harness predict --stride N`.
    scores : sha256 of the index of the scores it was chosen on.
    """

    outcome: Outcome[PostProcessing]
    strides: dict[int, float]
    scores: str

    def as_dict(self, validation: ValidationSet) -> dict[str, Any]:
        """What is stored as tuned.json, with the split it was chosen on."""
        return {
            "postprocessing": self.outcome.choice.as_dict(),
            **validation.as_dict(),
            **self.outcome.as_dict(),
            "stages": plain(self.outcome.steps),
            "before": self.outcome.before,
            "strides": plain(self.strides),
            "scores": self.scores,
        }

    def store(self, run: Run, validation: ValidationSet) -> None:
        """Stores with `run` what was chosen for it, and what it is then expected to score."""
        store_choice(run, TUNING, self.as_dict(validation), self.outcome.expectation, self.outcome.choice)


def tune(
    run: Run, validation: ValidationSet, start: PostProcessing, progress: Callable[[str], None] = lambda line: None
) -> Tuning:
    """Chooses post-processing for a run on a split's labels, keeping what gains on recordings that had no part in the choice.

    Training labels say how classes follow one another, but for those of the recordings that are judged; labels of a test split
    are never read.

    Raises UsageError for a test split or one the run learned from, DataError if the split has no labels or a single recording.
    """
    return Tuner(Scorer(run, validation), start).tune(progress)


class Tuner(NestedChoice[PostProcessing]):
    """Tunes one run, beginning with the settings `start`."""

    def __init__(self, scorer: Scorer, start: PostProcessing) -> None:
        super().__init__(scorer.validation, scorer.run.class_names, scorer.supported)
        self.scorer, self.start = scorer, start
        splits = scorer.run.splits()
        # A model can score the mirrored images of test when they are asked for; an ensemble has what its members had.
        on_test = scorer.run.manifest.get("kind") != "ensemble" or "test" not in splits or "test.flip" in splits
        self.flips = f"{self.validation.split}.flip" in splits and on_test
        self._transitions: dict[frozenset[str], Transitions | None] = {}

    def tune(self, progress: Callable[[str], None] = lambda line: None) -> Tuning:
        """Chooses on all recordings, and tells what that gains."""
        digest = index_digest(self.scorer.run, self.validation.split)
        outcome = self.outcome(progress)
        every = self.confusions(outcome.choice)
        costs = {stride: gain(every, self.scorer.confusions(outcome.choice, stride), self.supported).value for stride in STRIDES}
        return Tuning(outcome, costs, digest)

    def confusions(self, choice: PostProcessing) -> Counts:
        """Confusion matrices (R, C, C) of all recordings under a choice."""
        return self.scorer.confusions(choice)

    def steps(self, among: Mask) -> list[Step[PostProcessing]]:
        """The settings there are: TTA with a second score set only, all that happens in time with frame rates only."""
        chosen = [Step("temperature", self._temperature, lambda settings: f"{settings.temperature:.2f}")]
        if self.flips:
            chosen.insert(0, Step("flip", self._best_of(_flips), lambda settings: "on" if settings.flip else "off"))
        if self.scorer.has_rates:
            chosen.append(Step("smoothing", self._best_of(_smoothings), _smoothing_words))
            chosen.append(Step("override", self._best_of(_overrides), _override_words))
            chosen.append(Step("decoder", self._decoder(among), _decoder_words))
        chosen.append(Step("class bias", self._bias, _bias_words))
        return chosen

    def _best_of(self, options: Options) -> Callable[[PostProcessing, Mask], PostProcessing]:
        """Chooses the option with the highest macro-F1 on the recordings of a mask, what is there already among equals."""

        def choose(settings: PostProcessing, mask: Mask) -> PostProcessing:
            candidates = [settings, *(option for option in options(settings) if option != settings)]
            return max(candidates, key=lambda option: macro_f1_of(self.confusions(option)[mask], self.supported))

        return choose

    def _temperature(self, settings: PostProcessing, mask: Mask) -> PostProcessing:
        frames = self.scorer.frames(replace(settings, temperature=1.0, seconds=0.0, confident=1.0)).of(mask)
        return replace(settings, temperature=fit_temperature(frames.probabilities, frames.labels))

    def _bias(self, settings: PostProcessing, mask: Mask) -> PostProcessing:
        """The bias that suits the decisions of single frames, as much of it as does best with the decoder; perhaps none."""
        frames = self.scorer.frames(settings).of(mask)
        fitted = fit_bias(frames.probabilities, frames.labels, self.supported)
        shares = (1.0,) if settings.viterbi is None else VITERBI_SHARES
        options = [replace(settings, bias=tuple(share * value for value in fitted)) for share in shares]
        return self._best_of(lambda _: options)(settings, mask)

    def _decoder(self, among: Mask) -> Callable[[PostProcessing, Mask], PostProcessing]:
        """Chooses a decoder by what training labels say, but for those of the recordings it is judged on.

        Within a part of the recordings, whose own folds only decide what is kept, the transitions of the whole part serve: a
        decoder with others in each fold of each part would be tried a hundred times more, and the part that judges all of this
        is left out either way.
        """

        def choose(settings: PostProcessing, mask: Mask) -> PostProcessing:
            known = self._transitions_in(mask if among.all() else among)
            return settings if known is None else self._best_of(lambda one: _decoders(one, known))(settings, mask)

        return choose

    def _transitions_in(self, mask: Mask) -> Transitions | None:
        """How classes follow one another in the training labels, without those of the recordings outside the mask."""
        validation = self.validation
        training = [track for track in validation.root.tracks if track.split == "train"]
        left_out = frozenset(name for name, inside in zip(validation.recordings, mask, strict=True) if not inside)
        left_out &= {track.recording for track in training}
        if left_out not in self._transitions:
            tracks = [track for track in training if track.recording not in left_out]
            self._transitions[left_out] = transitions_of(tracks, self.scorer.classes, validation.frame_rate)
        return self._transitions[left_out]


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


def _decoders(settings: PostProcessing, transitions: Transitions) -> list[PostProcessing]:
    return [
        replace(settings, seconds=seconds, viterbi=transitions.model(evidence, shortest))
        for seconds in dict.fromkeys((settings.seconds, 0.0))
        for evidence in EVIDENCE
        for shortest in (False, True)
    ]


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
