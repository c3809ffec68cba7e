"""`harness runs`: the runs there are, to choose from."""

from __future__ import annotations

import json

import click

from harness.streams import show, show_json


@click.command("runs")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(as_json: bool) -> None:
    """List the runs below runs/, the highest score first: kind, score with its 95 % interval, steps, predicted splits.

    Scores are those that `harness evaluate` stored, of ensembles and imported files as well; the last columns say what a run is
    made of and in which settings of the recipe the runs of its kind differ.

    \b
    Example:
      harness runs
    """
    from harness.runs.overview import overview, table

    rows = overview()
    if as_json:
        show_json(json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
        return
    if not rows:
        show("no runs yet\nnext: harness train --recipe res50 --data DIR, or make demo")
        return
    show(table(rows))
    open_ones = [row.name for row in rows if row.score is None and "val" in row.splits]
    scored = [row.name for row in rows if row.score is not None]
    if open_ones or len(scored) < 2:
        show(f"next: harness evaluate {(open_ones or [rows[0].name])[0]} --split val")
    else:
        show(f"next: harness compare {scored[1]} {scored[0]}")
