"""`harness diff`: what changed from one submission to another."""

from __future__ import annotations

from pathlib import Path

import click

from harness.streams import show, show_json

EPILOG = """\b
Examples:
  harness diff submissions/res50 submissions/ensemble
  harness diff old/predictions.txt new/predictions.txt --json
"""


@click.command(epilog=EPILOG)
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE; told by the files where it is not given.")
@click.option("--edition", type=int, help="Number of the ABAW competition; told by the files where it is not given.")
@click.option("--shown", type=click.IntRange(1), default=10, show_default=True, help="Pairs, tracks and runs to print.")
@click.option("--json", "json", is_flag=True, help="Print one JSON document instead of text.")
def command(first: Path, second: Path, challenge: str | None, edition: int | None, shown: int, json: bool) -> None:
    """Shows what changed from submission A to B: the share of rows that differ, by track and pair of classes, and in which runs.

    A and B are folders, text files or archives with the same tracks and rows, this program's or others'.
    """
    from harness.files import json_text
    from harness.sending.difference import describe, difference
    from harness.submission.reader import read

    result = difference(read(first, None, challenge, edition), read(second, None, challenge, edition))
    if json:
        show_json(json_text({"schema": 1, "command": "diff", "a": str(first), "b": str(second), **result.as_dict()}))
        return
    show(f"{result.challenge.name}: A = {first}, B = {second}")
    for line in describe(result, shown):
        show(line)
    if result.differing:
        show(f"\nnext: harness inspect {second} {result.tracks[0][0]}")
