"""An evaluation or a comparison as lines of text for a terminal, and any result as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from harness.challenge import Score, usual_score
from harness.evaluation.compare import ComparedRun, RunComparison
from harness.evaluation.evaluate import ColumnReport, Evaluation, FrameSet
from harness.evaluation.intervals import Estimate, Interval, measured_class_coverage
from harness.kinds.parts import Parts, parts_of
from harness.words import counted, measured, number

WIDEST_NAME = 28

# Scores are printed with three digits.
LEAST_SHOWN = 0.0005

# By so much smoothing lowers a score before anything is said of it.
HARMFUL = 0.005


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, arrays and tuples as lists, keys as text, numbers that are none as None.

    A field's metadata may say under which name it is stored ("json"), or None to leave it out.
    """
    if is_dataclass(value):
        names = {field.name: field.metadata.get("json", field.name) for field in fields(value)}
        return {stored: plain(getattr(value, name)) for name, stored in names.items() if stored is not None}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def estimate(value: Estimate) -> str:
    """A score and its interval: .412 [.351, .470]."""
    interval = "" if value.low is None else f" [{number(value.low)}, {number(value.high)}]"
    return number(value.value) + interval


def table(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as aligned lines; the first `left` columns stand left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def shorten(name: str) -> str:
    """A name that does not break a table."""
    return name if len(name) <= WIDEST_NAME else name[: WIDEST_NAME - 1] + "…"


def measure_words(parts: Parts, name: str) -> str:
    """A measure in words: macro-F1, F1 of AU12, CCC of valence."""
    measure = parts.measures[name]
    return f"{measured(measure.what)} of {measure.column}" if measure.column else measured(measure.what)


def score_formula(parts: Parts, score: Score) -> str:
    """A score as the sum it is: 0.5 CCC of valence + 0.5 CCC of arousal."""
    terms = [(weight, measure_words(parts, name)) for weight, name in score.parts]
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for weight, name in terms)


def describe(result: Evaluation, unsmoothed: Evaluation | None = None) -> list[str]:
    """The evaluation, most important first."""
    lines = [*_scores(result, unsmoothed), "", *_interval_note(result), "", *_columns(result), *_confusions(result)]
    lines += _influences(result)
    if result.calibration is not None:
        lines.append(f"calibration error: {number(result.calibration.error)} (mean gap between confidence and accuracy)")
    return [*lines, *_shifts(result)]


def describe_comparison(result: RunComparison) -> list[str]:
    """Each prediction beside the reference, then column by column, then in words."""
    recordings, judged = result.others[0].comparison.recordings, result.others[0].comparison.supported
    parts, score = parts_of(result.challenge), usual_score(result.challenge)
    header = [score.words, "", "difference", "95 % interval", "p", "p, √ frames", "recordings that differ"]
    rows = [[result.reference, number(result.score), *[""] * 5]]
    for other in result.others:
        one = other.comparison
        gain = _difference(one.difference, one.interval)
        differ = f"{one.differing} of {recordings}"
        if judged.all():
            rows.append([other.name, number(other.score), *gain, p_words(other.p_value), p_words(one.weighted_p_value), differ])
            continue
        rows.append([other.name, number(other.score), *gain, p_words(one.p_value), "", differ])
        gain = _difference(one.supported_difference, one.supported_interval)
        name = f"  of {judged.sum()} supported {parts.called}"
        rows.append([name, "", *gain, p_words(other.p_value), p_words(one.weighted_p_value), ""])
    lines = table([header, *rows])
    for other in result.others:
        lines += ["", *_compared_columns(result, other)]
    corrected = f", corrected for {len(result.others)} comparisons" if len(result.others) > 1 else ""
    lines += ["", f"p: how often swapping the two at random, recording by recording, gives as much{corrected}"]
    lines.append(
        "p, √ frames: the same when a recording counts by the root of its frames: better on recordings, not on pooled frames?"
    )
    for name, runs in result.seeds.items():
        lines.append(f"{name}: the mean of {', '.join(f'{run} {number(value)}' for run, value in runs.items())}")
    if result.seeds:
        lines.append("intervals are over seeds and recordings together, p over recordings with the seeds as they are")
    if result.terms:
        lines.append(f"score: {score_formula(parts, score)}")
    lines += result.notes
    return [*lines, *(f"{other.verdict} (p {_equals(other.p_value)})" for other in result.others)]


def _compared_columns(result: RunComparison, other: ComparedRun) -> list[str]:
    """What the score is a sum of, but for single columns, then each column."""
    parts, one = parts_of(result.challenge), other.comparison
    names = [measured(measure.what) for measure in parts.judged_by]
    alike = len(set(names)) == 1
    asked = f"p, of {int(one.supported.sum())} {parts.called}"
    rows = [[names[0] if alike else "", result.reference, other.name, "difference", "95 % interval", asked]]
    for place, term in enumerate(result.terms):
        if not parts.measures[term].column:
            before, difference = float(result.term_scores[place]), float(one.term_difference[place])
            interval = Interval(one.term_interval.low[place], one.term_interval.high[place])
            p_value = f"{p_words(float(one.term_p_value[place]))} of {len(result.terms)} parts"
            rows.append(_compared_row(measure_words(parts, term), before, difference, interval, p_value))
    for c, name in enumerate(parts.columns):
        before, difference = float(result.column_scores[c]), float(one.column_difference[c])
        interval = Interval(one.column_interval.low[c], one.column_interval.high[c])
        words = name if alike else f"{names[c]} of {name}"
        rows.append(_compared_row(words, before, difference, interval, p_words(float(one.column_p_value[c]))))
    return table(rows)


def _compared_row(name: str, before: float, difference: float, interval: Interval, p_value: str) -> list[str]:
    return [name, number(before), number(before + difference), *_difference(difference, interval), p_value]


def _difference(value: float, interval: Interval) -> list[str]:
    """A difference and its interval as two cells, the latter empty where recordings give no measure of spread."""
    return [f"{value:+.3f}", difference_words(interval)]


def difference_words(interval: Interval) -> str:
    """`[-0.004, +0.046]`, or nothing where recordings give no measure of spread."""
    return "" if math.isnan(interval.low) else f"[{float(interval.low):+.3f}, {float(interval.high):+.3f}]"


def p_words(value: float) -> str:
    """A p-value for a table."""
    if math.isnan(value):
        return "too few frames"
    return "< .001" if value < 0.001 else number(value)


def _equals(value: float) -> str:
    return p_words(value) if value < 0.001 else f"= {p_words(value)}"


def track_table(result: Evaluation) -> list[str]:
    """One line for each track."""
    parts = result.parts
    measures = [measure.name for own in parts.placed for measure in reversed(own.part.pooled)]
    # Of classes macro-F1 is over those that the track has.
    heads = ["F1" if name == "macro_f1" else measure_words(parts, name) for name in measures]
    single = len(parts.placed) == 1
    usual = ("mostly labelled", "mostly predicted")
    words = [usual if single else (f"{name} labelled", "predicted") for name in _part_names(parts)]
    header = ["track", *(head for pair in words for head in pair), "rows", "labelled", "with face", *heads]
    rows = [
        [
            track.track,
            *(one.get(name, "-") for name in _part_names(parts) for one in (track.most_labelled, track.most_answered)),
            f"{track.rows:,}",
            f"{track.labelled:,}",
            f"{track.with_face:,}",
            *(number(track.measures.get(name)) for name in measures),
        ]
        for track in result.tracks
    ]
    return table([header, *rows], left=1 + 2 * len(parts.placed))


def _part_names(parts: Parts) -> list[str]:
    return [own.part.name for own in parts.placed]


def _scores(result: Evaluation, unsmoothed: Evaluation | None) -> list[str]:
    sets: list[FrameSet] = [result.all_labelled]
    header = ["", f"all {result.all_labelled.frames:,} labelled frames"]
    if result.with_face is None:
        header.append("none of them has a face")
    elif result.with_face.frames == result.all_labelled.frames:
        header.append("all of them have a face")
    else:
        sets.append(result.with_face)
        header.append(f"{result.with_face.frames:,} of them with a face")
    parts, usual = result.parts, usual_score(result.challenge)
    score = usual.words
    of_classes = f"{score} of {len(parts.columns)} classes" if parts.of_classes else score
    rows = [header, _line(of_classes, [estimate(one.usual_score) for one in sets], header)]
    if unsmoothed is not None:
        plain = [unsmoothed.all_labelled, *([unsmoothed.with_face] if unsmoothed.with_face and len(sets) > 1 else [])]
        rows.append(_line("  without smoothing", [estimate(one.usual_score) for one in plain], header))
    if len(result.supported) < len(parts.columns):
        name = f"{score} of the {len(result.supported)} supported classes"
        name = name if parts.of_classes else f"  over {len(result.supported)} supported {parts.called}"
        rows.append(_line(name, [estimate(one.supported_score) for one in sets], header))
    if result.score != usual:
        rows.append(_line(f"score: {score_formula(parts, result.score)}", [number(one.score.value) for one in sets], header))
    told = {name for _, name in usual.parts} if len(usual.parts) == 1 else set()
    for name in result.all_labelled.supported_measures:
        if name not in told:
            rows.append(_line(measure_words(parts, name), [estimate(one.measures[name]) for one in sets], header))
    constant = f"always {parts.columns[int(result.constant[0])]}" if parts.of_classes else "always the same answer"
    rows.append(_line(f"{constant}, {score}", [number(result.constant_score)], header))
    formula = [f"score: {score_formula(parts, usual)}"] if len(usual.parts) > 1 else []
    return [*table(rows, left=3), *formula]


def _line(name: str, values: list[str], header: list[str]) -> list[str]:
    return [name, *values, *[""] * (len(header) - 1 - len(values))]


def _interval_note(result: Evaluation) -> list[str]:
    if result.recordings < 2:
        return ["no intervals: they need at least two recordings"]
    note = f"[ ]: 95 % interval over {result.recordings} recordings"
    if result.coverage is None:
        return [f"{note}; its coverage is unknown for so few"]
    cases = f"{100 * result.coverage:.0f} of 100"
    like = "whose classes sit in as few recordings as the official ones" if result.parts.of_classes else "of values and units"
    single = measured_class_coverage(result.recordings) if result.parts.of_classes else None
    rarely = [] if single is None else [f"the bracket of a class that one recording carries in as few as {100 * single:.0f}"]
    return [f"{note}; it covered the true value in {cases} simulated sets {like}" + ";" * bool(rarely), *rarely]


def describe_smoothing(result: Evaluation, unsmoothed: Evaluation | None, remedy: str) -> list[str]:
    """What to do where smoothing lowers the usual score by HARMFUL or more, else nothing; `remedy` names the command."""
    if unsmoothed is None:
        return []
    smooth, plain_score = (one.all_labelled.usual_score.value for one in (result, unsmoothed))
    if plain_score - smooth < HARMFUL:
        return []
    return [f"warning: smoothing lowers the score here, {number(plain_score)} without and {number(smooth)} with it: {remedy}"]


def column_tables(parts: Parts) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The tables that columns are told in: what one is, the names of the columns, and what is measured of each."""
    tables: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for own in parts.placed:
        measured = tuple(dict.fromkeys(measure.what for measure in own.part.measures if measure.column))
        tables.setdefault((own.part.noun, measured), []).extend(own.part.columns)
    return [(noun, tuple(names), measured) for (noun, measured), names in tables.items()]


def _columns(result: Evaluation) -> list[str]:
    """A table for each kind of column; what a column is judged by comes last, with its interval and what it hangs on."""
    frames = result.all_labelled
    reports = {report.name: report for report in frames.columns}
    lines = []
    for noun, names, (judged_by, *others) in column_tables(result.parts):
        header = [noun, *map(measured, others), measured(judged_by), "frames", "recordings"]
        rows = [
            [
                name,
                *(number(frames.measures[f"{what}_{name}"].value) for what in others),
                estimate(frames.measures[f"{judged_by}_{name}"]),
                f"{reports[name].frames:,}",
                f"{reports[name].recordings:,}",
            ]
            for name in names
        ]
        judged = [frames.measures[f"{judged_by}_{name}"].value for name in names]
        told = [_hanging(reports[name], value, measured(judged_by)) for name, value in zip(names, judged, strict=True)]
        texts = zip(table([header, *rows]), ["most influential recording", *told], strict=True)
        lines += [*(f"{line}  {text}".rstrip() for line, text in texts), ""]
    return lines


def _hanging(report: ColumnReport, judged: float, what: str) -> str:
    """The recording a column hangs on, where it moves what that is judged by at all."""
    if report.hangs_on is None or abs(judged - report.without) < LEAST_SHOWN:
        return ""
    share = f"{100 * report.largest_share:.0f} % of its frames"
    return f"{shorten(report.hangs_on)}: {share}, {what} {number(report.without)} without"


def _confusions(result: Evaluation) -> list[str]:
    lines = []
    for own in result.parts.placed:
        counts = own.part.confusion(result.all_labelled.sums[own.sums])
        if counts is not None:
            names = own.part.columns
            numbers = [[f"{count:,}" for count in row] for row in counts.astype(np.int64).tolist()]
            rows = [[name, *row] for name, row in zip(names, numbers, strict=True)]
            lines += [*table([["labelled \\ predicted", *names], *rows]), ""]
    return lines


def _influences(result: Evaluation) -> list[str]:
    if result.recordings < 2:
        return []
    parts, usual = result.parts, usual_score(result.challenge)
    values = {name: result.all_labelled.measures[name].value for name in result.influences if name in parts.measures}
    values["score"] = result.all_labelled.usual_score.value
    lines = []
    for name, influences in result.influences.items():
        words = measure_words(parts, name) if name in parts.measures else usual.words
        rows = [
            (
                f"  {shorten(one.recording)}",
                counted(one.frames, "frame"),
                f"{number(one.without)} without",
                f"({one.without - values[name]:+.3f})",
            )
            for one in influences
        ]
        lines += [f"most influential recordings for the {words}:", *table(rows)]
    return lines


def _shifts(result: Evaluation) -> list[str]:
    shifts = result.shifts
    if shifts is None:
        return ["shifted labels are not looked for: the frames of this challenge do not follow one another"]
    scores = "  ".join(
        f"{shift:+d}: {number(score)}" if shift else f"0: {number(score)}" for shift, score in shifts.scores.items()
    )
    lines = [f"{usual_score(result.challenge).words} if labels were shifted by so many frames:  {scores}"]
    gain = number(shifts.scores[shifts.best] - shifts.scores[0])
    if shifts.suspicious:
        lines.append(
            f"warning: predictions fit the labels better by {gain} at a shift of {shifts.best:+d} (p {_equals(shifts.p_value)}): "
            "labels and images may not belong to the same frames"
        )
    elif shifts.delayed:
        lines.append(
            "note: the fit rises up to the last shift: ratings made while a video plays lag behind it, with all images in place"
        )
    elif shifts.best != 0:
        lines.append(
            f"note: a shift of {shifts.best:+d} fits better by {gain}, which may be chance (p {_equals(shifts.p_value)})"
        )
    return lines
