"""`harness validate`: checks submissions, every fault with file, line and remedy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from harness.commands.shared import completion
from harness.errors import EXIT_DONE, EXIT_FINDINGS, UsageError
from harness.streams import show, show_json
from harness.words import counted

EPILOG = """\b
Examples:
  harness validate submissions/
  harness validate predictions.txt --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt
  harness validate attempt_3.zip --rows rows.csv --strict --json
  harness validate predictions.txt --sample sample.txt --fix repaired/predictions.txt
"""


def _list_codes(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from harness.findings import catalogue_text
        from harness.submission.catalogue import KINDS

        show(catalogue_text(KINDS))
        context.exit()


_PATH = click.Path(path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("paths", nargs=-1, type=_PATH, shell_complete=completion.submissions, metavar="PATH...")
@click.option("--sample", type=_PATH, help="The official sample file: rows, order and header. Or a list of tracks.")
@click.option("--data", type=_PATH, help="A data root, for the rows of its split.")
@click.option("--split", help="The split of --data that was answered. [default: the one the record names, or test]")
@click.option("--rows", type=_PATH, help="A CSV file with the columns track and rows.")
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE. [default: read from the files]")
@click.option("--edition", type=int, help="Number of the ABAW competition. [default: read from the files]")
@click.option("--strict", is_flag=True, help="End with exit code 1 for warnings, too.")
@click.option("--json", "json", is_flag=True, help="Print one JSON document instead of text.")
@click.option(
    "--shown", type=click.IntRange(1, 100), default=3, show_default=True, help="How many places to print for each code."
)
@click.option("--fix", type=_PATH, metavar="OUT", help="Write a copy with what can safely be repaired; OUT must be new.")
@click.option(
    "--list-codes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_codes,
    help="List all codes with their meaning.",
)
def command(paths: tuple[Path, ...], strict: bool, json: bool, shown: int, fix: Path | None, **options: Any) -> None:
    """Check submissions: each PATH is a folder, a text file or an archive, or a folder of submissions.

    A folder with submission.json, a track's text file or *predictions*.txt is a submission; of any other folder each child that
    is one is checked. What is checked against is the first given of --sample, --data and --rows, else the submission's own
    record. Nothing is written but with --fix, which repairs only what has one safe repair and checks the copy.
    """
    from harness.api import validate
    from harness.files import json_text
    from harness.submission import verdicts

    if not paths:
        raise UsageError(
            "nothing to validate", expected="a folder, a text file or an archive", remedy="harness validate submissions/"
        )
    done: tuple[str, ...] = ()
    if fix is not None:
        paths, done = _fix(paths, fix, options)
    checked = validate(*paths, **options)
    if json:
        show_json(json_text({**verdicts.as_json(checked, strict), "repairs": list(done)}))
    else:
        for sentence in done:
            show(f"fix: {sentence}")
        colour = False if os.environ.get("NO_COLOR") else None
        for verdict in checked:
            show(verdicts.as_text(verdict, shown) + "\n", styled=True, color=colour)
        show(verdicts.next_step(checked, strict))
    valid = all(verdicts.is_valid(verdict.findings, strict) for verdict in checked)
    raise SystemExit(EXIT_DONE if valid else EXIT_FINDINGS)


def _fix(paths: tuple[Path, ...], out: Path, options: dict[str, Any]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Writes a repaired copy of the one submission; returns where the copy is, and what was done."""
    from harness.submission import verdicts
    from harness.submission.repair import repair

    submissions = [submission for path in paths for submission in verdicts.submissions_at(path)]
    if len(submissions) != 1:
        raise UsageError("--fix repairs one submission at a time", found=counted(len(submissions), "submission"))
    reference = verdicts.Reference(options["sample"], options["data"], options["split"], options["rows"])
    repaired = repair(submissions[0], out, reference.of(submissions[0]), options["challenge"], options["edition"])
    return (repaired.path,), (*repaired.done, f"written to {repaired.path}")
