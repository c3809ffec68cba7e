"""What the template of a report shows, section by section, as plain values and finished figures."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from harness.challenge import usual_score
from harness.errors import DataError, MismatchError
from harness.evaluation import describe
from harness.evaluation.compare import RunComparison, compare_runs
from harness.evaluation.describe import (
    column_tables,
    difference_words,
    estimate,
    measure_words,
    p_words,
)
from harness.evaluation.evaluate import Evaluation
from harness.evaluation.intervals import Estimate, Interval
from harness.findings import printable
from harness.kinds.parts import parts_of
from harness.recipes.recipe import Recipe
from harness.report import figures, plots
from harness.report.content import RunContent
from harness.report.faces import Faces
from harness.report.legend import Key, Plot, as_svg
from harness.report.palette import INK, RUN_COLOURS, class_colours
from harness.report.pictures import pictures_of
from harness.report.timeline import (
    LEFT,
    RIGHT,
    Timeline,
    column_means,
    columns_of,
    draw,
    floor_of,
    known_means,
    legend_of,
    stretches,
)
from harness.runs.lineage import learned_from
from harness.selection.describe import gain_words
from harness.selection.expectation import outside_choices
from harness.selection.nested import Gain
from harness.words import listed, measured, number

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

    def __call__(self, plot: Plot, title: str) -> dict[str, Any]:
        """The figure, its title and its legend for the template."""
        self._made += 1
        title = printable(title, 200)
        svg = Markup(figures.inline_svg(plot.figure, f"f{self._made}", title))
        return {"title": title, "svg": svg, "legend": legend(plot.legend)}


def legend(keys: Sequence[Key]) -> list[dict[str, Any]]:
    """The marks of a legend, drawn, and their words."""
    return [{"svg": Markup(as_svg(key)), "words": key.words} for key in keys]


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
        score, frames = score_name(run), f"{result.all_labelled.frames:,} frames"
        shown.append(_score_tile(score, result.all_labelled.usual_score, "all labelled frames"))
        if result.with_face is not None and result.with_face.frames != result.all_labelled.frames:
            shown.append(_score_tile(f"{score} with a face", result.with_face.usual_score, f"{result.with_face.frames:,} frames"))
        for name in told_measures(run):
            shown.append(_score_tile(measure_words(run.parts, name), result.all_labelled.measures[name], frames))
        if run.unsmoothed is not None:
            before = run.unsmoothed.all_labelled.usual_score.value
            gain = result.all_labelled.usual_score.value - before
            shown.append({"name": "smoothing", "value": f"{gain:+.3f}", "note": f"{score} {number(before)} without"})
        if result.calibration is not None:
            shown.append(
                {"name": "calibration error", "value": number(result.calibration.error), "note": "0 is as sure as right"}
            )
    shown.append({"name": "no face", "value": f"{100 * missing / max(rows, 1):.1f} %", "note": f"{missing:,} of {rows:,} frames"})
    return shown


def score_name(run: RunContent) -> str:
    """The usual score of the run's challenge in words."""
    return usual_score(run.challenge).words


def score_formula(run: RunContent) -> str:
    """The usual score as the sum it is; "" where it is one measure."""
    score = usual_score(run.challenge)
    return describe.score_formula(run.parts, score) if len(score.parts) > 1 else ""


def capitalised(words: str) -> str:
    """Words at the beginning of a sentence; abbreviations stay as they are."""
    return words[:1].upper() + words[1:]


def nouns_of(run: RunContent) -> str:
    """What the columns of the run's challenge are, in the plural."""
    return run.parts.called


def words_of(run: RunContent, name: str) -> str:
    """A measure in words."""
    return measure_words(run.parts, name)


def track_measures(run: RunContent) -> dict[str, str]:
    """The measures told of each track and their words; none without labels. Of classes macro-F1 is over those a track has."""
    parts = run.parts.placed if run.evaluation is not None else ()
    measures = [measure.name for own in parts for measure in reversed(own.part.pooled)]
    return {name: "F1" if name == "macro_f1" else words_of(run, name) for name in measures}


def most_words(run: RunContent, part: str, what: str) -> str:
    """What heads the column of what most frames of a track are labelled or predicted as."""
    return f"mostly {what}" if len(run.parts.placed) == 1 else f"{part} mostly {what}"


def changes(run: RunContent) -> int | None:
    """How often a class or unit changes in all tracks together; None of values."""
    counts = [track.changes for track in run.tracks if track.changes is not None]
    return sum(counts) if counts else None


def changing(run: RunContent) -> str:
    """What changes: class, unit, or class and unit."""
    return " and ".join(dict.fromkeys(own.part.noun for own in run.parts.placed if own.part.integral))


def told_measures(run: RunContent) -> list[str]:
    """The measures told beside the score: those it is a sum of, or what else all columns score together."""
    terms = [name for _, name in usual_score(run.challenge).parts]
    pooled = [measure.name for own in run.parts.placed for measure in own.part.pooled]
    return terms if len(terms) > 1 else [name for name in pooled if name not in terms]


def _score_tile(name: str, value: Estimate, note: str) -> dict[str, str]:
    return {"name": name, "value": number(value.value), "interval": interval(value), "note": note}


def score_rows(runs: Sequence[RunContent]) -> list[dict[str, Any]]:
    """One row of scores for each run that has labels."""
    return [
        {
            "run": run.name,
            "all": run.evaluation.all_labelled.usual_score,
            "face": None if run.evaluation.with_face is None else run.evaluation.with_face.usual_score,
            "measures": [run.evaluation.all_labelled.measures[name] for name in told_measures(run)],
            "supported": run.evaluation.all_labelled.supported_score,
            "unsmoothed": None if run.unsmoothed is None else run.unsmoothed.all_labelled.usual_score.value,
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
        return f"{note}; the coverage of such intervals is unknown for so few."
    held = f"{100 * result.coverage:.0f} % of them covered the true value"
    like = "with classes as concentrated as the official ones" if result.parts.of_classes else "of values and units"
    return f"{note}; in simulations {like} {held}."


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
            f"judged without each recording's part in that its {score_name(run)} is {expected}."
        )
    if known is not None and known.flattering:
        found.append(f"The labels of this split chose {listed(known.flattering)}, so the scores of {run.name} here flatter.")
    return found


def cautions(run: RunContent) -> list[str]:
    """What stands against taking the run's scores at their word, one sentence each."""
    assert run.evaluation is not None
    found = flattering(run)
    shifts = run.evaluation.shifts
    if shifts is not None and shifts.suspicious:
        gain = shifts.scores[shifts.best] - shifts.scores[0]
        found.append(
            f"The predictions fit the labels better by {number(gain)} when these are shifted by {shifts.best:+d} frames "
            f"(p = {p_words(shifts.p_value)}): labels and images may not belong to the same frames."
        )
    return found


def choice_rows(run: RunContent) -> list[dict[str, str]]:
    """What was chosen on labels and what each choice gains inside and outside, all of it together last.

    Raises DataError for a tuned.json with values of another kind.
    """
    try:
        return _choices(run)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"what tuning stored with the run {run.name!r} has values of another kind",
            remedy=f"`harness tune {run.name}` writes it anew",
        ) from error


def _choices(run: RunContent) -> list[dict[str, str]]:
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
    """Scores of all runs beside one another, as a whole and column by column."""
    scored = [run for run in runs if run.evaluation is not None]
    if not scored:
        return
    if len(scored) > 1:
        rows, score = [(display(run.name), _estimates(run)) for run in scored], score_name(scored[0])
        yield figure(plots.score_intervals(rows, score), f"{score} with 95 % intervals")
    for noun, names, (judged_by, *_) in column_tables(scored[0].parts) if len(scored) <= len(RUN_COLOURS) else ():
        by_column = [
            (
                name,
                [
                    (display(run.name), run.evaluation.all_labelled.measures[f"{judged_by}_{name}"])
                    for run in scored
                    if run.evaluation
                ],
            )
            for name in names
        ]
        words = measured(judged_by)
        yield figure(plots.score_intervals(by_column, words), f"{words} of each {noun} with 95 % intervals")


def _estimates(run: RunContent) -> list[tuple[str, Estimate | None]]:
    assert run.evaluation is not None
    before = None if run.unsmoothed is None else run.unsmoothed.all_labelled.usual_score
    return [("as submitted", run.evaluation.all_labelled.usual_score), ("without smoothing", before)]


# --- classes --------------------------------------------------------------------------------------------------------------


def column_views(result: Evaluation) -> list[dict[str, Any]]:
    """The tables of classes, units and values: what each is judged by, what else is measured, and what it hangs on."""
    frames = result.all_labelled
    reports = {report.name: report for report in frames.columns}
    coloured = result.challenge.class_names
    return [
        {
            "noun": noun,
            "judged_by": measured(judged_by),
            "others": [measured(what) for what in others],
            "low": min(result.parts.measures[f"{judged_by}_{name}"].low for name in names),
            "legend": legend([Key(measured(judged_by), INK, "tick"), Key("its 95 % interval", RUN_COLOURS[0])]),
            "rows": [
                {
                    "name": name,
                    "order": order,
                    "colour": coloured.index(name) if name in coloured else None,
                    "score": frames.measures[f"{judged_by}_{name}"],
                    "others": [frames.measures[f"{what}_{name}"].value for what in others],
                    "report": reports[name],
                }
                for order, name in enumerate(names)
            ],
        }
        for noun, names, (judged_by, *others) in column_tables(result.parts)
    ]


def along(value: float, low: float) -> float:
    """Where a score between `low` and 1 lies along a bar, in per cent."""
    return 100.0 * (value - low) / (1.0 - low)


def confusion_views(result: Evaluation) -> list[dict[str, Any]]:
    """The confusion matrix of each part of classes: counts, shares of each label, and how dark each cell is."""
    return [
        {"names": result.challenge.class_names, "rows": _confusion_rows(result.challenge.class_names, counts)}
        for counts in result.parts.confusions(result.all_labelled.sums).values()
    ]


def _confusion_rows(names: Sequence[str], counts: NDArray) -> list[dict[str, Any]]:
    totals = counts.sum(axis=1)
    rows = []
    for c, name in enumerate(names):
        shares = counts[c] / max(int(totals[c]), 1)
        cells = [
            {"count": int(count), "share": float(share), "heat": math.ceil(HEAT_STEPS * float(share))}
            for count, share in zip(counts[c], shares, strict=True)
        ]
        rows.append({"index": c, "name": name, "total": int(totals[c]), "cells": cells})
    return rows


def influence_views(run: RunContent) -> list[dict[str, Any]]:
    """The recordings that the score and each of its terms hang on most."""
    assert run.evaluation is not None
    frames = run.evaluation.all_labelled
    return [
        {
            "words": measure_words(run.parts, name) if name in frames.measures else score_name(run),
            "value": frames.measures.get(name, frames.usual_score).value,
            "rows": influences,
        }
        for name, influences in run.evaluation.influences.items()
    ]


def constant_words(run: RunContent) -> str:
    """What always giving the same answer would score."""
    assert run.evaluation is not None
    result = run.evaluation
    answer = run.class_names[int(result.constant[0])] if run.parts.of_classes else "the same"
    return f"Always answering {answer} would score {number(result.constant_score)}."


# --- one run's figures ----------------------------------------------------------------------------------------------------


def run_figures(run: RunContent, figure: FigureMaker) -> dict[str, list[dict[str, Any]]]:
    """The figures of one run, by section."""
    result = run.evaluation
    calibrated = [] if result is None or result.calibration is None else [result.calibration]
    return {
        "training": [figure(one, title) for title, one in plots.training_curves(run.curves)],
        "columns": [figure(one, title) for title, one in pictures_of(run)],
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


def timelines(
    run: RunContent, place: int, figure: FigureMaker, tick: Callable[[], Any], faces: Faces | None
) -> list[dict[str, Any]]:
    """The chosen tracks, each drawn and told; `tick` is called after each."""
    made = []
    for order, (track, reason) in enumerate(run.chosen):
        timeline = run.pair.timeline(track)
        title = f"timeline of {printable(track, 100)}, {timeline.rows:,} frames"
        drawn = figure(Plot(draw(timeline, with_legend=False), tuple(legend_of(timeline))), title)
        shown = told(timeline) | {"faces": None if faces is None else faces.place(run.pair.predictions.tracks.get(track))}
        made.append({**drawn, "key": f"{place}-{order}", "track": track, "reason": reason, "told": shown})
        tick()
    return made


def told_faces(faces: Faces | None) -> list[dict[str, list[Any]]]:
    """What the page holds of faces: for each track the frames and their pictures."""
    tracks = [] if faces is None else faces.tracks.values()
    return [{"frames": list(pictures), "pictures": list(pictures.values())} for pictures in tracks]


def told(timeline: Timeline) -> dict[str, Any]:
    """What the page says of a frame: stretches of equal values as [value, length, ...]; probabilities of columns as bytes."""
    starts = columns_of(timeline.rows, MOST_TOLD)
    value: dict[str, Any] = {
        "rows": timeline.rows,
        "rate": timeline.frame_rate,
        "left": LEFT,
        "right": RIGHT,
        "floor": floor_of(timeline),
        "decoded": _run_lengths(timeline.decoded),
        "labels": _run_lengths(timeline.labels),
        "imputed": _run_lengths(timeline.imputed),
        "columns": len(starts),
    }
    if timeline.reals:
        value["values"] = [_told_value(timeline, name, starts) for name in timeline.reals]
    if timeline.units:
        value["units"] = list(timeline.units)
        value["active"] = _run_lengths(_bits(timeline.units, 1))
        value["wrong"] = _run_lengths(timeline.wrong)
    if timeline.unit_labels:
        value["labelledActive"] = _run_lengths(_bits(timeline.unit_labels, 1))
        value["labelledInactive"] = _run_lengths(_bits(timeline.unit_labels, 0))
    if timeline.probabilities is not None:
        levels = np.rint(255 * column_means(timeline.probabilities, starts)).astype(np.uint8)
        value["probabilities"] = base64.b64encode(levels.tobytes()).decode("ascii")
    return value


def _told_value(timeline: Timeline, name: str, starts: NDArray[np.int64]) -> dict[str, Any]:
    """A value's answers and labels of columns as bytes: 0 to 200 for -1 to 1, 255 for none."""
    told: dict[str, Any] = {"name": name, "answers": _value_bytes(known_means(timeline.reals[name], starts))}
    if name in timeline.real_labels:
        told["labels"] = _value_bytes(known_means(timeline.real_labels[name], starts))
    return told


def _value_bytes(means: NDArray[np.float64]) -> str:
    levels = np.where(np.isfinite(means), np.rint(100 * (np.nan_to_num(means) + 1)), 255).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode("ascii")


def _bits(units: Mapping[str, NDArray[np.int8]], wanted: int) -> NDArray[np.int64]:
    """For each row a number whose bits say which units are `wanted`, the first unit's the lowest."""
    places = [(own == wanted).astype(np.int64) << place for place, own in enumerate(units.values())]
    bits: NDArray[np.int64] = np.sum(places, axis=0)
    return bits


def _run_lengths(values: NDArray[Any] | None) -> list[int] | None:
    if values is None:
        return None
    return [number for start, length in stretches(values) for number in (int(values[start]), length)]


# --- comparison -----------------------------------------------------------------------------------------------------------


def comparison(runs: Sequence[RunContent], figure: FigureMaker) -> dict[str, Any] | None:
    """Every run beside the first; None where there is nothing to compare."""
    shown = [(run.scored, run.expectation) for run in runs if run.scored is not None]
    scored = [one if known is None else outside_choices(one, known) for one, known in shown]
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
            "score": other.score,
            "difference": one.difference,
            "interval": difference_words(one.interval),
            "p": other.p_value,
            "p_text": p_words(other.p_value),
            "differing": one.differing,
            "recordings": one.recordings,
            "verdict": other.verdict,
        }


def _difference_figures(result: RunComparison, figure: FigureMaker) -> Iterator[dict[str, Any]]:
    parts = parts_of(result.challenge)
    names = [measured(measure.what) for measure in parts.judged_by]
    alike = len(set(names)) == 1
    score = usual_score(result.challenge).words
    for other in result.others:
        one = other.comparison
        rows = [(score, one.difference, float(one.interval.low), float(one.interval.high))]
        for place, term in enumerate(result.terms):
            if not parts.measures[term].column:
                rows.append((measure_words(parts, term), *_at(one.term_difference, one.term_interval, place)))
        for place, name in enumerate(parts.columns):
            words = name if alike else f"{names[place]} of {name}"
            rows.append((words, *_at(one.column_difference, one.column_interval, place)))
        label = f"difference of {names[0]}" if alike else "difference"
        yield figure(plots.differences(rows, label), f"{display(other.name)} minus {display(result.reference)}")


def _at(difference: NDArray, interval: Interval, place: int) -> tuple[float, float, float]:
    return float(difference[place]), float(interval.low[place]), float(interval.high[place])


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
    rows += [
        ("columns in order" if not run.parts.of_classes else "classes in order", ", ".join(run.parts.columns)),
        ("checkpoint scored", run.pair.predictions.index.checkpoint),
    ]
    return [(name, _plain_text(value)) for name, value in rows if value not in (None, "")]


def commands(runs: Sequence[RunContent]) -> list[str]:
    """What to paste to make this page, and each trained run, again."""
    names = " ".join(shlex.quote(run.name) for run in runs)
    trained = [f"harness reproduce {shlex.quote(run.name)}" for run in runs if run.manifest.get("kind") == "training"]
    return [f"harness report {names} --split {shlex.quote(runs[0].split)}", *trained]


def palette_css(class_names: Sequence[str]) -> str:
    """Rules that give the marks of class 0, 1, ... their colours, and those of units and values one."""
    rules = [f".c{index}{{--class:{colour}}}\n" for index, colour in enumerate(class_colours(class_names))]
    return "".join([*rules, f".plain{{--class:{RUN_COLOURS[0]}}}\n"])
