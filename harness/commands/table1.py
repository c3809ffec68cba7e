"""`harness table1`: every system of the paper's Table 1, trained and scored here beside the paper's figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from harness.commands.shared.options import BATCH, data_root_option, say, workers_option
from harness.commands.shared.sections import Verb
from harness.streams import show, show_json

if TYPE_CHECKING:
    from harness.commands.shared.options import DataPlace
    from harness.evaluation.intervals import Estimate
    from harness.recipes.recipe import Recipe
    from harness.studies.table1 import TableRow


@click.command("table1", cls=Verb)
@data_root_option
@click.option("--iterations", type=click.IntRange(min=1), default=None, help="Steps of every row; short for --set iterations=N.")
@click.option("--from-scratch", is_flag=True, help="Start every row from random weights.")
@click.option("--row", "rows", multiple=True, help="Only this row, by its recipe's name; may be repeated. [default: all five]")
@click.option("--paper-reading", is_flag=True, help="Take the recipes as the paper's text reads (ROW-paper).")
@click.option(
    "--set", "changes", multiple=True, metavar="[ROW.]KEY=VALUE", help="Change one key of every recipe, or of one row's."
)
@click.option("--batch", type=BATCH, default=64, show_default=True, help="Images per forward pass when predicting.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@workers_option
def command(
    data: str | None,
    iterations: int | None,
    from_scratch: bool,
    rows: tuple[str, ...],
    paper_reading: bool,
    changes: tuple[str, ...],
    batch: int,
    as_json: bool,
    workers: int | None,
) -> None:
    """Train every system of the paper's Table 1 and print our macro-F1 on the validation split beside the paper's.

    Each row is a run table1-ROW, so what is done is kept and an interrupted table goes on where it stopped. Scores are without
    smoothing, with 95 % intervals over recordings.

    \b
    Examples:
      harness table1 --data /data/aff-wild2 --set res50.weights=ContraWarping_R50.pth --row res50
      harness table1 --iterations 20 --set batch=16 --from-scratch
    """
    from harness import files
    from harness.commands.shared.options import find_data, split_changes, worker_count
    from harness.studies import table1

    place = find_data(data)
    settings = split_changes(changes)
    if iterations is not None:
        settings["iterations"] = str(iterations)
    chosen = table1.load_recipes(rows, paper_reading, settings)
    table1.require_weights(chosen, from_scratch)
    done = _run(chosen, place, from_scratch=from_scratch, batch=batch, workers=worker_count(workers))
    if as_json:
        show_json(files.json_text([row.as_dict() for row in done]))
    else:
        _show(done)
    best = max(done, key=lambda row: row.all_labelled.value)
    others = " ".join(row.run for row in done if row is not best)
    show(
        f"next: harness evaluate {best.run} --split {table1.SPLIT}" + f", or harness compare {best.run} {others}" * bool(others),
        err=as_json,
    )


def _run(recipes: Mapping[str, Recipe], place: DataPlace, *, from_scratch: bool, batch: int, workers: int) -> list[TableRow]:
    """Trains and scores each row in turn; one that is done costs nothing. Ends with the exit code of one that was interrupted."""
    from harness.commands.shared.options import refuse_without_expressions
    from harness.data.scan import scan
    from harness.runs.store import path_of
    from harness.studies import table1

    done: list[TableRow] = []
    for name, recipe in recipes.items():
        say(f"{name}: {len(done) + 1} of {len(recipes)} rows")
        path = path_of(f"{'demo-' if place.embedded else ''}{table1.RUN_PREFIX}{name}")
        root = scan(place.path, crops=recipe.crops)
        refuse_without_expressions(root, "table1")
        try:
            row = table1.run_row(name, recipe, root, path, from_scratch=from_scratch, batch=batch, workers=workers, say=say)
        except table1.InterruptedTrainingError as error:
            raise SystemExit(error.exit_code) from error
        done.append(row)
    return done


def _show(rows: list[TableRow]) -> None:
    from harness.evaluation.describe import table

    header = ["system", "paper", "with a face", "all labelled frames", "steps", "run", "starts from"]
    lines = [
        [
            row.system,
            "-" if row.paper_f1 is None else f"{row.paper_f1:.2f}",
            "-" if row.with_face is None else _percent(row.with_face),
            _percent(row.all_labelled),
            f"{row.steps:,}",
            row.run,
            ", ".join(row.weights) or "random weights",
        ]
        for row in rows
    ]
    for line in table([header, *lines]):
        show(line)
    show("macro-F1 x 100 of 8 classes on the val split, last checkpoint, no smoothing, 95 % interval over recordings.")
    show("The paper's is over frames with a face and of the better of two evaluations on this very split.")


def _percent(score: Estimate) -> str:
    interval = "" if score.low is None or score.high is None else f" [{100 * score.low:.2f}, {100 * score.high:.2f}]"
    return f"{100 * score.value:.2f}{interval}"
