"""`harness runs`: the runs there are, to choose from."""

from __future__ import annotations

import json

import click

from harness.streams import show, show_json


@click.command("runs")
@click.option("--sort", "key", default="score", show_default=True, help="score, best (score while training), steps or name.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the table as CSV, a column for each setting that differs.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(key: str, as_csv: bool, as_json: bool) -> None:
    """List the runs below runs/, a table for each split they were evaluated on, the highest score first.

    Scores are those that `harness evaluate` stored, with 95 % intervals over recordings. Runs of one recipe that differ in their
    seed alone stand together below their mean and standard deviation. What sets a run apart are the settings of its recipe in
    which the runs of its kind differ; best is its best score while training, splits are those that were predicted.

    \b
    Example:
      harness runs
      harness runs --sort name --csv
    """
    from harness.runs.listing import csv_text, listing, sort
    from harness.runs.overview import next_step, overview

    rows = sort(overview(), key)
    if as_json:
        show_json(json.dumps([row.as_dict() for row in rows], indent=2) + "\n")
        return
    if as_csv:
        show(csv_text(rows).rstrip("\n"))
        return
    if not rows:
        show("no runs yet\nnext: harness demo-data, or harness doctor DATA")
        return
    show(f"{listing(rows, key)}\n\nnext: {next_step(rows)}")
