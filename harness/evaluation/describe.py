"""An evaluation or a comparison as lines of text for a terminal, and any result as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from harness.evaluation.compare import ComparedRun, RunComparison
from harness.evaluation.evaluate import ClassReport, Evaluation, FrameSet
from harness.evaluation.intervals import Estimate, Interval

WIDEST_NAME = 28

# Scores are printed with three digits.
LEAST_SHOWN = 0.0005


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, arrays and tuples as lists, keys as text, numbers that are none as None.

    A field's metadata may say under which name it is stored ("json"), or None to leave it out.
    """
    if is_dataclass(value):
        names = {field.name: field.metadata.get("json", field.name) for field in fields(value)}
        return {stored: plain(getattr(value, name)) for name, stored in names.items() if stored is not None}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_stored(result: Evaluation, unsmoothed: Evaluation | None, settings: dict[str, Any] | None) -> dict[str, Any]:
    """An evaluation as it is stored with a run: all of it, the macro-F1 without smoothing, and the post-processing."""
    without = None if unsmoothed is None else unsmoothed.all_labelled.macro_f1
    return {**plain(result), "macro_f1_without_smoothing": plain(without), "postprocessing": settings}


def number(value: float | None) -> str:
    """Three digits without the leading zero, as the field prints scores; a dash where there is none."""
    if value is None:
        return "-"
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


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


def describe(result: Evaluation, unsmoothed: Evaluation | None = None) -> list[str]:
    """The evaluation, most important first."""
    lines = [*_scores(result, unsmoothed), "", *_interval_note(result), "", *_classes(result), "", *_confusion(result), ""]
    lines += _influences(result)
    if result.calibration is not None:
        lines.append(f"calibration error: {number(result.calibration.error)} (mean gap between confidence and accuracy)")
    return [*lines, *_shifts(result)]


def describe_comparison(result: RunComparison) -> list[str]:
    """Each prediction beside the reference, then class by class, then in words."""
    recordings, judged = result.others[0].comparison.recordings, result.others[0].comparison.supported
    header = ["macro-F1", "", "difference", "95 % interval", "p", "p, √ frames", "recordings that differ"]
    rows = [[result.reference, number(result.macro_f1), *[""] * 5]]
    for other in result.others:
        one = other.comparison
        gain = _difference(one.difference, one.interval)
        differ = f"{one.differing} of {recordings}"
        if judged.all():
            rows.append(
                [other.name, number(other.macro_f1), *gain, p_words(other.p_value), p_words(one.weighted_p_value), differ]
            )
            continue
        rows.append([other.name, number(other.macro_f1), *gain, p_words(one.p_value), "", differ])
        gain = _difference(one.supported_difference, one.supported_interval)
        name = f"  of {judged.sum()} supported classes"
        rows.append([name, "", *gain, p_words(other.p_value), p_words(one.weighted_p_value), ""])
    lines = table([header, *rows])
    for other in result.others:
        lines += ["", *_compared_classes(result, other)]
    corrected = f", corrected for {len(result.others)} comparisons" if len(result.others) > 1 else ""
    lines += ["", f"p: how often swapping the two at random, recording by recording, gives as much{corrected}"]
    lines.append(
        "p, √ frames: the same when a recording counts by the root of its frames: better on recordings, not on pooled frames?"
    )
    lines += result.notes
    return [*lines, *(f"{other.verdict} (p {_equals(other.p_value)})" for other in result.others)]


def _compared_classes(result: RunComparison, other: ComparedRun) -> list[str]:
    one = other.comparison
    rows = [["F1", result.reference, other.name, "difference", "95 % interval", f"p, of {int(one.supported.sum())} classes"]]
    for c, name in enumerate(result.class_names):
        gain = _difference(float(one.class_difference[c]), Interval(one.class_interval.low[c], one.class_interval.high[c]))
        before = float(result.class_f1[c])
        after = before + float(one.class_difference[c])
        rows.append([name, number(before), number(after), *gain, p_words(float(one.class_p_value[c]))])
    return table(rows)


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
    header = ("track", "mostly labelled", "mostly predicted", "rows", "labelled", "with face", "accuracy", "F1")
    rows = [
        (
            track.track,
            track.most_labelled or "-",
            track.most_predicted,
            f"{track.rows:,}",
            f"{track.labelled:,}",
            f"{track.with_face:,}",
            number(track.accuracy),
            number(track.f1),
        )
        for track in result.tracks
    ]
    return table([header, *rows], left=3)


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
    rows = [header, _line(f"macro-F1 of {len(result.class_names)} classes", [estimate(one.macro_f1) for one in sets], header)]
    if unsmoothed is not None:
        plain = [unsmoothed.all_labelled, *([unsmoothed.with_face] if unsmoothed.with_face and len(sets) > 1 else [])]
        rows.append(_line("  without smoothing", [estimate(one.macro_f1) for one in plain], header))
    if len(result.supported) < len(result.class_names):
        name = f"macro-F1 of the {len(result.supported)} supported classes"
        rows.append(_line(name, [estimate(one.supported_macro_f1) for one in sets], header))
    if result.score_name != "macro_f1":
        rows.append(_line(f"score: {result.score_name}", [number(one.score) for one in sets], header))
    rows.append(_line("accuracy", [estimate(one.accuracy) for one in sets], header))
    rows.append(_line(f"always {result.constant}, macro-F1", [number(result.constant_macro_f1)], header))
    return table(rows, left=3)


def _line(name: str, values: list[str], header: list[str]) -> list[str]:
    return [name, *values, *[""] * (len(header) - 1 - len(values))]


def _interval_note(result: Evaluation) -> list[str]:
    if result.recordings < 2:
        return ["no intervals: they need at least two recordings"]
    note = f"[ ]: 95 % interval over {result.recordings} recordings"
    if result.coverage is None:
        return [f"{note}; with so few it was never measured how often that holds the truth"]
    cases = f"{100 * result.coverage:.0f} of 100"
    return [f"{note}; it holds the truth in {cases} simulated sets whose classes sit in as few recordings as the official ones"]


def _classes(result: Evaluation) -> list[str]:
    header = ("class", "precision", "recall", "F1", "frames", "recordings")
    rows = [
        (one.name, number(one.precision), number(one.recall), estimate(one.f1), f"{one.frames:,}", f"{one.recordings:,}")
        for one in result.all_labelled.classes
    ]
    hanging = ["hangs on", *(_hanging(report) for report in result.all_labelled.classes)]
    return [f"{line}  {text}".rstrip() for line, text in zip(table([header, *rows]), hanging, strict=True)]


def _hanging(report: ClassReport) -> str:
    """The recording a class hangs on, where it moves the F1 at all."""
    if report.most_influential is None or abs(report.f1.value - report.f1_without) < LEAST_SHOWN:
        return ""
    share = f"{100 * report.largest_share:.0f} % of its frames"
    return f"{shorten(report.most_influential)}: {share}, F1 {number(report.f1_without)} without"


def _confusion(result: Evaluation) -> list[str]:
    header = ["labelled \\ predicted", *result.class_names]
    counts = result.all_labelled.confusion.tolist()
    rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(result.class_names, counts, strict=True)]
    return table([header, *rows])


def _influences(result: Evaluation) -> list[str]:
    if result.recordings < 2:
        return []
    whole = result.all_labelled.macro_f1.value
    rows = [
        (
            f"  {shorten(one.recording)}",
            f"{one.frames:,} frames",
            f"{number(one.macro_f1_without)} without",
            f"({one.macro_f1_without - whole:+.3f})",
        )
        for one in result.influences
    ]
    return ["recordings the macro-F1 hangs on most:", *table(rows)]


def _shifts(result: Evaluation) -> list[str]:
    shifts = result.shifts
    scores = "  ".join(
        f"{shift:+d}: {number(score)}" if shift else f"0: {number(score)}" for shift, score in shifts.scores.items()
    )
    lines = [f"macro-F1 if labels were shifted by so many frames:  {scores}"]
    gain = number(shifts.scores[shifts.best] - shifts.scores[0])
    if shifts.suspicious:
        lines.append(
            f"warning: predictions fit the labels better by {gain} at a shift of {shifts.best:+d} (p = {shifts.p_value:.3f}): "
            "labels and images may not belong to the same frames"
        )
    elif shifts.best != 0:
        lines.append(f"note: a shift of {shifts.best:+d} fits better by {gain}, which may be chance (p = {shifts.p_value:.2f})")
    return lines
