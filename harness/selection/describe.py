"""What tuning and fitting found, as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from harness.evaluation.describe import estimate, number, table
from harness.evaluation.intervals import Estimate
from harness.selection.best import REPORTED_SHIFT, Choice
from harness.selection.fit_ensemble import EnsembleFit
from harness.selection.nested import Gain
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
        f"macro-F1 of {', '.join(outcome.classes)} before: {number(outcome.before)}",
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
    rows = [["run", "macro-F1", "weight", "temperature"]]
    for (name, score), weight, temperature in zip(fit.members.items(), mixture.weights, mixture.temperatures, strict=True):
        rows.append([name, number(score), number(weight), f"{temperature:.2f}"])
    gains = [["", "", "gain inside", "gain outside [95 %]", "sure"]]
    for step in outcome.steps:
        kept = "kept" if step.kept else "left out"
        gains.append([step.name, kept, *_gain_cells(step.in_sample_gain, step.held_out_gain)])
    gains.append(["all that was kept", "", *_gain_cells(outcome.in_sample_gain, outcome.held_out_gain)])
    expected = number(outcome.before + outcome.held_out_gain.value)
    flattered = number(outcome.before + outcome.in_sample_gain)
    lines = [
        f"macro-F1 of {', '.join(outcome.classes)}, {outcome.recordings} recordings",
        *table(rows),
        f"plain mean: {number(outcome.before)}",
        "",
        *table(gains, left=2),
        f"outside: on recordings that had no part in the fit; expect {expected} there, not {flattered}",
    ]
    if mixture.bias:
        lines.append("class bias: " + " ".join(f"{value:+.2f}" for value in mixture.bias))
    return lines


def describe_choices(choices: Sequence[Choice]) -> list[str]:
    """A line for each submission, best first, then the commands that make each."""
    rows = [["submission", "what it is", "expected [95 %]", "on validation", "fall", "beats the last", "agrees with one above"]]
    for choice in choices:
        rows.append(
            [
                choice.name,
                choice.words,
                estimate(Estimate(choice.expected, choice.low, choice.high)),
                number(choice.inside),
                f"{choice.fall:+.3f}",
                "" if choice.beats_last is None else f"{100 * choice.beats_last:.0f} %",
                "" if choice.agreement is None else f"{100 * choice.agreement:.0f} % of test rows",
            ]
        )
    lowest, highest = map(number, REPORTED_SHIFT)
    lines = [
        *table(rows, left=2),
        "",
        "expected: macro-F1 on recordings that had no part in any choice",
        "(which submission comes first, second, ... was chosen anew without each part of them)",
        "fall: how much lower than on validation a test of such recordings is expected to come out",
        f"beyond that, other teams report test scores {lowest} to {highest} below validation; that was not measured here,",
        "and no choice on validation can tell it",
        "",
    ]
    for choice in choices:
        lines += [f"{choice.name}:", *(f"  {line}" for line in choice.commands)]
    return lines


def _gain_cells(inside: float, outside: Gain) -> list[str]:
    return [f"{inside:+.3f}", gain_words(outside), f"{100 * outside.probability:.0f} %"]
