"""`harness evaluate`: the score of a run, a submission or one official text file, with intervals."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, postprocessing_options
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show, show_json

if TYPE_CHECKING:
    from harness.runs.store import Run


@click.command("evaluate", cls=Verb)
@click.argument("name", metavar="RUN_OR_PATH", shell_complete=completion.runs_and_submissions)
@click.option("--split", default="val", show_default=True, help="Split whose labels are used.")
@data_option
@click.option("--labels", type=click.Path(), default=None, help="Folder of label files to use instead of the split's own.")
@postprocessing_options
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE. [default: that of the run or text]")
@click.option(
    "--edition",
    cls=RareOption,
    type=int,
    default=None,
    help="Edition whose score is computed. [default: the text's, else the usual]",
)
@click.option("--tracks", is_flag=True, help="Print a line for each track too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(
    name: str,
    split: str,
    data: str | None,
    labels: str | None,
    challenge: str | None,
    edition: int | None,
    tracks: bool,
    as_json: bool,
    **postprocessing: Any,
) -> None:
    """Score a run, a submission folder or one official text file against labels.

    Prints the challenge's score over all labelled frames and over those with a face, each class, action unit and value, 95 %
    intervals over recordings, the most influential recordings, the confusion matrix and the calibration error of classes, and the
    score at shifted labels.

    \b
    Examples:
      harness evaluate demo-res50 --split val
      harness evaluate submissions/res50-val --split val
      harness evaluate predictions.txt --split val --data DATA --challenge VA --json
    """
    from harness import files
    from harness.commands.shared.alarms import alarms_of, drift_of
    from harness.commands.shared.scoring import find_scored
    from harness.evaluation.describe import describe, describe_smoothing, track_table
    from harness.evaluation.evaluate import evaluate
    from harness.evaluation.stored import as_stored
    from harness.runs.scores import refuse_written_anew
    from harness.runs.store import adding
    from harness.selection.describe import describe_expectation, describe_on_test
    from harness.selection.expectation import expect
    from harness.words import counted

    found = find_scored(name, split, data, edition, postprocessing, labels, challenge)
    scored = found.scored
    result = evaluate(scored.tracks, scored.challenge, scored.score, scored.unsmoothed)
    unsmoothed = None if scored.unsmoothed is None else evaluate(scored.unsmoothed, scored.challenge, scored.score)
    expectation = expect(scored, split)
    content = {**as_stored(result, unsmoothed, scored.settings), "expectation": expectation.as_dict(scored.score)}
    if alarms := alarms_of([found], split):
        content["alarms"] = alarms
    place = None if scored.run is None else scored.run.path / "evaluation" / f"{split}.json"
    if scored.run is not None and place is not None and found.by_hand is None:
        with adding(scored.run):
            refuse_written_anew(scored.run, split, scored.scores)
            files.write_json(place, {**content, "scores": scored.scores})
    if as_json:
        show_json(files.json_text(content))
        return
    head = f"{name}, split {split}: {counted(len(result.tracks), 'track')} of {counted(result.recordings, 'labelled recording')}"
    lines = [*(f"ALARM: {line}" for line in alarms), head, ""]
    lines += [*describe(result, unsmoothed), *describe_expectation(expectation, scored.score)]
    lines += [*describe_on_test(expectation, scored.score), *drift_of(scored.run, found.root, split)]
    lines += describe_smoothing(result, unsmoothed, _without_smoothing(name, split, scored.run))
    if tracks:
        lines += ["", *track_table(result)]
    show("\n".join(lines))
    if place is not None:
        show(f"stored: {place}" if found.by_hand is None else f"not stored: {found.by_hand}")
    # Nothing else takes labels from elsewhere.
    show(f"next: {_next(name, split, data, scored.run) if labels is None else 'harness runs'}")


def _without_smoothing(name: str, split: str, run: Run | None) -> str:
    """What to do about smoothing that lowers a score: have it chosen where labels of the split may choose, or leave it out."""
    from harness.runs.lineage import learned_from

    if run is None or split == "test" or learned_from(run, split):
        return "--smooth 0 turns it off"
    return f"`harness tune {shlex.quote(name)} --split {split}` chooses it, --smooth 0 turns it off"


def _next(name: str, split: str, data: str | None, run: Run | None) -> str:
    """What to do after an evaluation: look at the page, and tune a run where its labels may be chosen by; compare a text."""
    from harness.commands.shared.next_steps import data_option as data_option_of
    from harness.runs.lineage import learned_from

    named_data = data_option_of(data)
    options = ("" if split == "val" else f" --split {split}") + named_data
    if run is None:
        return f"harness compare {shlex.quote(name)} ANOTHER --split {split}{named_data}"
    report = f"harness report {shlex.quote(name)}{options}"
    if split == "test" or learned_from(run, split):
        return report
    return f"{report}, or harness tune {shlex.quote(name)}{options}"
