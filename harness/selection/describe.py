"""What tuning and fitting found, as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.challenge import Score
from harness.data.tracks import OUT_OF_FOLD
from harness.evaluation.describe import estimate, number, table
from harness.kinds.parts import Parts, Placed
from harness.selection.best import Choice
from harness.selection.expectation import Expectation, listed
from harness.selection.fit_ensemble import EnsembleFit
from harness.selection.nested import Gain
from harness.selection.published import on_test
from harness.selection.tune import Tuning


def gain_words(gain: Gain) -> str:
    """A gain and its interval: +0.021 [-0.004, +0.046]."""
    interval = "" if gain.low is None or gain.high is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"{gain.value:+.3f}{interval}"


def describe_tuning(tuning: Tuning) -> list[str]:
    """Each setting with its gain in sample and held out, then all of them together."""
    outcome = tuning.outcome
    rows = [["setting", "", "chosen", "gain inside", "gain outside [95 %]", "sure"]]
    for step in outcome.steps:
        kept = "kept" if step.kept else "left as it was"
        rows.append([step.name, kept, step.chosen, *_gain_cells(step.in_sample_gain, step.held_out_gain)])
    return [
        f"{outcome.score} of {', '.join(outcome.classes)} before: {number(outcome.before)}",
        "",
        *table(rows, left=3),
        "",
        f"all that was kept: {outcome.in_sample_gain:+.3f} on the recordings it was chosen on, "
        f"{gain_words(outcome.held_out_gain)} on recordings",
        f"that had no part in the choice, which flatters by {outcome.optimism:.3f}",
        "scoring fewer frames, predict --stride N: "
        + ", ".join(f"1 of {stride} {cost:+.3f}" for stride, cost in tuning.strides.items()),
    ]


def describe_fit(fit: EnsembleFit) -> list[str]:
    """Each run with its weight and temperature, then what each step of the fit gains in sample and held out."""
    outcome, mixture = fit.outcome, fit.outcome.choice
    rows = [["run", outcome.score, "weight", "temperature"]]
    for (name, score), weight, temperature in zip(fit.members.items(), mixture.weights, mixture.temperatures, strict=True):
        rows.append([name, number(score), _each(weight, number), _each(temperature, lambda value: f"{value:.2f}")])
    gains = [["", "", "gain inside", "gain outside [95 %]", "sure"]]
    for step in outcome.steps:
        kept = "kept" if step.kept else "left out"
        gains.append([step.name, kept, *_gain_cells(step.in_sample_gain, step.held_out_gain)])
    gains.append(["all that was kept", "", *_gain_cells(outcome.in_sample_gain, outcome.held_out_gain)])
    expected = number(outcome.before + outcome.held_out_gain.value)
    flattered = number(outcome.before + outcome.in_sample_gain)
    lines = [
        f"{outcome.score} of {', '.join(outcome.classes)}, {outcome.recordings} recordings",
        *table(rows),
        f"plain mean: {number(outcome.before)}",
        "",
        *table(gains, left=2),
        f"outside: on recordings that had no part in the fit; expect {expected} there, not {flattered}",
    ]
    if mixture.bias:
        parts = outcome.expectation.parts
        lines += [
            f"{own.part.adjusted_by}{_of(own, parts)}: {own.part.in_words(mixture.bias[own.adjustment])}" for own in parts.placed
        ]
    return lines


def _each(value: float | tuple[float, ...], words: Callable[[float], str]) -> str:
    """A setting in words, of each part where they differ."""
    return " ".join(map(words, value)) if isinstance(value, tuple) else words(value)


def _of(own: Placed, parts: Parts) -> str:
    """Which part something is of, where there are several."""
    return f" of {own.part.name}" if len(parts.placed) > 1 else ""


def describe_expectation(expectation: Expectation, score: Score | None = None) -> list[str]:
    """What a score on a split lets expect of other recordings, where labels of the split chose anything; else nothing."""
    lines = []
    if expectation.without:
        inside = number(expectation.score(score, expectation.in_sample).value)
        asked = score or expectation.measure
        lines.append(f"expected on other recordings: {asked} {estimate(expectation.score(score))}, not {inside}:")
        lines.append(f"  each recording is judged without its part in {listed(expectation.without)}")
        if not expectation.all_supported:
            supported = estimate(expectation.supported_score())
            few = f"{len(expectation.supported)} supported {expectation.parts.called}"
            lines.append(f"  {expectation.measure.words} of the {few}: {supported}")
    if expectation.flattering:
        lines.append(f"warning: the score flatters, for the labels of these recordings chose {listed(expectation.flattering)}")
    return lines


def describe_on_test(expectation: Expectation, score: Score | None = None) -> list[str]:
    """What falls from validation to test that teams published would make of an expectation.

    Nothing where none was published, of scores on test itself, and of the score of an edition that ranked otherwise.
    """
    if expectation.split == "test" or score not in (None, expectation.measure):
        return []
    value = expectation.score().value
    found = on_test(value, expectation.parts.challenge.name)
    if found is None:
        return []
    return [
        f"on test, falls that teams published would make {number(found.median)} of {number(value)} "
        f"({number(found.low)} to {number(found.high)}, {found.pairs} pairs; not measured here)"
    ]


def describe_choices(choices: Sequence[Choice]) -> list[str]:
    """A line for each submission, best first, then the commands that make each."""
    first = choices[0].expectation
    all_supported = first.all_supported
    rows = [["submission", "what it is", "outside its choices [95 %]", "expected here [95 %]", f"inside, on {first.split}"]]
    rows[0] += [*[f"expected, all {first.parts.called}"] * (not all_supported), "beats the last", "agrees with one above"]
    for choice in choices:
        known = choice.expectation
        rows.append(
            [
                choice.name,
                choice.words,
                *(estimate(known.supported_score(sums)) for sums in (known.of_itself, known.sums)),
                number(known.supported_score(known.in_sample).value),
                *[estimate(known.score())] * (not all_supported),
                "" if choice.beats_last is None else f"{100 * choice.beats_last:.0f} %",
                "" if choice.agreement is None else f"{100 * choice.agreement:.0f} % of test rows",
            ]
        )
    of = (
        f"{len(first.parts.columns)} {first.parts.called}"
        if all_supported
        else f"the supported {first.parts.called} {', '.join(first.supported)}"
    )
    lines = [
        *table(rows, left=2),
        "",
        f"{first.measure.words} of {of}; the order is that of the first figure",
        "outside its choices: on recordings that had no part in choosing its settings",
        "expected here: the same when what comes in this place, too, is chosen anew without each part of the recordings;",
        f"{'it' if all_supported else f'of all {first.parts.called} it'} is what `harness pack` expects",
    ]
    lines += describe_on_test(first)
    lines.append(_yardstick_words(first))
    flattering = dict.fromkeys(words for choice in choices for words in choice.expectation.flattering)
    if flattering:
        lines.append(f"warning: all figures flatter, for the labels of these recordings chose {listed(list(flattering))}")
    for choice in choices:
        lines += ["", f"{choice.name}:", *(f"  {line}" for line in choice.commands)]
    return lines


def _yardstick_words(known: Expectation) -> str:
    """Which recordings the figures are of, and where there are more of them."""
    if known.split == OUT_OF_FOLD:
        return f"judged out of fold, by all {len(known.recordings)} labelled recordings"
    where = f"judged by the {len(known.recordings)} recordings of {known.split}"
    return f"{where}; `harness crossval` and --split oof judge by all labelled ones, which is surer"


def _gain_cells(inside: float, outside: Gain) -> list[str]:
    return [f"{inside:+.3f}", gain_words(outside), f"{100 * outside.probability:.0f} %"]
