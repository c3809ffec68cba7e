"""`harness compare`: is one run or submission better than another, or could chance explain it? What changed between two texts?"""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from harness.commands.shared import completion
from harness.commands.shared.options import data_option, postprocessing_options
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show, show_json


@click.command("compare", cls=Verb)
@click.argument("reference", metavar="A", shell_complete=completion.runs_and_submissions)
@click.argument("others", metavar="B...", shell_complete=completion.runs_and_submissions, nargs=-1, required=True)
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE. [default: that of the runs or texts]")
@click.option("--split", default="val", show_default=True, help="Split whose labels are used.")
@data_option
@click.option("--changes", is_flag=True, help="Show what changed between two texts. [default: where no labels fit them]")
@postprocessing_options
@click.option("--each", is_flag=True, help="Compare each run by itself, also those that are seeds of one recipe.")
@click.option(
    "--seed", type=click.IntRange(min=0), cls=RareOption, default=0, show_default=True, help="Seed of the random swaps."
)
@click.option(
    "--edition", type=int, cls=RareOption, help="Of texts: number of the ABAW competition. [default: read from the files]"
)
@click.option(
    "--shown",
    type=click.IntRange(1),
    cls=RareOption,
    default=10,
    show_default=True,
    help="With --changes: pairs, tracks and runs of rows to print.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def command(
    context: click.Context,
    /,
    reference: str,
    others: tuple[str, ...],
    challenge: str | None,
    split: str,
    data: str | None,
    changes: bool,
    seed: int,
    each: bool,
    edition: int | None,
    shown: int,
    as_json: bool,
    **postprocessing: Any,
) -> None:
    """Compare runs, submissions or text files with the first one, A, on the labels of a split.

    A and each B are swapped at random, recording by recording; the p-value says how often that makes a difference of the score
    as large as the real one. It is corrected for the number of comparisons. Better is what both the test and the interval of the
    difference say. What was tuned or fitted by these labels is judged on recordings that had no part in it.

    Runs that are seeds of one recipe are one thing beside another recipe: their mean, with an interval over seeds and recordings.

    Of two texts that answer no labelled split, and with --changes, it shows what changed from A to B: the share of rows that
    differ, by track and pair of classes, and in which runs of rows. They are folders, text files or archives with the same rows,
    written by this program or by others.

    \b
    Examples:
      harness compare res50-a res50-b --split val
      harness compare res50-seed-0 res50-seed-1 apvit-seed-0 apvit-seed-1
      harness compare submissions/res50-a submissions/ensemble
    """
    from harness import files
    from harness.commands.shared.alarms import alarms_of
    from harness.commands.shared.changes import are_texts, labels_fit, show_changes
    from harness.commands.shared.scoring import find_scored
    from harness.evaluation.compare import by_recipe, compare_runs
    from harness.evaluation.describe import describe_comparison
    from harness.evaluation.stored import comparison_as_stored
    from harness.selection.expectation import expect, outside_choices

    names = (reference, *others)
    unasked = context.get_parameter_source("split") is ParameterSource.DEFAULT
    if changes or (len(names) == 2 and unasked and are_texts(names) and not labels_fit(names, split, data, challenge)):
        show_changes(names, challenge, edition, shown, as_json)
        return
    found = [find_scored(name, split, data, edition, postprocessing, challenge=challenge) for name in names]
    scored = [outside_choices(one.scored, expect(one.scored, split)) for one in found]
    alarms = alarms_of(found, split)
    first, *rest = scored if each else by_recipe(scored)
    result = compare_runs(first, rest, seed)
    if as_json:
        show_json(files.json_text({**comparison_as_stored(result), **({"alarms": alarms} if alarms else {})}))
        return
    show("\n".join([*(f"ALARM: {line}" for line in alarms), *describe_comparison(result)]))
    if all(one.run is not None for one in scored):
        show(f"next: harness ensemble {' '.join((reference, *others))}")
