"""Tuning a run's post-processing by nested folds: TTA (flip), then temperature, smoothing, override, decoder and adjustment.

Each part of a challenge has settings of its own: its window, and what its kind asks for (harness.kinds.part).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from harness.evaluation.describe import plain
from harness.postprocess.chain import PostProcessing
from harness.runs.scores import index_digest
from harness.runs.store import Run
from harness.selection.expectation import store_choice
from harness.selection.history import TUNING
from harness.selection.nested import Mask, NestedChoice, Outcome, Step, gain
from harness.selection.part_settings import PartSettings
from harness.selection.scorer import Scorer, ValidationSet
from harness.selection.transitions import Transitions, transitions_of

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
    strides : what the score loses or gains, under the settings chosen, when every so many-th stored score is used and the others
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
        super().__init__(scorer.validation, scorer.yardstick)
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
        every = self.sums(outcome.choice)
        costs = {stride: gain(every, self.scorer.sums(outcome.choice, stride), self.yardstick).value for stride in STRIDES}
        return Tuning(outcome, costs, digest)

    def sums(self, choice: PostProcessing) -> NDArray:
        """Sums (R, size) of all recordings under a choice."""
        return self.scorer.sums(choice)

    def steps(self, among: Mask) -> list[Step[PostProcessing]]:
        """The settings there are: TTA with a second score set only, all that happens in time with frame rates only."""
        chosen: list[Step[PostProcessing]] = []
        own = [PartSettings(self.yardstick.parts.placed, number) for number in range(len(self.yardstick.parts.placed))]
        if self.flips:
            chosen.append(Step("flip", self._best_of(_flips), lambda settings: "on" if settings.flip else "off"))
        for one in own:
            if "temperature" in one.part.settings:
                chosen.append(Step(one.named("temperature"), partial(self._temperature, one), one.temperature_words))
        if self.scorer.has_rates:
            chosen += [Step(one.named("smoothing"), self._best_of(one.smoothings), one.smoothing_words) for one in own]
            if any("override" in one.part.settings for one in own):
                chosen.append(Step("override", self._best_of(_overrides), _override_words))
            # A track is decoded as a whole where classes are all there is to decode.
            if all("decoder" in one.part.settings for one in own):
                chosen.append(Step("decoder", self._decoder(among), _decoder_words))
        return [*chosen, *(Step(one.named(one.part.adjusted_by), partial(self._adjustment, one), one.words) for one in own)]

    def _best_of(self, options: Options) -> Callable[[PostProcessing, Mask], PostProcessing]:
        """Chooses the option with the highest score on the recordings of a mask, what is there already among equals."""

        def choose(settings: PostProcessing, mask: Mask) -> PostProcessing:
            candidates = [settings, *(option for option in options(settings) if option != settings)]
            return max(candidates, key=lambda option: self.yardstick.of_recordings(self.sums(option)[mask]))

        return choose

    def _temperature(self, one: PartSettings, settings: PostProcessing, mask: Mask) -> PostProcessing:
        frames = self.scorer.frames(replace(settings, temperature=1.0, seconds=0.0, confident=1.0)).of(mask)
        fitted = one.part.fit_temperature(frames.probabilities[:, one.own.columns], frames.labels[:, one.own.fields])
        return one.heated(settings, fitted)

    def _adjustment(self, one: PartSettings, settings: PostProcessing, mask: Mask) -> PostProcessing:
        """What suits the decisions of single frames, as much of it as does best with the decoder; perhaps nothing."""
        frames, columns = self.scorer.frames(settings).of(mask), one.own.columns
        judged = self.yardstick.supported[columns]
        fitted = one.part.fit(frames.probabilities[:, columns], frames.labels[:, one.own.fields], judged)
        # Only a bias goes with a decoder, and a bias has its parts.
        shares = (1.0,) if settings.viterbi is None else VITERBI_SHARES
        options = [self._adjusted(one, settings, tuple(share * value for value in fitted)) for share in shares]
        return self._best_of(lambda _: options)(settings, mask)

    def _adjusted(self, one: PartSettings, settings: PostProcessing, adjustment: tuple[float, ...]) -> PostProcessing:
        whole = list(settings.bias or self.yardstick.parts.neutral)
        whole[one.own.adjustment] = adjustment
        return replace(settings, bias=tuple(whole))

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
            self._transitions[left_out] = transitions_of(tracks, len(self.yardstick.parts.columns), validation.frame_rate)
        return self._transitions[left_out]


def _flips(settings: PostProcessing) -> list[PostProcessing]:
    return [replace(settings, flip=True)]


def _overrides(settings: PostProcessing) -> list[PostProcessing]:
    return [replace(settings, confident=confidence) for confidence in CONFIDENCES] if settings.smooths else []


def _decoders(settings: PostProcessing, transitions: Transitions) -> list[PostProcessing]:
    return [
        replace(settings, seconds=seconds, viterbi=transitions.model(evidence, shortest))
        for seconds in dict.fromkeys((settings.seconds, 0.0))
        for evidence in EVIDENCE
        for shortest in (False, True)
    ]


def _override_words(settings: PostProcessing) -> str:
    return f"above {settings.confident:g}" if settings.confident < 1 else "none"


def _decoder_words(settings: PostProcessing) -> str:
    model = settings.viterbi
    if model is None:
        return "largest probability"
    window = f"{settings.kernel} ±{settings.seconds:g} s" if settings.smooths else "none"
    return f"Viterbi, evidence {model.evidence:g}, stays from {model.minimum_seconds:g} s, {window} before"
