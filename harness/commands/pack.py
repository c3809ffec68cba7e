"""`harness pack`: the archive to send, with ledger and data statement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import EXIT_FINDINGS
from harness.streams import tell

if TYPE_CHECKING:
    from harness.submission.checks import Verdict

LEDGER = Path("submissions/ledger.csv")
EPILOG = """\b
Examples:
  harness pack submissions/res50
  harness pack submissions/res50 --sample CVPR_5th_ABAW_EXPR_test_set_sample.txt --out team_attempt_1.zip
  harness pack predictions.txt --layout folder --declare "ms1m-ir50.pth: research use, MS-Celeb-1M"
"""

_PATH = click.Path(path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("submission", type=_PATH)
@click.option("--out", type=_PATH, help="The zip file to write. [default: beside the submission, with its name]")
@click.option("--layout", type=click.Choice(["root", "folder"]), help="Where files lie in it. [default: the edition's; inferred]")
@click.option("--sample", type=_PATH, help="The official sample file: rows, order and header.")
@click.option("--rows", type=_PATH, help="A CSV file with the columns track and rows.")
@click.option("--challenge", help="EXPR, VA, AU, MTL or CE; told by the files where it is not given.")
@click.option("--edition", type=int, help="Number of the ABAW competition; told by the files where it is not given.")
@click.option("--data", help="Data root whose validation labels give the expected score. [default: the run's]")
@click.option("--declare", multiple=True, metavar="TEXT", help="A sentence for the data statement; may be given several times.")
@click.option("--ledger", type=_PATH, default=LEDGER, show_default=True, help="The list of what was packed.")
def command(submission: Path, out: Path | None, layout: Any, ledger: Path, declare: tuple[str, ...], **options: Any) -> None:
    """Packs SUBMISSION for sending, as a zip file whose bytes depend on the answer alone.

    It is validated first; the attempt is noted in the ledger, and a data statement is written beside the archive. Refused are
    submissions with an error, answers to a labelled split, and everything made on the embedded data set.
    """
    from harness import files
    from harness.commands.shared.submitting import root_of
    from harness.sending import pack
    from harness.submission.checks import check
    from harness.submission.verdicts import Reference

    target = pack.archive_path(submission, out)
    for path in (target, ledger):
        files.refuse_unwritable(path)
    reference = Reference(options["sample"], None, None, options["rows"])
    verdict = check(submission, reference.of(submission), options["challenge"], options["edition"])
    pack.refuse_unsendable(verdict)
    _refuse_errors(verdict)
    packed = pack.pack(verdict, target, ledger, layout, declare, lambda run: root_of(run, options["data"]))
    for line in pack.describe(packed):
        click.echo(line)


def _refuse_errors(verdict: Verdict) -> None:
    """Prints the verdict; ends with exit code 1 if the submission has an error."""
    from harness.submission.verdicts import as_text

    click.echo(as_text(verdict, 3), err=verdict.findings.has_errors)
    if verdict.findings.has_errors or verdict.form is None:
        tell("not packed: mend the errors above first")
        raise SystemExit(EXIT_FINDINGS)
