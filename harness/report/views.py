"""What the template of a report shows, section by section, as plain values and finished figures."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from harness.errors import MismatchError
from harness.evaluation.compare import RunComparison, compare_runs
from harness.evaluation.describe import difference_words, estimate, number, p_words
from harness.evaluation.evaluate import Evaluation
from harness.evaluation.intervals import Estimate
from harness.findings import printable
from harness.recipes.recipe import Recipe
from harness.report import figures, plots
from harness.report.content import RunContent
from harness.report.palette import RUN_COLOURS, class_colours
from harness.report.timeline import LEFT, RIGHT, Timeline, column_means, columns_of, draw, stretches
from harness.runs.lineage import learned_from
from harness.selection.describe import gain_words
from harness.selection.expectation import listed, outside_choices
from harness.selection.nested import Gain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A frame's probabilities are told for so many columns of a track at most; classes and gaps are told for every frame.
MOST_TOLD = 500
LONGEST_LABEL = 34
HEAT_STEPS = 10

# Parts of run.json that are shown elsewhere, or are no settings.
_NOT_SETTINGS = ("where", "versions", "git_commit", "format", "class_names", "prior", "data", "weights", "kind", "challenge")


class FigureMaker:
    """Turns figures into SVG elements whose identifiers differ within one page."""

    def __init__(self) -> None:
        self._made = 0

    def __call__(self, figure: Figure, title: str) -> dict[str, Any]:
        """The figure and its title for the template."""
        self._made += 1
        title = printable(title, 200)
        return {"title": title, "svg": Markup(figures.inline_svg(figure, f"f{self._made}", title))}


def display(name: str) -> str:
    """A name as it can stand in a plot: printable and not too long."""
    return printable(name, LONGEST_LABEL)


def interval(value: Estimate) -> str:
    """`[.351, .470]`, or nothing where recordings give no measure of spread."""
    return "" if value.low is None else f"[{number(value.low)}, {number(value.high)}]"


# --- scores ---------------------------------------------------------------------------------------------------------------


def tiles(run: RunContent) -> list[dict[str, str]]:
    """The figures of a run that matter most: a name, a number, and a word on it."""
    result = run.evaluation
    rows, missing = sum(track.rows for track in run.tracks), sum(track.missing for track in run.tracks)
    shown = []
    if result is not None:
        shown.append(_score_tile("macro-F1", result.all_labelled.macro_f1, "all labelled frames"))
        if result.with_face is not None and result.with_face.frames != result.all_labelled.frames:
            shown.append(_score_tile("macro-F1 with a face", result.with_face.macro_f1, f"{result.with_face.frames:,} frames"))
        shown.append(_score_tile("accuracy", result.all_labelled.accuracy, f"{result.all_labelled.frames:,} frames"))
        if run.unsmoothed is not None:
            before = run.unsmoothed.all_labelled.macro_f1.value
            gain = result.all_labelled.macro_f1.value - before
            shown.append({"name": "smoothing", "value": f"{gain:+.3f}", "note": f"macro-F1 {number(before)} without"})
        if result.calibration is not None:
            shown.append(
                {"name": "calibration error", "value": number(result.calibration.error), "note": "0 is as sure as right"}
            )
    shown.append({"name": "no face", "value": f"{100 * missing / max(rows, 1):.1f} %", "note": f"{missing:,} of {rows:,} frames"})
    return shown


def _score_tile(name: str, value: Estimate, note: str) -> dict[str, str]:
    return {"name": name, "value": number(value.value), "interval": interval(value), "note": note}


def score_rows(runs: Sequence[RunContent]) -> list[dict[str, Any]]:
    """One row of scores for each run that has labels."""
    return [
        {
            "run": run.name,
            "all": run.evaluation.all_labelled.macro_f1,
            "face": None if run.evaluation.with_face is None else run.evaluation.with_face.macro_f1,
            "accuracy": run.evaluation.all_labelled.accuracy,
            "supported": run.evaluation.all_labelled.supported_macro_f1,
            "unsmoothed": None if run.unsmoothed is None else run.unsmoothed.all_labelled.macro_f1.value,
            "calibration": None if run.evaluation.calibration is None else run.evaluation.calibration.error,
        }
        for run in runs
        if run.evaluation is not None
    ]


def interval_note(result: Evaluation) -> str:
    """What the brackets mean, and how far they can be trusted."""
    if result.recordings < 2:
        return "There are no intervals: they need at least two labelled recordings."
    note = f"Brackets are 95 % intervals over {result.recordings} recordings, both persons of one recording together"
    if result.coverage is None:
        return f"{note}; so few recordings that nobody measured how often such an interval holds the truth."
    held = f"{100 * result.coverage:.0f} % of them held the truth"
    return f"{note}; in simulations with classes as concentrated as the official ones {held}."


def flattering(run: RunContent) -> list[str]:
    """Why the run's scores on this split are higher than they would be elsewhere, one sentence for each reason."""
    data = run.manifest.get("data")
    data = data if isinstance(data, Mapping) else {}
    trained_on = run.split in data.get("splits", ())
    found = []
    if trained_on and "fold" not in data:
        found.append(f"{run.name} was trained on this split, so its scores here say nothing about other recordings.")
    elif trained_on:
        found.append(f"{run.name} was trained on most recordings of this split, all but one fold, so its scores here flatter.")
    learners = [name for name in learned_from(run.run, run.split) if name != run.name]
    if learners:
        found.append(f"{listed(learners)} of {run.name} learned from this split, so its scores here say nothing about others.")
    known = run.expectation
    if known is not None and known.without:
        expected = estimate(known.score())
        found.append(
            f"The labels of this split chose {listed(known.without)}, so the scores of {run.name} here flatter: "
            f"judged without each recording's part in that its macro-F1 is {expected}."
        )
    if known is not None and known.flattering:
        found.append(f"The labels of this split chose {listed(known.flattering)}, so the scores of {run.name} here flatter.")
    return found


def cautions(run: RunContent) -> list[str]:
    """What stands against taking the run's scores at their word, one sentence each."""
    assert run.evaluation is not None
    found = flattering(run)
    shifts = run.evaluation.shifts
    if shifts.suspicious:
        gain = shifts.scores[shifts.best] - shifts.scores[0]
        found.append(
            f"The predictions fit the labels better by {number(gain)} when these are shifted by {shifts.best:+d} frames "
            f"(p = {p_words(shifts.p_value)}): labels and images may not belong to the same frames."
        )
    return found


def choice_rows(run: RunContent) -> list[dict[str, str]]:
    """What was chosen on labels and what each choice gains inside and outside, all of it together last."""
    rows = [_choice(stage, stage["chosen"] if stage["kept"] else "left as it was") for stage in run.tuned.get("stages", ())]
    rows += [_choice(step, "fitted" if step["taken"] else "left out") for step in run.tuned.get("steps", ())]
    return [*rows, _choice({**run.tuned, "name": "all of it"}, "")] if "outside" in run.tuned else rows


def _choice(gains: Mapping[str, Any], chosen: str) -> dict[str, str]:
    outside = Gain(**gains["outside"])
    return {
        "name": gains["name"],
        "chosen": chosen,
        "inside": f"{gains['inside']:+.3f}",
        "outside": gain_words(outside),
        "sure": f"{100 * outside.probability:.0f} %",
    }


def overview_figures(runs: Sequence[RunContent], figure: FigureMaker) -> Iterator[dict[str, Any]]:
    """Scores of all runs beside one another, as a whole and class by class."""
    scored = [run for run in runs if run.evaluation is not None]
    if not scored:
        return
    if len(scored) > 1:
        rows = [(display(run.name), _estimates(run)) for run in scored]
        yield figure(plots.score_intervals(rows, "macro-F1"), "macro-F1 with 95 % intervals")
    if len(scored) <= len(RUN_COLOURS):
        by_class = [
            (name, [(display(run.name), run.evaluation.all_labelled.classes[c].f1) for run in scored if run.evaluation])
            for c, name in enumerate(scored[0].class_names)
        ]
        yield figure(plots.score_intervals(by_class, "F1"), "F1 of each class with 95 % intervals")


def _estimates(run: RunContent) -> list[tuple[str, Estimate | None]]:
    assert run.evaluation is not None
    before = None if run.unsmoothed is None else run.unsmoothed.all_labelled.macro_f1
    return [("as submitted", run.evaluation.all_labelled.macro_f1), ("without smoothing", before)]


# --- classes --------------------------------------------------------------------------------------------------------------


def class_rows(result: Evaluation) -> list[dict[str, Any]]:
    """The per-class table."""
    classes = result.all_labelled.classes
    return [{"index": c, "report": report, "interval": interval(report.f1)} for c, report in enumerate(classes)]


def confusion_rows(result: Evaluation) -> list[dict[str, Any]]:
    """The confusion matrix: counts, shares of each label, and how dark each cell is."""
    counts = result.all_labelled.confusion
    totals = counts.sum(axis=1)
    rows = []
    for c, name in enumerate(result.class_names):
        shares = counts[c] / max(int(totals[c]), 1)
        cells = [
            {"count": int(count), "share": float(share), "heat": math.ceil(HEAT_STEPS * float(share))}
            for count, share in zip(counts[c], shares, strict=True)
        ]
        rows.append({"index": c, "name": name, "total": int(totals[c]), "cells": cells})
    return rows


# --- one run's figures ----------------------------------------------------------------------------------------------------


def run_figures(run: RunContent, figure: FigureMaker) -> dict[str, list[dict[str, Any]]]:
    """The figures of one run, by section."""
    result = run.evaluation
    calibrated = [] if result is None or result.calibration is None else [result.calibration]
    return {
        "training": [figure(one, title) for title, one in plots.training_curves(run.curves)],
        "calibration": [figure(plots.reliability(one), "reliability diagram") for one in calibrated],
        "gaps": [figure(plots.gap_lengths([gap.length for gap in run.gaps]), "lengths of gaps")] if run.gaps else [],
        "members": [figure(plots.weights(weights), "weights")] if (weights := _weights(run)) else [],
    }


def _weights(run: RunContent) -> list[tuple[str, float]]:
    return [(display(str(member["run"])), float(member["weight"])) for member in members(run)]


def members(run: RunContent) -> list[Mapping[str, Any]]:
    """The runs an ensemble is made of, with their weights; nothing for other runs."""
    return list(run.manifest.get("members", [])) if run.manifest.get("kind") == "ensemble" else []


# --- timelines ------------------------------------------------------------------------------------------------------------


def timelines(run: RunContent, place: int, figure: FigureMaker, tick: Callable[[], Any]) -> list[dict[str, Any]]:
    """The chosen tracks, each drawn and told; `tick` is called after each."""
    made = []
    for order, (track, reason) in enumerate(run.chosen):
        timeline = run.pair.timeline(track)
        title = f"timeline of {printable(track, 100)}, {timeline.rows:,} frames"
        drawn = figure(draw(timeline), title)
        made.append({"key": f"{place}-{order}", "track": track, "reason": reason, "svg": drawn["svg"], "told": told(timeline)})
        tick()
    return made


def told(timeline: Timeline) -> dict[str, Any]:
    """What the page says of a frame: stretches of equal values as [value, length, ...]; probabilities of columns as bytes."""
    starts = columns_of(timeline.rows, MOST_TOLD)
    value: dict[str, Any] = {
        "rows": timeline.rows,
        "rate": timeline.frame_rate,
        "left": LEFT,
        "right": RIGHT,
        "decoded": _run_lengths(timeline.decoded),
        "labels": _run_lengths(timeline.labels),
        "imputed": _run_lengths(timeline.imputed),
        "columns": len(starts),
    }
    if timeline.probabilities is not None:
        levels = np.rint(255 * column_means(timeline.probabilities, starts)).astype(np.uint8)
        value["probabilities"] = base64.b64encode(levels.tobytes()).decode("ascii")
    return value


def _run_lengths(values: NDArray[Any] | None) -> list[int] | None:
    if values is None:
        return None
    return [number for start, length in stretches(values) for number in (int(values[start]), length)]


# --- comparison -----------------------------------------------------------------------------------------------------------


def comparison(runs: Sequence[RunContent], figure: FigureMaker) -> dict[str, Any] | None:
    """Every run beside the first; None where there is nothing to compare."""
    scored = [outside_choices(run.scored, run.expectation) for run in runs if run.scored and run.expectation]
    if len(scored) < 2:
        return None
    try:
        result = compare_runs(scored[0], scored[1:])
    except MismatchError as error:
        return {"refused": str(error), "reference": scored[0].name, "rows": [], "figures": []}
    return {
        "refused": None,
        "cautions": [caution for run in runs for caution in flattering(run)],
        "reference": result.reference,
        "rows": list(_compared_rows(result)),
        "figures": list(_difference_figures(result, figure)),
    }


def _compared_rows(result: RunComparison) -> Iterator[dict[str, Any]]:
    for other in result.others:
        one = other.comparison
        yield {
            "run": other.name,
            "f1": other.macro_f1,
            "difference": one.difference,
            "interval": difference_words(one.interval),
            "p": other.p_value,
            "p_text": p_words(other.p_value),
            "differing": one.differing,
            "recordings": one.recordings,
            "verdict": other.verdict,
        }


def _difference_figures(result: RunComparison, figure: FigureMaker) -> Iterator[dict[str, Any]]:
    for other in result.others:
        one = other.comparison
        values = zip(one.class_difference, one.class_interval.low, one.class_interval.high, strict=True)
        rows = [("macro-F1", one.difference, float(one.interval.low), float(one.interval.high))]
        for name, (value, low, high) in zip(result.class_names, values, strict=True):
            rows.append((name, float(value), float(low), float(high)))
        yield figure(plots.differences(rows), f"{display(other.name)} minus {display(result.reference)}")


# --- settings and provenance ----------------------------------------------------------------------------------------------


def setting_rows(runs: Sequence[RunContent]) -> list[dict[str, Any]]:
    """Every setting of every run, what it means, and whether the runs differ in it."""
    meanings = {field.name: str(field.metadata.get("meaning", "")) for field in fields(Recipe)}
    columns = [dict(_settings(run)) for run in runs]
    rows = []
    for key in dict.fromkeys(key for column in columns for key in column):
        values = [column.get(key, "–") for column in columns]
        different = {column[key] for column in columns if key in column}
        meaning = meanings.get(key.removeprefix("recipe."), "") if key.startswith("recipe.") else ""
        name = key.removeprefix("recipe.")
        rows.append({"key": name, "values": values, "meaning": meaning, "differs": len(different) > 1})
    return rows


def _settings(run: RunContent) -> Iterator[tuple[str, str]]:
    for key, value in run.manifest.items():
        if key in _NOT_SETTINGS or key == "members":
            continue
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", _plain_text(one)) for name, one in value.items())
        else:
            yield key, _plain_text(value)
    for name, one in run.settings.as_dict().items():
        yield f"post-processing: {name}", _plain_text(one)


def _plain_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def origin_rows(run: RunContent) -> list[tuple[str, str]]:
    """Where a run is from, as far as it does not depend on the machine."""
    manifest = run.manifest
    data = manifest.get("data")
    rows = [("kind", manifest.get("kind")), ("challenge", manifest.get("challenge")), ("seed", manifest.get("seed"))]
    rows += [(f"data: {key}", value) for key, value in data.items()] if isinstance(data, Mapping) else []
    weights = manifest.get("weights")
    rows += [(f"weights: {key}", value) for key, value in weights.items()] if isinstance(weights, Mapping) else []
    rows += [("code: commit", manifest.get("git_commit"))]
    versions = manifest.get("versions")
    rows += (
        [("versions", ", ".join(f"{key} {value}" for key, value in versions.items()))] if isinstance(versions, Mapping) else []
    )
    rows += [("classes in order", ", ".join(run.class_names)), ("checkpoint scored", run.pair.predictions.index.checkpoint)]
    return [(name, _plain_text(value)) for name, value in rows if value not in (None, "")]


def commands(runs: Sequence[RunContent]) -> list[str]:
    """What to paste to make this page, and each trained run, again."""
    names = " ".join(shlex.quote(run.name) for run in runs)
    trained = [f"harness reproduce {shlex.quote(run.name)}" for run in runs if run.manifest.get("kind") == "training"]
    return [f"harness report {names} --split {shlex.quote(runs[0].split)}", *trained]


def palette_css(class_names: Sequence[str]) -> str:
    """Rules that give the marks of class 0, 1, ... their colours."""
    return "".join(f".c{index}{{--class:{colour}}}\n" for index, colour in enumerate(class_colours(class_names)))
