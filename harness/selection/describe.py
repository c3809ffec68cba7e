"""What tuning and fitting found, as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from harness.challenge import Score
from harness.data.tracks import OUT_OF_FOLD
from harness.evaluation.describe import LEAST_SHOWN, estimate, table
from harness.kinds.parts import Parts, Placed
from harness.selection.best import Choice
from harness.selection.expectation import Expectation
from harness.selection.fit_ensemble import EnsembleFit
from harness.selection.nested import Gain
from harness.selection.published import on_test
from harness.selection.tune import Tuning
from harness.words import listed, number


def gain_words(gain: Gain) -> str:
    """A gain and its interval: +0.021 [-0.004, +0.046]."""
    interval = "" if gain.low is None or gain.high is None else f" [{gain.low:+.3f}, {gain.high:+.3f}]"
    return f"{gain.value:+.3f}{interval}"


def describe_tuning(tuning: Tuning) -> list[str]:
    """Each setting with its gain in sample and held out, then all of them together."""
    outcome = tuning.outcome
    rows = [["setting", "", "chosen", "in-sample gain", "held-out gain [95 %]", "P(gain > 0)"]]
    for step in outcome.steps:
        kept = "kept" if step.kept else "not kept"
        rows.append([step.name, kept, step.chosen, *_gain_cells(step.in_sample_gain, step.held_out_gain)])
    together = "all kept settings together" if any(step.kept for step in outcome.steps) else "no setting is kept"
    return [
        f"{outcome.score} of {', '.join(outcome.classes)} before: {number(outcome.before)}",
        "",
        *table(rows, left=3),
        "",
        f"{together}: in-sample gain {outcome.in_sample_gain:+.3f}, held-out gain {gain_words(outcome.held_out_gain)}, "
        f"optimism {number(outcome.optimism)}",
        "held out: on recordings that had no part in the choice",
        "change of the score when fewer frames are predicted (predict --stride N): "
        + ", ".join(f"1 of {stride} {cost:+.3f}" for stride, cost in tuning.strides.items()),
    ]


def describe_fit(fit: EnsembleFit) -> list[str]:
    """Each run with its weight and temperature, then what each step of the fit gains in sample and held out."""
    outcome, mixture = fit.outcome, fit.outcome.choice
    rows = [["run", outcome.score, "weight", "temperature"]]
    for (name, score), weight, temperature in zip(fit.members.items(), mixture.weights, mixture.temperatures, strict=True):
        rows.append([name, number(score), _each(weight, number), _each(temperature, lambda value: f"{value:.2f}")])
    gains = [["", "", "in-sample gain", "held-out gain [95 %]", "P(gain > 0)"]]
    for step in outcome.steps:
        kept = "kept" if step.kept else "not kept"
        gains.append([step.name, kept, *_gain_cells(step.in_sample_gain, step.held_out_gain)])
    gains.append(["all kept steps", "", *_gain_cells(outcome.in_sample_gain, outcome.held_out_gain)])
    expected = number(outcome.before + outcome.held_out_gain.value)
    flattered = number(outcome.before + outcome.in_sample_gain)
    lines = [
        f"{outcome.score} of {', '.join(outcome.classes)}, {outcome.recordings} recordings",
        *table(rows),
        f"plain mean: {number(outcome.before)}",
        "",
        *table(gains, left=2),
        f"held out: on recordings that had no part in the fit; expect {expected} on new recordings, not {flattered}",
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
        asked = (score or expectation.measure).words
        lines.append(f"expected on other recordings: {asked} {estimate(expectation.score(score))}, not {inside}:")
        lines.append(f"  each recording is judged without its part in {listed(expectation.without)}")
        if not expectation.all_supported:
            supported = estimate(expectation.supported_score())
            few = f"{len(expectation.supported)} supported {expectation.parts.called}"
            lines.append(f"  {expectation.measure.words} of the {few}: {supported}")
    if expectation.flattering:
        lines.append(f"warning: the score is optimistic: the labels of these recordings chose {listed(expectation.flattering)}")
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
        f"on test, the drops that teams published would turn {number(value)} into {number(found.median)} "
        f"({number(found.low)} to {number(found.high)}, {found.pairs} pairs; not measured here)"
    ]


def describe_choices(choices: Sequence[Choice]) -> list[str]:
    """A line for each submission, best first, then the commands that make each."""
    first = choices[0].expectation
    all_supported = first.all_supported
    rows = [["submission", "what it is", "held-out [95 %]", "expected [95 %]", f"in-sample, on {first.split}"]]
    rows[0] += [*[f"expected, all {first.parts.called}"] * (not all_supported), "P(beats the one above)", "agrees with one above"]
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
        f"{first.measure.words} of {of}, in the order of the held-out figure",
        "held-out: on recordings that had no part in the choice of the settings",
        "expected: the same, with the choice of what comes in this place repeated without each fold of the recordings;",
        f"{'it' if all_supported else f'of all {first.parts.called} it'} is what `harness pack` expects",
        "in-sample: on the recordings that chose the settings, which is optimistic",
        *_order_explained(choices),
    ]
    lines += describe_on_test(first)
    lines.append(_yardstick_words(first))
    flattering = dict.fromkeys(words for choice in choices for words in choice.expectation.flattering)
    if flattering:
        lines.append(f"warning: all figures are optimistic: the labels of these recordings chose {listed(list(flattering))}")
    for choice in choices:
        lines += ["", f"{choice.name}:", *(f"  {line}" for line in choice.commands)]
    return lines


def _yardstick_words(known: Expectation) -> str:
    """Which recordings the figures are of, and where there are more of them."""
    if known.split == OUT_OF_FOLD:
        return f"judged out of fold, by all {len(known.recordings)} labelled recordings"
    where = f"judged by the {len(known.recordings)} recordings of {known.split}"
    return f"{where}; `harness crossval` and --split oof judge by all labelled ones, which is surer"


def _order_explained(choices: Sequence[Choice]) -> list[str]:
    """Why a submission stands below another that one of its figures beats."""
    lines = []
    for above, below in pairwise(choices):
        inside = [one.expectation.supported_score(one.expectation.in_sample).value for one in (above, below)]
        expected = [one.expectation.supported_score(one.expectation.sums).value for one in (above, below)]
        if inside[1] - inside[0] >= LEAST_SHOWN:
            lines.append(
                f"{below.name} stands below {above.name} though its in-sample score is higher ({number(inside[1])} to "
                f"{number(inside[0])}): that is what its own choices gained on these very recordings"
            )
        if expected[1] - expected[0] >= LEAST_SHOWN:
            lines.append(
                f"{below.name} stands below {above.name} though more is expected in its place ({number(expected[1])} to "
                f"{number(expected[0])}): the folds disagree about which candidate comes first"
            )
    return lines


def _gain_cells(inside: float, outside: Gain) -> list[str]:
    return [f"{inside:+.3f}", gain_words(outside), f"{100 * outside.probability:.0f} %"]
