"""`harness runs`: the runs there are, to choose from."""

from __future__ import annotations

import json

import click


@click.command("runs")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(as_json: bool) -> None:
    """List the runs below runs/: kind, what they were trained on, steps, validation score, predicted splits.

    \b
    Example:
      harness runs
    """
    from harness.runs.overview import overview, table

    rows = overview()
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=2))
        return
    if not rows:
        click.echo("no runs yet\nnext: harness train --recipe res50 --data DIR, or make demo")
        return
    click.echo(table(rows))
    click.echo(f"next: harness evaluate {rows[-1].name} --split val")
