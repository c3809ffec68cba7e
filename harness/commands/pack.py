"""`harness pack`: the archive to send, with ledger and data statement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.shared import completion
from harness.errors import EXIT_FINDINGS
from harness.streams import show, tell

if TYPE_CHECKING:
    from harness.submission.checks import Verdict

EPILOG = """\b
Examples:
  harness pack submissions/res50
  harness pack submissions/res50 --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt --out team_attempt_1.zip
  harness pack predictions.txt --layout folder --declare "ms1m-ir50.pth: research use, MS-Celeb-1M"
"""

_PATH = click.Path(path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("submission", type=_PATH, shell_complete=completion.submissions)
@click.option("--out", type=_PATH, help="The zip file to write. [default: beside the submission, with its name]")
@click.option(
    "--layout",
    type=click.Choice(["root", "folder"]),
    help="Where the files lie in the archive. [default: the edition's; inferred]",
)
@click.option("--sample", type=_PATH, help="The official sample file: rows, order and header.")
@click.option("--rows", type=_PATH, help="A CSV file with the columns track and rows.")
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE. [default: read from the files]")
@click.option("--edition", type=int, help="Number of the ABAW competition. [default: read from the files]")
@click.option("--data", help="Data root whose validation labels give the expected score. [default: the run's]")
@click.option("--declare", multiple=True, metavar="TEXT", help="A sentence for the data statement; may be repeated.")
@click.option(
    "--edited", is_flag=True, help="Pack files that were changed by hand, as an answer of its own: no score is expected."
)
@click.option("--ledger", type=_PATH, help="The list of what was packed. [default: ledger.csv in the folder submissions]")
def command(submission: Path, out: Path | None, ledger: Path | None, **options: Any) -> None:
    """Pack SUBMISSION for sending, as a zip file whose bytes depend on the answer alone.

    It is validated first, and what was validated is packed; the attempt is noted in the ledger, and a data statement is written
    beside the archive. Refused are submissions with an error, files that were changed after a run wrote them (--edited packs
    them without the run's score), answers to a labelled split, and everything made on the embedded data set.
    """
    from harness import files
    from harness.commands.shared.submitting import root_of
    from harness.sending import pack
    from harness.submission.checks import check
    from harness.submission.verdicts import Reference

    target, ledger = pack.archive_path(submission, out), ledger or pack.default_ledger(submission)
    for path in (target, ledger):
        files.refuse_unwritable(path)
    reference = Reference(options["sample"], None, None, options["rows"])
    verdict = check(submission, reference.of(submission), options["challenge"], options["edition"], keep=True)
    pack.refuse_unsendable(verdict)
    _refuse_errors(verdict)
    packed = pack.pack(
        verdict,
        target,
        ledger,
        lambda run: root_of(run, options["data"]),
        options["layout"],
        options["declare"],
        options["edited"],
    )
    for line in pack.describe(packed):
        show(line)


def _refuse_errors(verdict: Verdict) -> None:
    """Prints the verdict; ends with exit code 1 if the submission has an error."""
    from harness.submission.verdicts import as_text

    show(as_text(verdict, 3), styled=True, err=verdict.findings.has_errors)
    if verdict.findings.has_errors or verdict.form is None:
        tell("not packed: correct the errors above first")
        raise SystemExit(EXIT_FINDINGS)
